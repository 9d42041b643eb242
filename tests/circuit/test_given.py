# ruff: noqa: B023 - every function that is made in a loop is called before the next round
"""What a caller gives: every kind of number is taken, what is none is refused where it is given.

Each refusal is one line. That a value is taken as it should be is seen against the same value as a
Python float, or against shapes written down by hand.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analysis.linearised import linearised
from circuit.activations import Activation
from circuit.checks import given
from circuit.dynamics import begin, build_circuit, velocity
from circuit.equilibrium import settle
from circuit.errors import CircuitError, NotFinite, ShapeMismatch
from circuit.feedback import closed_form_gain, output_only, per_layer
from circuit.initialisation.networks import initialise
from circuit.learned_inverse.companions import LearnedInverse
from circuit.learned_inverse.model import propagate_learned, random_model
from circuit.learning.adam import Adam
from circuit.learning.lesson import Decorrelation, Inhibition, Lesson, Regulariser
from circuit.learning.regulariser import descent
from circuit.linearisation.jacobian import jacobian_product
from circuit.linearisation.matrix import dense_jacobian
from circuit.losses import output_error
from circuit.network import Network, forward
from circuit.plastic.circuit import Plastic, Timing
from circuit.plastic.sleep import Sleep
from circuit.plasticity import local_update, updates
from circuit.rules import RULES
from circuit.trial import Trial
from circuit.units.asinh import asinh
from circuit.units.clipped_tanh import clipped_tanh
from circuit.units.leaky_relu import leaky_relu
from circuit.units.tanh import tanh
from circuit.verification.bounds import relative_error_bounds
from tests.circuit.lateral_inhibition.spontaneous_equations import Spontaneous

NO_NUMBERS = [None, True, np.True_, "0.1", b"1", 1j, [], [0.1], {}, object(), np.ones((2, 2))]
NUMBERS = [0.25, np.float32(0.25), np.float16(0.25), np.longdouble(0.25), np.array(0.25)]
NUMBERS += [Fraction(1, 4), Decimal("0.25")]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(10)


@pytest.fixture
def trial(rng: np.random.Generator) -> Trial:
    """Layers of 5, 4 and 3 units, two of which have a target, and 6 samples."""
    circuit = build_circuit(initialise([5, 4, 3], rng, n_outputs=2), "gait", 0.1)
    return begin(circuit, rng.random((6, 5)), rng.random((6, 2)))


def foreign(trial: Trial, rng: np.random.Generator) -> Iterator[Trial]:
    """Trials of another network (wider, narrower, deeper), and of another batch."""
    for widths, batch in (([5, 5, 3], 6), ([5, 3, 3], 6), ([5, 4, 3, 3], 6), ([5, 4, 3], 7)):
        circuit = build_circuit(initialise(widths, rng, n_outputs=2), "gait", 0.1)
        yield begin(circuit, rng.random((batch, 5)), rng.random((batch, 2)))


def refused(act: Callable[[], Any], words: str, kind: type[Exception] = CircuitError) -> None:
    """In one line that holds the words."""
    with pytest.raises(kind, match=words or None) as error:
        act()
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


# ---- numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", NUMBERS, ids=lambda one: type(one).__name__)
def test_every_kind_of_number_is_the_float_that_it_equals(
    number: Any, rng: np.random.Generator
) -> None:
    network = initialise([5, 4, 3], rng)
    for taken in (
        build_circuit(network, "gait", number, nudge=number, time_constant=number),
        build_circuit(network, "gait", [number, 0.5], nudge=number, time_constant=[number] * 2),
    ):
        assert taken.strengths == (0.25, 0.25) and taken.time_constants == (0.25, 0.25)
        assert {type(one) for one in (*taken.strengths, *taken.time_constants)} == {float}
    assert Adam(number, number, number, number) == Adam(0.25, 0.25, 0.25, 0.25)
    assert Lesson(feedback_strength=number) == Lesson(feedback_strength=0.25)
    assert LearnedInverse(number, number) == LearnedInverse(0.25, 0.25)
    assert Regulariser(number) == Regulariser(0.25)
    assert leaky_relu(number).smallest_slope == 0.25
    assert output_only(number, 3) == (1.0, 1.0, 0.25)


def test_strengths_with_a_nudge(rng: np.random.Generator) -> None:
    """One for all, or those of hidden layers, or of all layers, the last then giving way."""
    network = initialise([5, 4, 4, 3], rng)
    for strength in (np.float32(0.5), [0.5, 0.5], (0.5, 0.5, 0.9), np.array([0.5, 0.5])):
        assert build_circuit(network, "itp", strength, nudge=0.125).strengths == (0.5, 0.5, 0.125)
    refused(lambda: build_circuit(network, "itp", [0.5], nudge=0.1), "2 feedback strengths for 3")


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: type(value).__name__)
def test_what_is_no_number_is_refused(value: Any, trial: Trial) -> None:
    network = trial.network
    for act in (
        lambda: given.real("x", value),
        lambda: leaky_relu(value),
        lambda: clipped_tanh(value),
        lambda: build_circuit(network, "gait", 0.1, nudge="none" if value is None else value),
        lambda: build_circuit(network, "gait", (0.1, value)),
        lambda: build_circuit(network, "gait", time_constant=(0.1, value)),
        lambda: settle(trial, tolerance="small" if value is None else value),
        lambda: output_only(value, 2),
        lambda: closed_form_gain(value, 1, 2),
        lambda: Timing(value, 1, 1),
        lambda: Timing(0.001, 1, 1, lag=value),
        lambda: Spontaneous(step=value),
        lambda: LearnedInverse(rate=value),
        lambda: Adam(beta1=value),
    ):
        refused(act, "number|time|sequence|float")
    for record in (Lesson, Adam, Regulariser, Inhibition, Decorrelation, LearnedInverse):
        for field in fields(record):
            if isinstance(field.default, float):
                name = field.name
                refused(lambda r=record, n=name: r(**{n: value}), "is not a number")


def test_too_large_for_a_float() -> None:
    refused(lambda: Adam(10**400), "learning rate = 1000.* is too large")
    assert math.isinf(given.real("x", np.float32("inf"))) and math.isnan(given.real("x", math.nan))


# ---- units ------------------------------------------------------------------------------------


def quantity(value: Any, **powers: int) -> Any:
    """What Brian2's quantities offer, in SI units: values, and `dim` that tells the dimension."""

    class Offered(np.ndarray):
        dim = SimpleNamespace(get_dimension=lambda unit: powers.get(unit, 0))

    return np.asarray(value, float).view(Offered)


