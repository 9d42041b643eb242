"""Where the paper's formulas and its public code, taken literally, part from this library.

What the pages say of it (docs/training.md, docs/derivation.md, docs/open_questions), tried on
literal transcriptions in float64.
"""

from __future__ import annotations

import numpy as np
import pytest

from circuit.initialisation.networks import initialise
from circuit.network import Network, forward
from circuit.plasticity import updates
from circuit.rules import RULES
from circuit.units.table import activation


def _deep(hidden: int) -> tuple[Network, np.ndarray, np.ndarray]:
    """Orthogonal weights, layers of 30 leaky-ReLU units, 8 images; inputs and errors."""
    rng = np.random.default_rng(4)
    network = initialise([30] * (hidden + 2), rng, activation="leaky_relu")
    return network, rng.random((8, 30)), rng.random((8, 30))


def _by_differences_of_rates(
    network: Network, inputs: np.ndarray, errors: np.ndarray, gamma: float
) -> np.ndarray:
    """Weight change of layer 1 by Alg. 1 with absolute targets in float64, as the public code has
    it: targets are rates, the shift of layer 1 is t_1 - y_1 over its known gain.
    """
    activity = forward(network, inputs)
    rates, drives = activity.rates, activity.drives
    target = rates[-1] + gamma * errors
    for layer in range(network.depth, 1, -1):
        slope = np.where(drives[layer - 1] > 0, 1.0, 0.1)
        step = gamma * slope**2 if layer < network.depth else slope**2
        moved = rates[layer] + step * (target - rates[layer])
        sent = np.where(moved > 0, moved, moved / 0.1)
        target = np.linalg.solve(network.weights[layer - 1], sent.T).T
    slope = np.where(drives[0] > 0, 1.0, 0.1)
    shift = (target - rates[1]) / gamma ** (network.depth - 1)
    return (slope * shift).T @ inputs / len(inputs)


def _away_from_back_propagation(change: np.ndarray, right: np.ndarray) -> float:
    return float(np.linalg.norm(change - right) / np.linalg.norm(right))


@pytest.mark.parametrize(("hidden", "least", "most"), [(3, 1e-8, 1e-5), (5, 0.2, 10.0)])
def test_differences_of_rates_are_rounding_noise_under_five_hidden_layers(hidden, least, most):
    """gamma = 1e-3: the first layer's shift is gamma^hidden of the error, and a rate has 16 digits.
    Ours keeps it."""
    network, inputs, errors = _deep(hidden)
    activity, strengths = forward(network, inputs), [1e-3] * (hidden + 1)
    right = updates(network, activity, RULES["bp"](network, activity, errors, strengths))[0].weights
    coarse = _by_differences_of_rates(network, inputs, errors, 1e-3)
    assert least < _away_from_back_propagation(coarse, right) < most
    ours = updates(network, activity, RULES["gait"](network, activity, errors, strengths))[0]
    assert _away_from_back_propagation(ours.weights, right) < 1e-12


def test_slope_at_exactly_zero_is_the_lower_one():
    """The public code has 1 there: a unit without drive learns ten times as fast."""
    unit = activation("leaky_relu")
    np.testing.assert_array_equal(unit.slope(np.array([-1.0, 0.0, 1e-300])), [0.1, 0.1, 1.0])
    # a black image without biases: every drive is 0, and back-propagation divides by ten a layer
    network, _, errors = _deep(4)
    activity = forward(network, np.zeros((8, 30)))
    found = RULES["bp"](network, activity, errors, [1.0] * 5)
    expected = errors
    for layer in (5, 4, 3, 2):
        expected = 0.1 * expected @ network.weights[layer - 1]
    np.testing.assert_allclose(found.absolute(1), expected, rtol=1e-12)


@pytest.mark.parametrize(("n_post", "n_pre"), [(9, 5), (7, 6)])
def test_printed_fixed_point_of_the_inverse_is_singular_where_a_layer_widens(n_post, n_pre):
    """W S W^T has rank n_l at most; with the pseudo-inverse B is a left inverse of W."""
    rng = np.random.default_rng(7)
    weights, factor = rng.standard_normal((n_post, n_pre)), rng.standard_normal((n_pre, n_pre))
    spread = factor @ factor.T
    seen = weights @ spread @ weights.T
    assert np.linalg.matrix_rank(seen) == n_pre < n_post
    assert np.linalg.cond(seen) > 1e14
    inverse = spread @ weights.T @ np.linalg.pinv(seen, rcond=1e-12)
    np.testing.assert_allclose(inverse @ weights, np.eye(n_pre), atol=1e-8)
    # where a layer narrows the printed formula stands
    assert np.linalg.cond(weights.T @ weights) < 1e6
