"""Everything goes to another process and comes back the same."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from dataclasses import replace

import joblib
import numpy as np
import pytest

from circuit import (
    CircuitError,
    NotFinite,
    NotSettled,
    ShapeMismatch,
    SingularWeights,
    TargetOutOfRange,
    begin,
    build_circuit,
    clipped_tanh,
    initialise,
    leaky_relu,
    settle,
    tanh,
    updates,
)
from circuit.feedback import PATHWAYS
from circuit.learning import Adam, Lesson, begin_learning, learn
from circuit.report import report
from circuit.units import ACTIVATIONS

WAYS = {
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


def trial_of(unit="leaky_relu", pathway="gait", seed=2):
    rng = np.random.default_rng(seed)
    network = initialise([12, 9, 9, 6], rng, activation=unit, n_outputs=4)
    targets = 0.2 * rng.random((5, 4))
    return begin(build_circuit(network, pathway, 0.02), rng.random((5, 12)), targets)


def same(one, other):
    assert type(one) is type(other)
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other, strict=True)
    elif isinstance(one, tuple | list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            same(left, right)
    elif hasattr(one, "__dataclass_fields__") and not isinstance(one, type(tanh())):
        for name in one.__dataclass_fields__:
            same(getattr(one, name), getattr(other, name))
    elif not isinstance(one, dict):
        assert one == other, (one, other)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pathway", PATHWAYS)
@pytest.mark.parametrize("unit", ["linear", "leaky_relu", "asinh", "tanh"])
def test_records_before_and_after_settling(way, unit, pathway):
    trial = trial_of(unit, pathway)
    same(WAYS[way](trial), trial)
    record = settle(trial)
    before = [one.copy() for one in record.shifts.values]
    assert record.error_bounds
    assert record.mismatches  # what is computed when first read comes along or is computed anew
    for one in (record, record.trial.network, report(record)):
        same(WAYS[way](one), one)
    again = WAYS[way](record)
    same(again.error_bounds, record.error_bounds)
    same(settle(again.trial).shifts.values, tuple(before))
    same(
        updates(again.trial.network, again.trial.activity, again.shifts),
        updates(trial.network, trial.activity, record.shifts),
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "unit",
    [*(make() for make in ACTIVATIONS.values()), leaky_relu(0.3), clipped_tanh(0.9)],
    ids=repr,
)
def test_units_come_back_as_themselves(way, unit):
    assert WAYS[way](unit) is unit
    assert {unit: 1}[WAYS[way](unit)] == 1


def test_units_made_alike_are_equal_and_others_are_not():
    assert tanh() == tanh()
    assert leaky_relu() == leaky_relu(0.1)
    assert leaky_relu(0.1) != leaky_relu(0.2)


def square(h):
    return h * h


def test_a_unit_of_ones_own_goes_by_the_names_of_its_functions():
    mine = replace(leaky_relu(0.2), name="mine", curvature=square)
    back = WAYS["pickle"](mine)
    assert back == mine
    assert back is not leaky_relu(0.2)
    h = np.array([-2.0, 3.0])
    np.testing.assert_array_equal(back.value(h), [-0.4, 3.0])
    np.testing.assert_array_equal(back.curvature(h), [4.0, 9.0])


@pytest.mark.parametrize("way", WAYS)
def test_learners_go_on_where_they_were(way):
    trial, lesson = trial_of(), Lesson(rule="gait", adam=Adam(learning_rate=1e-2))
    inputs, targets = trial.activity.rates[0], trial.target[..., :4]
    learner = begin_learning(trial.network, lesson)
    for _ in range(3):
        learner, _ = learn(learner, lesson, inputs, targets)
    there, _ = learn(WAYS[way](learner), lesson, inputs, targets)
    here, _ = learn(learner, lesson, inputs, targets)
    for one, other in zip(there.network.weights, here.network.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "kind", [CircuitError, SingularWeights, TargetOutOfRange, NotFinite, ShapeMismatch]
)
def test_refusals_keep_their_words(kind):
    back = pickle.loads(pickle.dumps(kind("one line")))
    assert type(back) is kind
    assert str(back) == "one line"


def attempt(trial):
    """Fails, in whichever process."""
    return settle(trial, "sweep", max_steps=1, tolerance=1e-14)


def test_a_failure_brings_its_record_from_another_process():
    trial = trial_of()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        with pytest.raises(NotSettled, match="sweep: ran out of budget after 1 steps") as there:
            pool.apply(attempt, (trial,))
        record = pool.apply(settle, (trial,))
    with pytest.raises(NotSettled) as here:
        attempt(trial)
    same(there.value.record.shifts.values, here.value.record.shifts.values)
    assert str(there.value) == str(here.value)
    same(record.shifts.values, settle(trial).shifts.values)


def test_joblib_hands_circuits_round():
    trials = [trial_of(seed=seed) for seed in (1, 2, 3)]
    records = joblib.Parallel(n_jobs=2)(joblib.delayed(settle)(trial) for trial in trials)
    for record, trial in zip(records, trials, strict=True):
        same(record.shifts.values, settle(trial).shifts.values)
    assert len({joblib.hash(trial.network) for trial in trials}) == 3
    assert joblib.hash(trials[0].network) == joblib.hash(trial_of(seed=1).network)
