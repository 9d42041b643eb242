"""circuit.plasticity: one local rule for every kind of shift (Eqs. 3, 4, 13, 18)."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from circuit.initialisation.networks import initialise
from circuit.network import Activity, Network, forward
from circuit.numerics.scale import Scale
from circuit.plasticity import Update, local_update, updates
from circuit.rules import RULES
from circuit.shifts import Shifts
from circuit.units.asinh import asinh

EPS = np.finfo(float).eps


def literal_update(
    slope: np.ndarray, shift: np.ndarray, below: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """dW_ij = mean over samples of A_i delta_i y_j, and db_i = mean of A_i delta_i, by loops."""
    samples, n_post, n_pre = len(slope), slope.shape[1], below.shape[1]
    weights, biases = np.zeros((n_post, n_pre)), np.zeros(n_post)
    for sample in range(samples):
        for i in range(n_post):
            biases[i] += float(slope[sample, i]) * float(shift[sample, i]) / samples
            for j in range(n_pre):
                hebb = float(slope[sample, i]) * float(shift[sample, i]) * float(below[sample, j])
                weights[i, j] += hebb / samples
    return weights, biases


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("samples", [1, 5])
def test_local_update_loop_by_loop(samples: int, dtype: str, rng: np.random.Generator) -> None:
    """-eta A_l (y_l - t_l) y_{l-1}^T with eta = 1: it points from y to t."""
    slope, shift, below = (rng.standard_normal((samples, n)).astype(dtype) for n in (3, 3, 4))
    change = local_update(slope, shift, below)
    weights, biases = literal_update(slope, shift, below)
    allowed = 10 * samples * np.finfo(dtype).eps
    np.testing.assert_allclose(change.weights, weights, rtol=0, atol=float(allowed))
    np.testing.assert_allclose(change.biases, biases, rtol=0, atol=float(allowed))
    assert change.weights.shape == (3, 4)
    assert change.biases.shape == (3,)
    assert change.weights.dtype == change.biases.dtype == dtype


def test_what_a_synapse_may_use() -> None:
    """Its two rates' worth: the slope and shift of the one cell, the rate of the other."""
    assert list(inspect.signature(local_update).parameters) == ["slope", "shift", "presynaptic"]


def test_a_stack_of_networks(rng: np.random.Generator) -> None:
    """Leading axes are kept; the batch is averaged over."""
    slope, shift, below = (rng.standard_normal((2, 3, 6, n)) for n in (4, 4, 5))
    change = local_update(slope, shift, below)
    assert change.weights.shape == (2, 3, 4, 5)
    assert change.biases.shape == (2, 3, 4)
    for index in np.ndindex(2, 3):
        weights, biases = literal_update(slope[index], shift[index], below[index])
        np.testing.assert_allclose(change.weights[index], weights, rtol=0, atol=50 * EPS)
        np.testing.assert_allclose(change.biases[index], biases, rtol=0, atol=50 * EPS)


@pytest.fixture
def setting(rng: np.random.Generator) -> tuple[Network, Activity]:
    """Decreasing widths, smooth units, 5 samples."""
    network = initialise((7, 5, 4, 4), rng, activation=asinh())
    return network, forward(network, rng.standard_normal((5, 7)))


def test_each_layer_uses_its_own_slope_and_shift_and_the_rates_below(
    setting: tuple[Network, Activity], rng: np.random.Generator
) -> None:
    """Any shifts will do; each is divided by its gain, the product of gammas (Eq. 21)."""
    network, activity = setting
    values = tuple(rng.standard_normal((5, n)) for n in (5, 4, 4))
    scales = (Scale.of(3e-7), Scale.of(0.02), Scale.of(1.0))
    gains = (Scale.of(1e-9), Scale.of(0.01), Scale.of(1.0))
    changes = updates(network, activity, Shifts(values, scales, gains))
    assert len(changes) == 3
    for layer, factor in ((1, 300.0), (2, 2.0), (3, 1.0)):
        n = network.widths[layer]
        weights, biases = literal_update(
            activity.slope(layer),
            factor * values[layer - 1],
            activity.rates[layer - 1][:, :n],  # auxiliary units below are not read
        )
        change = changes[layer - 1]
        assert isinstance(change, Update)
        assert change.weights.shape == network.weights[layer - 1].shape
        np.testing.assert_allclose(change.weights, weights, rtol=1e-12, atol=100 * factor * EPS)
        np.testing.assert_allclose(change.biases, biases, rtol=1e-12, atol=100 * factor * EPS)


@pytest.mark.parametrize("name", RULES)
def test_a_small_step_lowers_the_loss(name: str, rng: np.random.Generator) -> None:
    """With orthogonal weights every rule goes downhill at the output layer, BP and GAIT in all."""
    network = initialise((6,) * 5, rng)
    inputs, targets = rng.standard_normal((8, 6)), rng.standard_normal((8, 6))
    activity = forward(network, inputs)
    shifts = RULES[name](network, activity, targets - activity.rates[-1], 1e-6)
    changes = updates(network, activity, shifts)
    layers = range(4) if name in {"bp", "gait"} else [3]
    before = np.sum((activity.rates[-1] - targets) ** 2)
    for layer in layers:
        weights, biases = list(network.weights), list(network.biases)
        weights[layer] = weights[layer] + 1e-3 * changes[layer].weights
        biases[layer] = biases[layer] + 1e-3 * changes[layer].biases
        moved = Network(tuple(weights), tuple(biases), network.activations, 6, 6)
        assert np.sum((forward(moved, inputs).rates[-1] - targets) ** 2) < before
