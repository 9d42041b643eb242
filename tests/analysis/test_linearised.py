"""Products with the Jacobian against derivatives of the printed equations in mpmath."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mpmath import mp

from analysis.linearised import linearised
from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.errors import CircuitError
from circuit.initialisation.networks import initialise
from circuit.numerics.arrays import to_numpy
from circuit.numerics.scale import Scale
from tests.circuit.test_any_feedback import _oracle, _trial
from tests.circuit.test_dynamics import (
    LiteralCircuit,
    literal_directional,
    make_trial,
    random_shifts,
)
from tests.imperfect_circuits import jacobians
from tests.literal_units import exactly

TAUS = (0.02, 0.01, 0.03)


def _state(pathway, unit, seed=0):
    """Far from the forward pass, with unequal feedback and time constants and auxiliary units."""
    rng = np.random.default_rng(seed)
    trial = make_trial(rng, pathway, unit, (0.3, 0.4), nudge=0.2, time_constant=TAUS)
    scales = tuple(map(Scale.of, (0.125, 0.5, 0.25)))
    size = 0.15 if unit == "tanh" else 1.5
    return rng, trial, random_shifts(rng, trial, size, scales)


def _split(flat):
    return [flat[:5], flat[5:9], flat[9:]]


@pytest.mark.parametrize("unit", ["linear", "leaky_relu", "asinh", "tanh"])
@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
def test_products_are_those_of_the_derivative(pathway, unit):
    """J t, and y'J t = (J'y)'t, which says all of the transpose."""
    rng, trial, shifts = _state(pathway, unit)
    for sample in range(2):
        circuit = linearised(trial, shifts, sample)
        tangent, other = rng.standard_normal((2, 12))
        with mp.workdps(60):
            literal = LiteralCircuit(trial, sample)
            along = [exactly(part) for part in _split(tangent)]
            wanted = literal_directional(literal, literal.rates(shifts, sample), along)
        wanted = np.concatenate(wanted).astype(float)
        np.testing.assert_allclose(circuit.times(tangent), wanted, rtol=1e-11, atol=1e-10)
        transposed = circuit.transposed_times(other)
        assert transposed @ tangent == pytest.approx(other @ wanted, rel=1e-11, abs=1e-9)


@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
def test_other_units_are_a_similarity(pathway):
    """S^-1 J S with S the units of the layers; and so its transpose."""
    rng, trial, shifts = _state(pathway, "asinh")
    plain = linearised(trial, shifts)
    circuit, sizes = plain.in_units_of((2.0, 0.5, 3.0)), np.repeat((2.0, 0.5, 3.0), (5, 4, 3))
    vector = rng.standard_normal(12)
    np.testing.assert_allclose(circuit.times(vector), plain.times(sizes * vector) / sizes)
    np.testing.assert_allclose(
        circuit.transposed_times(vector), sizes * plain.transposed_times(vector / sizes)
    )


def test_balanced_units_make_the_orthogonal_linear_circuit_symmetric():
    """ITP, one gamma: up and down the same factor sqrt(gamma (1 - gamma)) and W against W^-1 = W'.
    Not so in units of the rates (control)."""
    rng = np.random.default_rng(1)
    network = initialise([6] * 4, rng, activation="linear")
    trial = begin(build_circuit(network, "itp", 0.1), rng.random((1, 6)), rng.random((1, 6)))
    circuit = linearised(trial, trial.at_rest())
    vector = rng.standard_normal(18)
    balanced = circuit.balanced()
    np.testing.assert_allclose(
        balanced.times(vector), balanced.transposed_times(vector), rtol=1e-10, atol=1e-10
    )
    assert not np.allclose(circuit.times(vector), circuit.transposed_times(vector), rtol=0.1)


def test_operator_in_time_constants():
    _, trial, shifts = _state("gait", "leaky_relu")
    circuit, vector = linearised(trial, shifts), np.arange(12.0)
    operator = circuit.operator(0.02)
    np.testing.assert_allclose(operator @ vector, 0.02 * circuit.times(vector))
    np.testing.assert_allclose(operator.T @ vector, 0.02 * circuit.transposed_times(vector))


def test_single_precision_is_linearised_in_double():
    """Near the float64 circuit with the same weights; rounding of the state apart."""
    rng = np.random.default_rng(2)
    low = make_trial(rng, "gait", "asinh", 0.1, dtype="float32")
    shifts = random_shifts(rng, low, 0.5)
    product = linearised(low, shifts).times(np.ones(12))
    assert product.dtype == np.float64
    double = make_trial(np.random.default_rng(2), "gait", "asinh", 0.1)
    values = tuple(to_numpy(value).astype(float) for value in shifts.values)
    wanted = linearised(double, shifts.with_values(values)).times(np.ones(12))
    np.testing.assert_allclose(product, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("corrected", [True, False], ids=["corrected", "plain"])
@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
def test_through_any_feedback_it_is_the_derivative_of_the_field(pathway, corrected):
    """Rectangles, at rest, against the Jacobian of the tests' own field of such circuits; both
    products. Control: that of the other kind of circuit is another.
    """
    rng = np.random.default_rng(5)
    trial = _trial(rng, (7, 5, 6, 4), pathway, 0.2, corrected=corrected, batch=2)
    record = settle(trial)
    shifts = tuple(record.shifts.absolute(layer) for layer in (1, 2, 3))
    vector, other = rng.standard_normal((2, 15))
    for sample in range(2):
        wanted = jacobians(_oracle(trial), record.trial.activity, shifts)[sample]
        circuit = linearised(record.trial, record.shifts, sample)
        np.testing.assert_allclose(0.01 * circuit.times(vector), wanted @ vector, atol=1e-9)
        found = 0.01 * circuit.transposed_times(other)
        np.testing.assert_allclose(found, other @ wanted, atol=1e-9)
        turned = replace(_oracle(trial), corrected=not corrected)
        wrong = jacobians(turned, record.trial.activity, shifts)[sample]
        assert np.abs(wrong - wanted).max() > 1e-3


def test_a_free_phase_is_refused():
    """It has no nudge to be linearised with; the record's own trial has."""
    trial = _trial(np.random.default_rng(5), (7, 5, 6, 4), corrected=False)
    with pytest.raises(CircuitError, match="give the record's trial"):
        linearised(trial, trial.at_rest())


def test_a_stack_of_networks_is_refused():
    rng = np.random.default_rng(3)
    network = initialise([4] * 3, rng)
    stack = replace(
        network,
        weights=tuple(np.stack([w, w]) for w in network.weights),
        biases=tuple(np.stack([b, b]) for b in network.biases),
    )
    trial = begin(build_circuit(stack, "itp", 0.1), rng.random((2, 1, 4)), rng.random((2, 1, 4)))
    with pytest.raises(CircuitError, match="one network"):
        linearised(trial, trial.at_rest())


@pytest.mark.parametrize("sample", [-1, 2, 7])
def test_a_sample_that_is_not_there_is_refused(sample):
    """Also one counted from the end."""
    trial = make_trial(np.random.default_rng(4), "gait", "asinh", 0.1)
    with pytest.raises(CircuitError, match=f"no sample {sample} in a batch of 2"):
        linearised(trial, trial.at_rest(), sample)
