"""What a signal holds on the way: by depth, and by the units of a layer. Every rule of the table.

The peak of all that is allocated (tracemalloc) is held against counts of numbers. An array with a
matrix for each image, (batch, n, n), alone would be more than a rule may have in all; what deep
feedback control has, (batch, n_outputs, n), is not.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from circuit.initialisation.networks import initialise
from circuit.network import forward
from circuit.peers.reading import signal_updates
from circuit.peers.table import TABLE

OUTPUTS = 3


def peak(call: Callable[[], Any]) -> int:
    """Bytes at the most, beyond those of before."""
    call()  # so that what is made once is there
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def problem(name: str, depth: int, units: int, batch: int) -> Callable[[], Any]:
    """One signal with its practice and weight changes, from the forward pass on."""
    line, rng = TABLE[name], np.random.default_rng(depth)
    rule = line.rule()
    settings = line.settings()(**({"steps": 2} if name == "ldrl" else {}))  # of 20, one as another
    unit = "clipped_tanh" if line.through_inverse and not rule.settles else "tanh"
    widths = [units + 5, *[units] * (depth - 1), units if rule.needs_inverse else OUTPUTS]
    network = initialise(widths, rng, activation=unit, n_outputs=OUTPUTS)
    activity = forward(network, rng.standard_normal((batch, units + 5)))
    targets = np.eye(OUTPUTS)[rng.integers(0, OUTPUTS, batch)]
    beside = rule.companions(network, settings, np.array(3))

    def call() -> Any:
        learnt = rule.practise(network, activity, beside, settings, 0)
        signal = rule.signal(network, activity, targets, "quadratic", settings, learnt, 0)
        return signal_updates(network, signal)

    return call


def per_layer(peaks: list[int]) -> float:
    """How much more a layer takes from 16 to 32 layers than from 8 to 16."""
    return (peaks[2] - peaks[1]) / 16 / ((peaks[1] - peaks[0]) / 8)


@pytest.mark.parametrize("name", TABLE)
def test_memory_is_linear_in_depth(name: str) -> None:
    peaks = [peak(problem(name, depth, 24, 20)) for depth in (8, 16, 32)]
    assert per_layer(peaks) < 1.3


@pytest.mark.parametrize("name", TABLE)
def test_no_image_has_a_matrix_of_its_own(name: str) -> None:
    batch, units = 150, 140
    assert peak(problem(name, 3, units, batch)) < 8 * batch * units * units


def test_what_these_tests_would_find() -> None:
    """A matrix for each image, and an array for each pair of layers."""
    batch, units = 150, 140
    outer = np.ones((batch, units))
    assert peak(lambda: outer[:, :, None] * outer[:, None, :]) >= 8 * batch * units * units
    pairs = [peak(lambda d=depth: [np.ones(999) for _ in range(d * d)]) for depth in (8, 16, 32)]
    assert per_layer(pairs) > 1.9
