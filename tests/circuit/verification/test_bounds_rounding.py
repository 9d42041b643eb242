"""The error bound where rounding is all that is wrong: evaluations that cancel, inputs of kinks."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.precise import in_float64
from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.initialisation.weights import orthogonal
from circuit.network import forward
from tests.circuit.test_dynamics import make_trial
from tests.circuit.verification.test_bounds import _ratios


def _with_error(trial, error, weights=None, biases=None):
    """The trial with an error that a user's loss returns, and that is exact therefore."""
    network = trial.network
    network = replace(network, weights=weights or network.weights, biases=biases or network.biases)
    circuit = build_circuit(network, trial.circuit.pathway.name, trial.circuit.strengths)
    return begin(circuit, trial.activity.rates[0], 0 * error, lambda outputs, targets: error)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_what_the_output_is_nudged_to_is_rounded(pathway, dtype):
    """One layer: gamma e in floating point is not gamma e, though its residual is exactly 0."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        trial = make_trial(rng, pathway, "linear", 0.05, widths=(4, 3), dtype=dtype, batch=3)
        trial = _with_error(trial, trial.error[:, :2].copy())
        ratios = _ratios(trial, settle(trial).shifts)
        assert ratios is not None and np.all(ratios >= 1)


@pytest.mark.parametrize(("pathway", "condition"), [("itp", 3e3), ("itp", 100), ("gait", 100)])
def test_what_comes_through_ill_conditioned_weights_is_rounded(pathway, condition):
    """A sweep ends where its own evaluation of W^-1 v cannot tell it from right; another's can."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        trial = make_trial(rng, pathway, "linear", 0.01, widths=(4, 3, 3), batch=3)
        W = orthogonal(3, rng) * np.geomspace(1 / condition, 1, 3) @ orthogonal(3, rng)
        trial = _with_error(trial, trial.error[:, :2].copy(), (trial.network.weights[0], W))
        record = settle(trial, "sweep", tolerance=7e-16, must_converge=False)
        ratios = _ratios(trial, record.shifts)
        assert ratios is not None and np.all(ratios >= 1)


def test_an_error_made_anew_in_float64_is_known_no_better_than_its_outputs():
    """A float32 trial with an error of 1e-7 beside outputs of order 1: its target is what is given,
    and held against exact outputs the shifts are off by more than their own rounding.
    """
    for seed in range(10):
        rng = np.random.default_rng(seed)
        options = {"widths": (5, 4, 3), "dtype": "float32", "error": 1e-7, "batch": 2}
        trial = in_float64(make_trial(rng, "gait", "linear", 0.05, **options))
        targets = trial.target[:, :2]
        ratios = _ratios(trial, settle(trial).shifts, targets)
        assert ratios is not None and np.all(ratios >= 1)


def _cancelling(rng, pathway, unit, error, gamma=0.02, distance=0.0, size=1.0):
    """A circuit in which drives of layer 2 are what is left of large or equal numbers.

    W_1 is `size` times orthogonal, and biases take what it makes away again, to random drives; the
    first unit of layer 2 is brought to within `distance` of its kink, in the second image.
    """
    trial = make_trial(rng, pathway, unit, gamma, widths=(4, 4, 3, 3), batch=2)
    inputs = trial.activity.rates[0]
    weights = [size * orthogonal(4, rng), orthogonal(3, rng), orthogonal(3, rng)]
    biases = [np.zeros(4), np.zeros(3), np.zeros(3)]
    if size > 1:
        inputs[0] = inputs[1] + 1e-3 / size * rng.standard_normal(4)
        biases[0] = rng.standard_normal(4) - weights[0] @ inputs[1]
    network = replace(trial.network, weights=tuple(weights), biases=tuple(biases))
    drives = forward(network, inputs).drive(2)
    biases[1][0] = distance * rng.standard_normal() - drives[1, 0]
    return _with_error(trial, error * rng.standard_normal((2, 2)), tuple(weights), tuple(biases))


CANCELLING = {
    "at its kink": {"unit": "leaky_relu", "error": 1e-20},
    "over its kink": {"unit": "leaky_relu", "error": 1e-9, "distance": 1e-13},
    "over its kink by far": {"unit": "leaky_relu", "error": 1.0, "gamma": 1e-4, "distance": 1e-13},
    "far up its slope": {"unit": "asinh", "error": 1e-9, "size": 1e8},
}


@pytest.mark.parametrize("case", CANCELLING)
@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_slopes_are_known_no_better_than_the_drives_they_are_taken_at(pathway, case):
    """A drive that cancels is wrong by more than its last digit, and so is the slope of a unit that
    curves, or is close to its kink: all of a shift is then wrong, however exact the error is.
    """
    judged = 0
    for seed in range(16):
        trial = _cancelling(np.random.default_rng(seed), pathway, **CANCELLING[case])
        ratios = _ratios(trial, settle(trial, must_converge=False).shifts)
        if ratios is not None:  # there is an equilibrium close by
            judged += 1
            assert np.all(ratios >= 1)
    assert judged >= 8


@pytest.mark.parametrize("pathway", ["itp", "gait"])
@pytest.mark.parametrize(("size", "unit"), [(0.3, "asinh"), (300.0, "linear")])
def test_biases_and_functions_of_units_are_rounded(pathway, size, unit):
    """A black image, whose outputs are made of their biases alone and aimed at from close by; and
    biases that are large beside what comes from below.
    """
    for seed in range(6):
        rng = np.random.default_rng(seed)
        trial = make_trial(rng, pathway, unit, 0.1, widths=(4, 3, 3), n_outputs=3)
        biases = (np.zeros(3), size * rng.standard_normal(3))
        network = replace(trial.network, biases=biases)
        inputs = np.stack([np.zeros(4), 0.1 * rng.random(4)])
        targets = forward(network, inputs).rates[-1] + 1e-8 * rng.standard_normal((2, 3))
        trial = begin(build_circuit(network, pathway, 0.1), inputs, targets)
        ratios = _ratios(trial, settle(trial, must_converge=False).shifts, targets)
        assert ratios is not None and np.all(ratios >= 1)
