"""Networks whose first layer reads all inputs, whatever its width: W_1 is never inverted."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from circuit.checks.room import images_that_fit
from circuit.dynamics import begin, build_circuit, velocity
from circuit.equilibrium import settle
from circuit.errors import CircuitError
from circuit.initialisation.networks import initialise
from circuit.network import forward
from circuit.report.comparison import report

DEPRECATED = r"'\w+' (argument is )?deprecated"
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", DEPRECATED, DeprecationWarning)
    from circuit import brian  # noqa: F401 - before the method of that name does


def test_layer_1_reads_all_and_the_others_are_square(rng):
    network = initialise([20, 7, 5, 3], rng, whole_input=True)
    assert [W.shape for W in network.weights] == [(7, 20), (5, 5), (3, 3)]
    np.testing.assert_allclose(network.weights[0] @ network.weights[0].T, np.eye(7), atol=1e-14)
    inputs = rng.random((4, 20))
    drive = forward(network, inputs).drives[0]
    np.testing.assert_allclose(drive, inputs @ network.weights[0].T, atol=1e-14)


def test_of_equal_widths_it_changes_nothing():
    one, other = (
        initialise([6, 6, 4], np.random.default_rng(3), whole_input=whole)
        for whole in (True, False)
    )
    for W, V in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(W, V)


def test_layer_1_may_be_wider_than_the_input_and_no_other(rng):
    network = initialise([6, 9, 4], rng, whole_input=True)
    np.testing.assert_allclose(network.weights[0].T @ network.weights[0], np.eye(6), atol=1e-14)
    with pytest.raises(CircuitError, match="increase from 4 to 5 at layer 2"):
        initialise([6, 4, 5], rng, whole_input=True)
    with pytest.raises(CircuitError, match="increase from 6 to 9 at layer 1"):
        initialise([6, 9, 4], rng)


@pytest.mark.parametrize("pathway", ["gait", "itp"])
@pytest.mark.parametrize("method", ["direct", "sweep", "newton", "ode"])
def test_every_method_brings_it_to_rest(rng, pathway, method):
    """The printed velocity is zero there, within the tolerance in units of the largest shift."""
    network = initialise([20, 7, 5, 3], rng, activation="asinh", whole_input=True)
    circuit = build_circuit(network, pathway, 0.1, time_constant=1.0)
    trial = begin(circuit, rng.random((4, 20)), np.eye(3)[[0, 1, 2, 0]])
    record = settle(trial, method)
    moved = velocity(trial, record.activities)
    shifts = [record.shifts.absolute(layer) for layer in (1, 2, 3)]
    largest = max(np.linalg.norm(shift, axis=1).max() for shift in shifts)
    assert max(np.abs(part).max() for part in moved) <= record.tolerance * largest
    assert report(record).agrees


@pytest.mark.filterwarnings(f"ignore:{DEPRECATED}:DeprecationWarning")
def test_brian2_joins_every_pixel_with_layer_1(rng):
    network = initialise([8, 5, 3], rng, activation="asinh", whole_input=True)
    trial = begin(build_circuit(network, "gait", 0.1), rng.random((2, 8)), np.eye(3)[[0, 1]])
    record = settle(trial, "brian2", tolerance=1e-6)
    other = settle(trial)
    for layer in (1, 2):
        found, wanted = (one.shifts.absolute(layer) for one in (record, other))
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-9)


def test_images_that_fit_are_counted_with_every_synapse_into_layer_1(monkeypatch):
    monkeypatch.setattr("circuit.checks.room.MOST_SYNAPSES", 3 * (8 * 5 + 2 * 9))
    assert images_that_fit([8, 5, 3], whole_input=True) == 3
    monkeypatch.setattr("circuit.checks.room.MOST_SYNAPSES", 3 * (8 * 5 + 2 * 9) - 1)
    assert images_that_fit([8, 5, 3], whole_input=True) == 2