def test_units_without_brian2(rng: np.random.Generator) -> None:
    network = initialise([5, 4, 3], rng)
    second, volt = {"second": 1}, {"kilogram": 1, "metre": 2, "second": -3, "ampere": -1}
    for tau in (quantity(0.01, **second), quantity([0.01, 0.01], **second), quantity(0.01)):
        if tau.dim.get_dimension("second"):
            assert build_circuit(network, time_constant=tau).time_constants == (0.01, 0.01)
        else:
            refused(lambda tau=tau: build_circuit(network, time_constant=tau), "is not a time")
    refused(lambda: build_circuit(network, time_constant=quantity(0.01, **volt)), "give seconds")
    refused(lambda: build_circuit(network, "gait", quantity(0.01, **second)), "number without unit")
    assert build_circuit(network, "gait", quantity(0.25)).strengths == (0.25, 0.25)


def test_brian2_units_are_known_without_importing_it() -> None:
    """In a process of its own: the library alone leaves Brian2 out, and takes its quantities."""
    text = """
import sys, warnings
import numpy as np
from circuit.dynamics import build_circuit
from circuit.initialisation.networks import initialise
from circuit.plastic.circuit import Timing
network = initialise([5, 4, 3], np.random.default_rng(1))
build_circuit(network, "gait", 0.1, time_constant=0.01)
assert "brian2" not in sys.modules
warnings.simplefilter("ignore")
from brian2 import Hz, ms, mV, second
for tau in (10 * ms, [10 * ms, 0.01 * second], np.array([10, 10]) * ms):
    assert build_circuit(network, "gait", time_constant=tau).time_constants == (0.01, 0.01), tau
timing = Timing(1 * ms, 1, 1, lag=20 * ms)
assert (timing.step, timing.lag) == (0.001, 0.02)
for wrong in (10 * mV, 10 * Hz, 10 * ms * ms, [10 * mV, 10 * ms]):
    for act in (
        lambda: build_circuit(network, "gait", time_constant=wrong),
        lambda: build_circuit(network, "gait", wrong),
        lambda: Timing(0.001, 1, 1, lag=wrong),
    ):
        try:
            act()
        except ValueError as error:
            assert "\\n" not in str(error)
        else:
            raise AssertionError(wrong)
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---- counts, words, truth values ---------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, 1.5, 6.0, "6", True, -1, 0, None, [1], math.inf])
def test_what_is_no_count_is_refused(value: Any, trial: Trial) -> None:
    network, widths = trial.network, (5, 4, 3)
    counts = [
        lambda: replace(network, n_outputs=value),
        lambda: replace(network, n_inputs=value),
        lambda: initialise((*widths[:-1], value), np.random.default_rng(1)),
        lambda: Regulariser(every=value),
        lambda: Inhibition(samples=value),
        lambda: LearnedInverse(block=value),
        lambda: per_layer(0.1, value),
        lambda: Timing(0.001, 1, value),
        lambda: Sleep(value, 8, 6, np.ones(1), np.ones(1)),
        lambda: Spontaneous(period=value),
    ]
    if value is not None:
        counts.append(lambda: settle(trial, max_steps=value))
    if value != 0:
        counts.append(lambda: dense_jacobian(trial, trial.at_rest(), value))
        counts.append(lambda: linearised(trial, trial.at_rest(), value))
    for act in counts:
        refused(act, "whole|give 1|units of the|there is no sample|in at least one")


@pytest.mark.parametrize("value", ["no", "yes", 0, 1, None, 1.0, [], np.int64(1)])
def test_what_is_no_truth_value_is_refused(value: Any, trial: Trial) -> None:
    for act in (
        lambda: LearnedInverse(corrected=value),
        lambda: Adam(bias_correction=value),
        lambda: settle(trial, must_converge=value),
        lambda: velocity(trial, trial.activity.rates[1:], nudged=value),
        lambda: initialise((5, 4), np.random.default_rng(1), auxiliary=value),
    ):
        refused(act, "is not a truth value; give True or False")


@pytest.mark.parametrize("value", ["nonsense", None, 1, ["gait"], {}, tanh])
def test_what_is_no_known_word_is_refused(value: Any, trial: Trial) -> None:
    record, generator = settle(trial), np.random.default_rng(1)
    for act in (
        lambda: build_circuit(trial.network, value),
        lambda: settle(trial, value),
        lambda: record.read_out(value),
        lambda: initialise((5, 4), generator, init=value),
        lambda: Lesson(rule=value),
        lambda: Inhibition(mechanism=value),
        lambda: Decorrelation(place=value),
        lambda: Regulariser(of=value),
        lambda: LearnedInverse(aim=value),
        lambda: descent(np.eye(3), 0.1, value),
    ):
        refused(act, "is unknown; choose from")
    refused(lambda: settle(trial, "ode", **{str(value): 1}), "method ode has no option .*rtol")
    if value != 1:  # which is a seed
        refused(lambda: initialise((5, 4), value), "draws no random numbers")
    refused(lambda: descent(np.eye(3), math.inf), "lambda = inf is not finite")


# ---- units of a network, by name ---------------------------------------------------------------


def names(network: Network) -> list[str]:
    return [unit.name for unit in network.activations]


def test_units_are_given_by_name(trial: Trial, rng: np.random.Generator) -> None:
    network = trial.network
    for units in (("tanh", "asinh"), ["tanh", asinh()], (tanh(), "asinh")):
        assert names(replace(network, activations=units)) == ["tanh", "asinh"]
        assert names(initialise([5, 4, 3], rng, activation=units)) == ["tanh", "asinh"]
    for unit in ("tanh", tanh()):
        assert names(replace(network, activations=unit)) == ["tanh", "tanh"]
    by_name = replace(network, activations=("tanh", "asinh"))
    assert all(isinstance(unit, Activation) for unit in by_name.activations)
    drives = forward(by_name, trial.activity.rates[0]).drives
    np.testing.assert_array_equal(
        forward(by_name, trial.activity.rates[0]).rates[1], np.tanh(drives[0])
    )
    for units in ("relu", ("tanh", "relu"), ("tanh", tanh), (None, "tanh"), 3):
        refused(lambda units=units: replace(network, activations=units), "activation .* is unknown")
    refused(
        lambda: replace(network, activations=("tanh",)), "2 weights, 2 biases and 1 activations"
    )


# ---- arrays -----------------------------------------------------------------------------------


def test_arrays_that_are_none_or_do_not_fit(trial: Trial) -> None:
    network, inputs = trial.network, trial.activity.rates[0]
    (first, second), (b, c) = network.weights, network.biases
    for wrong in ((b[None], c), (b, c[:, None]), (b[:-1], c), ([0.0] * 3, c), (b, None), 3, None):
        refused(lambda wrong=wrong: replace(network, biases=wrong), "", ShapeMismatch)
    for wrong in ((first, second[0].tolist()), (first, None), first, 3):
        refused(lambda wrong=wrong: replace(network, weights=wrong), "", ShapeMismatch)
    for wrong in (inputs[0].tolist(), None, 1.0, "x", inputs[:, :4], inputs.astype("f4")):
        refused(lambda wrong=wrong: forward(network, wrong), "", ShapeMismatch)
    for wrong in (None, 1.0, [[0.0] * 2] * 5, np.zeros((6, 3)), np.zeros((5, 2))):
        refused(lambda wrong=wrong: begin(trial.circuit, inputs, wrong), "", ShapeMismatch)
    for indices in ([6], [-1], [0, 6], [], 3, None, [0.0], range(4, 8)):
        refused(lambda indices=indices: trial.samples(indices), "sample")
    for rates in (None, trial.activity.rates, [None, None], trial.activity.rates[1:2]):
        refused(lambda rates=rates: velocity(trial, rates), "", ShapeMismatch)


def test_other_networks_and_batches_are_refused(trial: Trial, rng: np.random.Generator) -> None:
    network, activity = trial.network, trial.activity
    targets = rng.random((6, 2))
    error, shifts = output_error(network, activity, targets), settle(trial).shifts
    for other in foreign(trial, rng):
        theirs = settle(other).shifts
        for act in (
            lambda: updates(network, activity, theirs),
            lambda: updates(network, other.activity, shifts),
            lambda: dense_jacobian(trial, theirs),
            lambda: jacobian_product(trial, shifts, theirs.values),
            lambda: linearised(trial, theirs),
            lambda: relative_error_bounds(trial, theirs),
            lambda: velocity(trial, other.activity.rates[1:]),
            *(
                lambda rule=rule: rule(network, other.activity, error, 0.1)
                for rule in RULES.values()
            ),
        ):
            refused(act, "shapes?", ShapeMismatch)
    for wrong in (error[:5], error[:1], error[0], error.astype("f4"), error[None], None, 1.0):
        for rule in RULES.values():
            refused(lambda rule=rule: rule(network, activity, wrong, 0.1), "", ShapeMismatch)
    for wrong in (None, shifts.values, 3):
        refused(lambda: updates(network, activity, wrong), "is no Shifts; give one")
    for shape in ((5, 4), (6, 3)):
        refused(
            lambda: local_update(np.ones((6, 4)), np.ones(shape), np.ones((6, 5))),
            "not of one layer and batch",
            ShapeMismatch,
        )
    refused(
        lambda: local_update(np.ones((6, 4)), np.ones((6, 4)), np.ones((5, 5))),
        "not of one layer and batch",
        ShapeMismatch,
    )


def test_a_sample_that_is_not_there(trial: Trial) -> None:
    """Of six, counted from 0; the last is there."""
    shifts = settle(trial).shifts
    assert dense_jacobian(trial, shifts, 5).shape == (7, 7)
    for sample in (6, 99, -1):
        for act in (dense_jacobian, linearised):
            refused(
                lambda act=act: act(trial, shifts, sample), f"no sample {sample} in a batch of 6"
            )


def test_inverse_models_of_other_networks(rng: np.random.Generator) -> None:
    network = initialise([5, 4, 3], rng, auxiliary=False)
    activity = forward(network, rng.random((6, 5)))
    error = output_error(network, activity, rng.random((6, 3)))
    for widths in ([5, 3, 3], [5, 4, 4], [5, 4, 3, 3]):
        model = random_model(initialise(widths, rng, auxiliary=False), np.array(0))
        refused(lambda: build_circuit(network, "gait", 0.1, feedback=model), "model", ShapeMismatch)
        refused(
            lambda: propagate_learned("gait", network, model, activity, error, 0.1),
            "model",
            ShapeMismatch,
        )
    model = random_model(network, np.array(0))
    for matrices in (3, (), network.weights[1:], (np.eye(4), np.eye(3))):
        refused(
            lambda given=matrices: build_circuit(network, "gait", 0.1, feedback=given),
            "feedback matrices of shapes",
            ShapeMismatch,
        )
    for wrong, words, kind in (
        (model.weights[0].astype("float32"), "dtype float32, the weights float64", ShapeMismatch),
        (np.nan * model.weights[0], "B of layer 2", NotFinite),
    ):
        refused(
            lambda given=wrong: build_circuit(network, "gait", 0.1, feedback=(given,)), words, kind
        )
    refused(
        lambda: build_circuit(network, "gait", 0.1, feedback="learned"),
        "feedback 'learned' is unknown; choose from exact, pseudo-inverse",
    )
    refused(lambda: build_circuit(network, "gait", 0.1, corrected=1), "corrected")
    refused(
        lambda: propagate_learned("bp", network, model, activity, error, 0.1), "choose from gait"
    )


# ---- plastic circuits --------------------------------------------------------------------------


def plastic(**changes: Any) -> Plastic:
    network = Network(
        (np.ones((2, 4, 5)), np.ones((2, 3, 4))),
        (np.zeros((2, 4)), np.zeros((2, 3))),
        "leaky_relu",
        n_inputs=5,
        n_outputs=3,
    )
    settings: dict[str, Any] = {
        "network": network,
        "feedback": (np.ones((2, 4, 3)),),
        "rates": np.ones(2),
        "timing": Timing(0.005, 0, 20),
        "strength": 0.3,
        "time_constants": (np.full((2, 4), 0.01), np.full((2, 3), 0.01)),
        "delays": np.zeros(2, int),
        "noise": np.zeros(2),
        "feedback_plasticity": np.ones(2),
    }
    return Plastic(**(settings | changes))


def test_plastic_circuits_take_numbers_and_units() -> None:
    taken = plastic(strength=np.float32(0.25), rates=[0.5, 1])
    assert taken.strength == 0.25 and taken.rates.tolist() == [0.5, 1.0]
    taus = (quantity(np.full((2, 4), 0.02), second=1), quantity(np.full((2, 3), 0.03), second=1))
    circuit = plastic(time_constants=taus)
    assert [float(tau.min()) for tau in circuit.time_constants] == [0.02, 0.03]
    assert {type(tau) for tau in circuit.own_time_constants} == {np.ndarray}


@pytest.mark.parametrize(
    "changes",
    [
        {"strength": math.inf},
        {"strength": "0.3"},
        {"rates": ["a", "b"]},
        {"rates": [math.nan, 1]},
        {"rates": [[1], [1, 2]]},
        {"rates": quantity([1, 1], second=1)},
        {"time_constants": 0.01},
        {"time_constants": (quantity(np.full((2, 4), 0.01), metre=1), np.full((2, 3), 0.01))},
        {"feedback": "none"},
        {"feedback": (None,)},
        {"network": None},
        {"timing": 0.005},
        {"sleep": True},
        {"decay": None},
        {"delays": [0.5, 1]},
        {"readout": ["shift"]},
    ],
    ids=lambda changes: re.sub(r"\s+", " ", str(changes))[:40],
)
def test_plastic_circuits_refuse(changes: dict[str, Any]) -> None:
    plastic()
    refused(lambda: plastic(**changes), "")


def test_sleep_refuses() -> None:
    for words in (
        {"lateral_rates": [math.nan]},
        {"strengths": "1"},
        {"inverse_rates": None},
        {"lateral": np.ones((1, 3, 3))},
        {"lateral": (None,)},
    ):
        settings = {"lateral_rates": np.ones(1), "strengths": np.ones(1)} | words
        refused(lambda settings=settings: Sleep(2, 8, 6, **settings), "")


def test_what_is_not_finite_is_called_so(trial: Trial) -> None:
    inputs = trial.activity.rates[0].copy()
    inputs[2, 1] = math.nan
    refused(
        lambda: forward(trial.network, inputs), r"inputs holds nan at index \(2, 1\)", NotFinite
    )
