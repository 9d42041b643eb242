"""Small networks, images and targets for rules with feedback weights of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from circuit.initialisation.networks import initialise
from circuit.network import Activity, Network, forward
from circuit.numerics.arrays import Array
from circuit.peers.rule import Companions, Rule
from circuit.peers.signal import Signal

MIXED = ("tanh", "leaky_relu", "asinh", "tanh")
KEY = np.array(11)


def task(
    widths: Sequence[int] = (7, 6, 8, 5, 4),
    units: Any = MIXED,
    *,
    batch: int = 9,
    n_outputs: int | None = None,
    auxiliary: bool = False,
    seed: int = 3,
    dtype: str = "float64",
) -> tuple[Network, Activity, np.ndarray]:
    """Gaussian weights, biases, a forward pass and targets of one class each."""
    rng = np.random.default_rng(seed)
    network = initialise(
        widths,
        rng,
        activation=units,
        init="gaussian",
        auxiliary=auxiliary,
        n_outputs=n_outputs,
        dtype=dtype,
    )
    biases = tuple((0.2 * rng.standard_normal(b.shape)).astype(dtype) for b in network.biases)
    network = replace(network, biases=biases)
    targets = np.eye(network.n_outputs)[rng.integers(0, network.n_outputs, batch)].astype(dtype)
    return network, forward(network, rng.standard_normal((batch, widths[0])).astype(dtype)), targets


def stacked(networks: Sequence[Network]) -> Network:
    """Networks of one shape side by side."""
    columns = [zip(*(getattr(one, name) for one in networks), strict=True) for name in
               ("weights", "biases")]  # fmt: skip
    weights, biases = (tuple(np.stack(arrays) for arrays in column) for column in columns)
    return replace(networks[0], weights=weights, biases=biases)


def signal_of(
    rule: Rule,
    task: tuple[Network, Activity, Array],
    companions: Companions,
    settings: Any = None,
    loss: str = "quadratic",
) -> Signal:
    """What the rule gives in step 0."""
    settings = rule.settings() if settings is None else settings
    return rule.signal(*task, loss, settings, companions, 0)


def cosine(first: np.ndarray, second: np.ndarray, axes: Any = None) -> np.ndarray:
    """Over those axes, all of them by default."""
    sizes = np.sum(first**2, axis=axes) * np.sum(second**2, axis=axes)
    return np.sum(first * second, axis=axes) / np.sqrt(sizes)


def practised(
    rule: Rule,
    given: tuple[Network, Activity, Array],
    settings: Any,
    steps: int,
    beside: Companions | None = None,
    first: int = 0,
) -> Companions:
    """The companions after so many steps on one batch."""
    network, activity, _ = given
    beside = rule.companions(network, settings, KEY) if beside is None else beside
    for step in range(first, first + steps):
        beside = rule.practise(network, activity, beside, settings, step)
    return beside
