"""Fixed points of TP and BP in a linear network, all layers moving at once (Eq. 8)."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from circuit.losses import output_error
from circuit.network import Network, forward
from circuit.plasticity import updates
from circuit.rules import RULES

N, DEPTH = 3, 3


def _at_rest(rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Weights, inputs and targets whose errors are orthogonal to the inputs."""
    weights = [
        scipy.linalg.qr(rng.standard_normal((N, N)))[0] * rng.uniform(0.6, 1.8, N)
        for _ in range(DEPTH)
    ]
    inputs = rng.standard_normal((8, N))
    whole = np.linalg.multi_dot(weights[::-1])
    missed = scipy.linalg.null_space(inputs.T) @ rng.standard_normal((8 - N, N))
    return weights, inputs, inputs @ whole.T + missed


def _change(rule: str, weights: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The change of all weights, flat."""
    matrices = list(weights.reshape(DEPTH, N, N))
    network = Network.from_layers(matrices, activations="linear")
    activity = forward(network, inputs)
    error = output_error(network, activity, targets)
    found = updates(network, activity, RULES[rule](network, activity, error, 1.0))
    return np.concatenate([change.weights.ravel() for change in found])


def _jacobian(rule: str, weights: list[np.ndarray], *data: np.ndarray) -> np.ndarray:
    """By central differences."""
    flat, step, columns = np.concatenate([w.ravel() for w in weights]), 1e-5, []
    for unit in np.eye(flat.size):
        pair = [_change(rule, flat + sign * step * unit, *data) for sign in (1, -1)]
        columns.append((pair[0] - pair[1]) / (2 * step))
    return np.stack(columns, axis=1)


def test_a_common_fixed_point_is_as_stable_for_both_rules(rng: np.random.Generator) -> None:
    """J_BP = P J_TP with P of the blocks F_l^T F_l, J_BP symmetric: by Sylvester's law the two have
    as many negative eigenvalues, those of the product of all weights, and no positive one. The
    others are 0: weights that change and leave the product as it is. Speeds differ.

    Control: with other targets nothing is at rest, and the two Jacobians have no such relation.
    """
    weights, inputs, targets = _at_rest(rng)
    paths = [np.eye(N)]
    for matrix in weights[:0:-1]:
        paths.insert(0, paths[0] @ matrix)
    blocks = scipy.linalg.block_diag(*(np.kron(path.T @ path, np.eye(N)) for path in paths))
    flat = np.concatenate([matrix.ravel() for matrix in weights])
    found = {}
    for rule in ("bp", "tp"):
        assert np.abs(_change(rule, flat, inputs, targets)).max() < 1e-13
        found[rule] = _jacobian(rule, weights, inputs, targets)
        values = scipy.linalg.eigvals(found[rule])
        assert np.abs(values.imag).max() < 1e-6
        assert (values.real < -1e-3).sum() == N * N
        assert values.real.max() < 1e-6
    np.testing.assert_allclose(found["bp"], found["bp"].T, atol=1e-7)
    np.testing.assert_allclose(found["bp"], blocks @ found["tp"], atol=1e-7)
    slowest = [np.sort(scipy.linalg.eigvals(one).real)[N * N - 1] for one in found.values()]
    assert abs(slowest[0] / slowest[1] - 1) > 0.1
    elsewhere = (inputs, targets + rng.standard_normal(targets.shape))
    moving = {rule: _jacobian(rule, weights, *elsewhere) for rule in found}
    assert np.abs(moving["bp"] - blocks @ moving["tp"]).max() > 0.1
