"""circuit.peers.reading: targets, responses and contrasts, each against loops over synapses."""

from __future__ import annotations

import numpy as np
import pytest

from circuit.network import Activity, Network, forward
from circuit.numerics.scale import Scale
from circuit.peers import Signal, signal_updates
from circuit.shifts import Shifts

WIDTHS = (4, 5, 3, 2)
GAINS = (0.3, 0.5, 2.0)


def net(rng: np.random.Generator) -> tuple[Network, Activity]:
    pairs = list(zip(WIDTHS[1:], WIDTHS, strict=False))
    weights = tuple(rng.standard_normal(pair) for pair in pairs)
    biases = tuple(rng.standard_normal(n) for n in WIDTHS[1:])
    network = Network(weights, biases, ("tanh",) * 3, WIDTHS[0], WIDTHS[-1])
    return network, forward(network, rng.standard_normal((6, WIDTHS[0])))


def shifts_of(differences: list[np.ndarray]) -> Shifts:
    scales = tuple(Scale.of(x) for x in (0.25, 4.0, 1.5))
    values = tuple(d / scale.value for d, scale in zip(differences, scales, strict=True))
    return Shifts(values, scales, tuple(Scale.of(gain) for gain in GAINS))


def test_a_contrast_is_the_difference_of_two_products_of_rates(rng: np.random.Generator) -> None:
    """Leaving out the second of its terms, the change of what is below, is another number."""
    network, activity = net(rng)
    after = [
        activity.rates[0],
        *(y + 0.3 * rng.standard_normal(y.shape) for y in activity.rates[1:]),
    ]
    moved = [b - a for a, b in zip(activity.rates, after, strict=True)]
    mean = tuple((a + b) / 2 for a, b in zip(activity.rates, after, strict=True))
    signal = Signal(activity, shifts_of(moved[1:]), "contrast", mean)
    for layer, change in enumerate(signal_updates(network, signal), 1):
        wanted, biases = np.zeros(change.weights.shape), np.zeros(change.biases.shape)
        for k in range(6):
            for i in range(WIDTHS[layer]):
                biases[i] += (after[layer][k, i] - activity.rates[layer][k, i]) / 6
                for j in range(WIDTHS[layer - 1]):
                    nudged = after[layer][k, i] * after[layer - 1][k, j]
                    free = activity.rates[layer][k, i] * activity.rates[layer - 1][k, j]
                    wanted[i, j] += (nudged - free) / 6
        gain = GAINS[layer - 1]
        np.testing.assert_allclose(change.weights, wanted / gain, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(change.biases, biases / gain, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("reading", ["target", "response"])
def test_targets_count_the_slope_and_responses_do_not(
    reading: str, rng: np.random.Generator
) -> None:
    network, activity = net(rng)
    moved = [rng.standard_normal(y.shape) for y in activity.rates[1:]]
    read = tuple(y + 0.1 for y in activity.rates)
    signal = Signal(activity, shifts_of(moved), reading, read)
    for layer, change in enumerate(signal_updates(network, signal), 1):
        slope = 1 - np.tanh(activity.drive(layer)) ** 2 if reading == "target" else 1.0
        told = slope * moved[layer - 1] / GAINS[layer - 1]
        wanted = np.einsum("ki,kj->ij", told, read[layer - 1]) / 6
        np.testing.assert_allclose(change.weights, wanted, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(change.biases, told.mean(axis=0), rtol=1e-12, atol=1e-14)


def test_an_unknown_reading_is_refused(rng: np.random.Generator) -> None:
    _, activity = net(rng)
    with pytest.raises(ValueError, match="reading"):
        Signal(activity, shifts_of(list(activity.rates[1:])), "guess")
