"""One image that cannot be settled leaves all others where they are without it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from mpmath import mp

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.errors import NotSettled, TargetOutOfRange
from circuit.initialisation.networks import initialise
from circuit.learned_inverse.inverse_model import exact_model
from circuit.learning.lesson import Lesson
from circuit.learning.step import begin_learning, learn
from circuit.network import Network
from circuit.outcome import Equilibrium
from circuit.settings.learning import Adam
from circuit.trial import Trial
from circuit.units.tanh import tanh
from circuit.verification.judgement import Status
from studies.strength.partly_settled import settle_most
from tests.circuit.test_dynamics import LiteralCircuit, digits
from tests.imperfect_circuits import Imperfect, settle_imperfect

METHODS = ("direct", "sweep", "newton", "brian2")
BAD = 2  # its place in the batch
GOOD = [0, 1, 3, 4]


def _batch(
    unit: str, pathway: str, spoilt: str, dtype: str = "float64", gamma: float = 0.3
) -> tuple[Trial, Trial]:
    """Five images of which one is spoilt, and the four others; with auxiliary units."""
    rng = np.random.default_rng(1)
    network = initialise((6, 5, 5, 4), rng, activation=unit, n_outputs=3, dtype=dtype)
    inputs = rng.standard_normal((5, 6)).astype(dtype)
    targets = rng.uniform(-0.5, 0.5, (5, 3)).astype(dtype)
    if spoilt == "target":
        targets[BAD, 0] = 40.0 if unit == "tanh" else 1e5
    elif spoilt == "rates":  # tanh of the drives in layer 2 is 1
        first, second, third = network.weights
        network = replace(network, weights=(first, 15 * second, third))
        inputs *= 0.05
        inputs[BAD] *= 4000
    circuit = build_circuit(network, pathway, gamma)
    both, alone = begin(circuit, inputs, targets), begin(circuit, inputs[GOOD], targets[GOOD])
    if spoilt in ("nan", "inf"):  # as a caller's own trial may hold; `begin` refuses it
        error = both.error.copy()
        error[BAD, 1] = float(spoilt)
        both = replace(both, error=error)
    return both, alone


@cache
def _others_alone(unit: str, pathway: str, spoilt: str, method: str) -> Equilibrium:
    """The record of the four others by themselves."""
    return settle(_batch(unit, pathway, spoilt)[1], method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pathway", ["itp", "gait"])
@pytest.mark.parametrize(
    ("unit", "spoilt", "statuses"),
    [
        ("tanh", "target", {Status.DIVERGED}),
        ("tanh", "rates", {Status.NOT_RESOLVABLE}),
        ("asinh", "nan", {Status.NOT_FINITE}),
        ("asinh", "inf", {Status.NOT_FINITE}),
    ],
)
def test_the_others_are_where_they_are_without_it(
    unit: str, spoilt: str, statuses: set[Status], pathway: str, method: str
) -> None:
    """To the bit; and it is said of the spoilt one alone that it did not settle, and why."""
    both, _ = _batch(unit, pathway, spoilt)
    # what spoils an error leaves the others' batch as it is
    wanted = _others_alone(unit, pathway, "nan" if spoilt == "inf" else spoilt, method)
    found = settle(both, method, must_converge=False)
    assert found.sample_status[BAD] in statuses
    assert [found.sample_status[i] for i in GOOD] == [Status.CONVERGED] * 4
    for layer in (1, 2, 3):
        exact, ours = wanted.shifts.absolute(layer), found.shifts.absolute(layer)[GOOD]
        if method == "newton":  # whose linear solves are of all images at once
            np.testing.assert_allclose(ours, exact, rtol=1e-9, atol=1e-9 * np.abs(exact).max())
        else:
            np.testing.assert_array_equal(ours, exact)
    if method == "direct":
        with pytest.raises(NotSettled, match="1 of 5 samples"):
            settle(both, method)


@pytest.mark.parametrize(("unit", "spoilt"), [("tanh", "target"), ("asinh", "nan")])
def test_trajectories_of_the_others_are_theirs(unit: str, spoilt: str) -> None:
    """Steps in time are chosen for all images of a batch: those that go on are chosen anew."""
    both, alone = _batch(unit, "itp", spoilt)
    found, wanted = (settle(t, "ode", tolerance=1e-4, must_converge=False) for t in (both, alone))
    assert [status is Status.CONVERGED for status in found.sample_status] == [
        i != BAD for i in range(5)
    ]
    np.testing.assert_array_equal(found.shifts.absolute(1)[GOOD], wanted.shifts.absolute(1))


@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_overflow_of_one_image(pathway: str) -> None:
    """sinh of a shift of 1e4 overflows (ITP); in the GAIT circuit it is only large."""
    both, alone = _batch("asinh", pathway, "target")
    found, wanted = settle(both, must_converge=False), settle(alone)
    assert [found.sample_status[i] for i in GOOD] == [Status.CONVERGED] * 4
    assert (found.sample_status[BAD] is Status.NOT_FINITE) or pathway == "gait"
    for layer in (1, 2, 3):
        exact = wanted.shifts.absolute(layer)
        gap = found.shifts.absolute(layer)[GOOD] - exact
        assert np.linalg.norm(gap) < 1e-9 * np.linalg.norm(exact)


def test_units_of_a_users_own_may_refuse() -> None:
    """Which image it is, is then found by halves."""
    both, alone = _batch("tanh", "itp", "target")
    own = replace(tanh(), name="own", inverse_difference_or_nan=None)

    def with_own(trial: Trial) -> Trial:
        network = replace(trial.network, activations=(own,) * 3)
        return replace(trial, circuit=replace(trial.circuit, network=network))

    found, wanted = settle(with_own(both), must_converge=False), settle(with_own(alone))
    assert found.sample_status[BAD] is not Status.CONVERGED
    np.testing.assert_array_equal(found.shifts.absolute(1)[GOOD], wanted.shifts.absolute(1))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_those_that_settle_are_at_rest_in_the_printed_equations(dtype: str) -> None:
    """Literally, in mpmath: strong feedback, where the first guess of many a tanh unit is beyond 1
    though its equilibrium is inside.
    """
    rng = np.random.default_rng(5)
    network = initialise((5, 5, 5, 5, 4), rng, activation="tanh", n_outputs=3, dtype=dtype)
    inputs = rng.standard_normal((8, 5)).astype(dtype)
    targets = rng.uniform(-0.9, 0.9, (8, 3)).astype(dtype)
    targets[3] = 9.0
    trial = begin(build_circuit(network, "itp", 0.5), inputs, targets)
    settled = settle_most(trial)
    assert 3 not in settled.images
    assert len(settled.images) >= 6
    with mp.workdps(digits(settled.shifts)):
        for place in range(len(settled.images)):
            literal = LiteralCircuit(settled.trial, place)
            residuals = literal.relative_residuals(literal.rates(settled.shifts, place))
            assert max(residuals) < (1e-9 if dtype == "float64" else 1e-3)


def test_learning_leaves_out_the_image_that_has_no_equilibrium() -> None:
    """The step is that of the other images by themselves; half of ten, a fifth of five are left."""
    both, alone = _batch("tanh", "gait", "target", gamma=0.1)
    lesson = Lesson("circuit", feedback_strength=0.1, adam=Adam(0.01))
    steps = []
    for trial in (both, alone):
        learner = begin_learning(trial.network, lesson)
        inputs, targets = trial.activity.rates[0], trial.target[:, :3]
        steps.append(learn(learner, lesson, inputs, targets))
    (one, seen), (other, _) = steps
    assert float(seen.settled) == pytest.approx(0.8)
    for mine, wanted in zip(one.moments.first_weights, other.moments.first_weights, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize("rule", ["tp", "itp"])
def test_a_rule_without_a_target_names_the_image(rule: str) -> None:
    """A formula without a value is no lesson: refused in one line that says which to leave out."""
    both, _ = _batch("tanh", "itp", "target")
    lesson = Lesson(rule, feedback_strength=0.3)
    learner = begin_learning(both.network, lesson)
    inputs, targets = both.activity.rates[0], both.target[:, :3]
    with pytest.raises(TargetOutOfRange, match="layer 3 .* 1 of 5 samples, .* sample 2") as refusal:
        learn(learner, lesson, inputs, targets)
    assert "\n" not in str(refusal.value)
    learn(learner, lesson, inputs[GOOD], targets[GOOD])  # nothing else is in the way


def test_through_a_learned_inverse_too() -> None:
    """Sweeps through B, and Newton's method image by image."""
    both, alone = _batch("tanh", "itp", "target", gamma=0.1)
    model = exact_model(both.network)
    matrices = (both.network.weights[0].T, *model.weights)
    for readout in ("shift", "mismatch"):
        one, other = (
            settle(
                replace(trial, circuit=replace(trial.circuit, feedback=model)),
                must_converge=False,
            )
            for trial in (both, alone)
        )
        settled = [status is Status.CONVERGED for status in one.sample_status]
        assert settled == [i != BAD for i in range(5)]
        for layer in (1, 2, 3):
            mine, wanted = (found.read_out(readout).absolute(layer) for found in (one, other))
            np.testing.assert_allclose(mine[GOOD], wanted, atol=1e-9 * np.abs(wanted).max())
    found, wanted = (settle_imperfect(Imperfect(t, matrices, True)) for t in (both, alone))
    assert found.settled.tolist() == [i != BAD for i in range(5)]
    for mine, exact in zip(found.shifts, wanted.shifts, strict=True):
        np.testing.assert_allclose(mine[GOOD], exact, rtol=1e-7, atol=1e-12)


def test_a_stack_of_networks_keeps_its_good_images() -> None:
    """A stack is not taken apart; what is not a number stays where it is."""
    both, alone = _batch("tanh", "itp", "target", gamma=0.1)
    network = both.network
    stack = Network(
        tuple(np.stack([w, w]) for w in network.weights),
        tuple(np.stack([b, b]) for b in network.biases),
        network.activations,
        6,
        3,
    )
    inputs, targets = both.activity.rates[0], both.target[:, :3]
    fine = targets.copy()
    fine[BAD] = 0.1
    trial = begin(
        build_circuit(stack, "itp", 0.1), np.stack([inputs] * 2), np.stack([targets, fine])
    )
    found, wanted = settle(trial, must_converge=False), settle(alone)
    assert [i for i, s in enumerate(found.sample_status) if s is not Status.CONVERGED] == [BAD]
    gap = found.shifts.absolute(1)[0, GOOD] - wanted.shifts.absolute(1)
    assert np.linalg.norm(gap) < 1e-9 * np.linalg.norm(wanted.shifts.absolute(1))
