"""Networks to try rules of other theories on, and the formulas that these are held against.

Owns units, losses, the forward pass and back-propagation written down once more, for NumPy arrays,
complex ones too. Not from the code.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from circuit.network import Activity, Network, forward
from circuit.peers import Signal

RECTANGULAR = (5, 7, 4, 6, 3)
AUXILIARY = (6, 6, 5, 5, 4)  # with units that nobody reads, at the output too
READ = (6, 5, 5, 4)

UNITS: dict[str, tuple[Callable, Callable]] = {
    "linear": (lambda h: h, lambda h: 1 + 0 * h),
    "tanh": (np.tanh, lambda h: 1 / np.cosh(h) ** 2),
    "asinh": (np.arcsinh, lambda h: 1 / np.sqrt(1 + h * h)),
    "leaky_relu": (lambda h: np.where(h > 0, h, 0.1 * h), lambda h: np.where(h > 0, 1.0, 0.1)),
}


def softmax(outputs: np.ndarray) -> np.ndarray:
    """Without any care for overflow."""
    return np.exp(outputs) / np.exp(outputs).sum(axis=-1, keepdims=True)


ERRORS: dict[str, Callable] = {
    "quadratic": lambda y, t: t - y,
    "cross_entropy": lambda y, t: t - t.sum(axis=-1, keepdims=True) * softmax(y),
}
LOSSES: dict[str, Callable] = {  # of each image
    "quadratic": lambda y, t: ((y - t) ** 2).sum(axis=-1) / 2,
    "cross_entropy": lambda y, t: (
        t.sum(axis=-1) * np.log(np.exp(y).sum(axis=-1)) - (t * y).sum(axis=-1)
    ),
}


def case(
    rng: np.random.Generator,
    unit: str,
    widths: tuple[int, ...] = RECTANGULAR,
    read: tuple[int, ...] | None = None,
    batch: int = 6,
    size: float = 1.0,
    n_outputs: int | None = None,
) -> tuple[Network, Activity, np.ndarray]:
    """A Gaussian network with biases, its forward pass, and targets that are chances."""
    read = widths[:-1] if read is None else read
    pairs = list(zip(widths[1:], read, strict=True))
    weights = tuple(size * rng.standard_normal(pair) / pair[1] ** 0.5 for pair in pairs)
    biases = tuple(0.3 * rng.standard_normal(n) for n in widths[1:])
    n_outputs = widths[-1] if n_outputs is None else n_outputs
    units = (unit,) * len(weights)
    network = Network(weights, biases, units, widths[0], n_outputs)
    targets = rng.dirichlet(np.ones(n_outputs), size=batch)
    return network, forward(network, rng.standard_normal((batch, widths[0]))), targets


def unit_of(network: Network) -> tuple[Callable, Callable]:
    """f and f' of all its layers."""
    return UNITS[network.activations[0].name]


def wide(network: Network, layer: int) -> np.ndarray:
    """W of a layer with zeros for the units below that it does not read, (N_l, N_{l-1})."""
    weights = np.zeros((network.widths[layer], network.widths[layer - 1]))
    found = network.weights[layer - 1]
    weights[:, : found.shape[1]] = found
    return weights


def to_outputs(network: Network, slopes: list[np.ndarray]) -> list[np.ndarray]:
    """F_1 .. F_L of one image, (n_outputs, N_l), in a network with these slopes."""
    found = [np.eye(network.widths[-1])[: network.n_outputs]]
    for layer in range(network.depth, 1, -1):
        found.append(found[-1] @ np.diag(slopes[layer - 1]) @ wide(network, layer))
    return found[::-1]


def linear_paths(network: Network) -> list[np.ndarray]:
    """F_1 .. F_L of a linear network."""
    return to_outputs(network, [np.ones(n) for n in network.widths[1:]])


def back_propagated(network: Network, activity: Activity, error: np.ndarray) -> list[np.ndarray]:
    """F_l^T e of every image, from the chain rule as products of matrices."""
    slope = unit_of(network)[1]
    found = [np.zeros((len(error), n)) for n in network.widths[1:]]
    for k in range(len(error)):
        paths = to_outputs(network, [slope(h[k]) for h in activity.drives])
        for layer, path in enumerate(paths):
            found[layer][k] = path.T @ error[k]
    return found


def absolute(signal: Signal) -> list[np.ndarray]:
    """The shifts of all layers in units of the rates."""
    return [signal.shifts.absolute(layer) for layer in range(1, signal.shifts.depth + 1)]


def per_gain(signal: Signal) -> list[np.ndarray]:
    """The shifts of all layers over their gains."""
    return [signal.shifts.per_gain(layer) for layer in range(1, signal.shifts.depth + 1)]


def assert_close(found: list, wanted: list, tolerance: float) -> None:
    """Every layer to that part of its own largest entry."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())
