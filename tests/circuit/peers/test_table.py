"""circuit.peers.table: every rule by its name, and one of one's own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.errors import CircuitError
from circuit.initialisation.networks import initialise
from circuit.learned_inverse.companions import LearnedInverse
from circuit.learning.lesson import Lesson
from circuit.learning.step import begin_learning, learn
from circuit.losses import output_error
from circuit.network import Network, forward
from circuit.peers import table
from circuit.peers.rule import Rule
from circuit.peers.signal import Rest, Signal
from circuit.peers.table import TABLE, register
from circuit.rules import RULES, back_propagation
from circuit.settings.declaration import Number, Record
from circuit.settings.learning import Adam
from circuit.settings.peers.of_lesson import CircuitSettings, GainSettings, PlainSettings
from circuit.verification.judgement import Status

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Doubled(Record):
    """Settings of a rule that is back-propagation, some times over."""

    times: float = Number(2.0, "how many times over").field()


def doubled(network, activity, targets, loss, settings, companions, step) -> Signal:
    """Of images whose first target is negative nothing is known."""
    error = output_error(network, activity, np.nan_to_num(targets), loss)
    shifts = back_propagation(network, activity, error)
    lost = targets[..., 0] < 0
    values = tuple(np.where(lost[..., None], np.nan, settings.times * v) for v in shifts.values)
    read = tuple(np.where(lost[..., None], np.inf, rates) for rates in activity.rates)
    status = [Status.DIVERGED if one else Status.CONVERGED for one in lost.reshape(-1)]
    rest = Rest(tuple(status), np.zeros((network.depth, lost.size)), 1)
    return Signal(activity, shifts.with_values(values), "target", read, rest)


DOUBLED = Rule("doubled", "twice the gradient", "this test", Doubled, doubled, settles=True)


@pytest.fixture
def task(rng: np.random.Generator):
    """Network 5-4-4-3 as the rules need it, inputs, targets."""
    network = initialise([5, 4, 4, 4], rng, activation="asinh", n_outputs=3)
    targets = np.eye(3)[rng.integers(0, 3, 12)]
    return network, rng.random((12, 5)), targets


@pytest.mark.parametrize("name", TABLE)
def test_a_line_says_of_a_rule_what_its_file_says(name: str) -> None:
    line, rule = TABLE[name], TABLE[name].rule()
    assert (line.name, rule.name, rule.words, rule.settings) == (
        name,
        name,
        line.words,
        line.settings(),
    )
    assert line.through_inverse == rule.needs_inverse
    assert "\n" not in rule.words
    assert line.called
    assert rule.reference
    assert line.settings()() == line.settings()()  # which its defaults allow


def test_a_name_costs_nothing_until_the_rule_is_asked_for() -> None:
    """Settings of all rules are known without NumPy; a rule loads its own file, not its peers'."""
    script = (
        "import sys\nfrom circuit.peers.table import TABLE, own_settings\n"
        "found = [own_settings(name) for name in TABLE]\n"
        "assert not {'numpy', 'scipy'} & set(sys.modules)\n"
        "TABLE['tp'].rule()\n"
        "assert 'numpy' in sys.modules and 'circuit.peers.circuit' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", list(RULES))
def test_the_rules_of_the_paper_stand_in_the_table_as_they_are(name: str, task) -> None:
    network, inputs, targets = task
    activity = forward(network, inputs)
    error = output_error(network, activity, targets, "cross_entropy")
    settings = TABLE[name].settings()
    given = settings(feedback_strength=0.2) if issubclass(settings, GainSettings) else settings()
    signal = TABLE[name].rule().signal(network, activity, targets, "cross_entropy", given, {}, 0)
    wanted = RULES[name](network, activity, error, 0.2)
    for layer in (1, 2, 3):
        np.testing.assert_array_equal(signal.shifts.absolute(layer), wanted.absolute(layer))
    assert (signal.reading, signal.rest) == ("target", None)


def test_the_circuit_stands_in_the_table_with_what_became_of_it(task) -> None:
    network, inputs, targets = task
    given = CircuitSettings(feedback_strength=0.05, pathway="itp", readout="mismatch")
    rule = TABLE["circuit"].rule()
    signal = rule.signal(network, forward(network, inputs), targets, "quadratic", given, {}, 0)
    record = settle(begin(build_circuit(network, "itp", 0.05), inputs, targets))
    for layer in (1, 2, 3):
        n = network.n_projecting(layer)
        found = signal.shifts.absolute(layer)
        np.testing.assert_array_equal(found[:, :n], record.mismatches.absolute(layer)[:, :n])
        assert not found[:, n:].any()
    assert signal.rest is not None
    assert signal.rest.status == record.sample_status
    assert signal.rest.residuals.shape == (3, 12)
    np.testing.assert_array_equal(signal.rest.residuals.max(axis=1), record.relative_residuals)


def after(network: Network, lesson: Lesson, inputs, targets):
    """A learner after one step, and what it saw."""
    return learn(begin_learning(network, lesson), lesson, inputs, targets)


def test_a_registered_rule_teaches_and_is_gone_at_the_end(task) -> None:
    """Adam is told a direction twice as long; it makes the same step but for its epsilon."""
    network, inputs, targets = task
    with register(DOUBLED, "the double"):
        assert table.own_settings("doubled").keys() == {"times"}
        assert table.own_settings("doubled")["times"].option == "doubled_times"
        own, _ = after(network, Lesson("doubled"), inputs, targets)
        five, _ = after(network, Lesson("doubled", settings=Doubled(5.0)), inputs, targets)
        with pytest.raises(CircuitError, match="there is a rule doubled already"):
            register(DOUBLED)
        with pytest.raises(CircuitError, match="settings = PlainSettings.* is no Doubled"):
            Lesson("doubled", settings=PlainSettings())
        with pytest.raises(CircuitError, match="goes through no inverse; leave out"):
            Lesson("doubled", inverse=LearnedInverse())
    plain, _ = after(network, Lesson("bp"), inputs, targets)
    for one, times in ((own, 2), (five, 5)):
        for found, wanted in zip(
            one.moments.first_weights, plain.moments.first_weights, strict=True
        ):
            np.testing.assert_allclose(found, times * wanted, rtol=1e-12)
    assert "doubled" not in TABLE
    with pytest.raises(CircuitError, match="rule 'doubled' is unknown; choose from bp, tp"):
        Lesson("doubled")


def test_images_that_did_not_settle_are_as_if_they_had_not_been_shown(task) -> None:
    """Whatever their rates and shifts are: NaN and infinity here. Of none, nothing is learnt."""
    network, inputs, targets = task
    lost = np.arange(12) % 3 == 1
    marked = np.where(lost[:, None], -np.ones(3), targets)
    with register(DOUBLED):
        lesson = Lesson("doubled", adam=Adam(0.1))
        learner, step = after(network, lesson, inputs, marked)
        few, _ = after(network, lesson, inputs[~lost], targets[~lost])
        still, none = after(network, lesson, inputs, -np.ones((12, 3)))
    assert step.settled == 8 / 12
    assert none.settled == 0
    for layer in range(3):
        found, wanted = learner.network.weights[layer], few.network.weights[layer]
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)
        assert np.abs(found - network.weights[layer]).max() > 1e-3
        np.testing.assert_array_equal(still.network.weights[layer], network.weights[layer])


def test_what_lives_beside_the_network_is_asked_for_practises_and_is_kept(task) -> None:
    """A rule that counts its steps beside a stack of two networks, each from its own key."""
    network, inputs, targets = task
    stack = replace(
        network,
        weights=tuple(np.stack([w, w]) for w in network.weights),
        biases=tuple(np.stack([b, b]) for b in network.biases),
    )

    def companions(network, settings, keys):
        return {"steps_told": (np.array([[key] for key in keys]) * settings.times,)}

    def practise(network, activity, companions, settings, step):
        return {"steps_told": (companions["steps_told"][0] + 100**step,)}

    counting = replace(DOUBLED, companions=companions, practise=practise)
    with register(counting):
        lesson, keys = Lesson("doubled"), np.array([3, 5])
        with pytest.raises(CircuitError, match="what rule doubled has beside .* give a key"):
            begin_learning(stack, lesson)
        with pytest.raises(CircuitError, match="this learner has no steps told, which the lesson"):
            learn(begin_learning(stack), lesson, np.stack([inputs] * 2), np.stack([targets] * 2))
        learner = begin_learning(stack, lesson, keys)
        for _ in range(3):
            learner, _ = learn(learner, lesson, np.stack([inputs] * 2), np.stack([targets] * 2))
    (found,) = learner.companions["steps_told"]
    np.testing.assert_array_equal(found, [[6 + 10101], [10 + 10101]])


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (replace(DOUBLED, name="gait"), "there is a rule gait already"),
        (replace(DOUBLED, name="My Rule"), "is no word; give small letters"),
        ("doubled", "rule = 'doubled' is no Rule"),
    ],
)
def test_what_cannot_be_registered_is_refused_in_a_line(rule, words: str) -> None:
    with pytest.raises(CircuitError, match=words) as caught:
        register(rule)
    assert "\n" not in str(caught.value)


def test_settings_of_the_paper_are_the_lessons_own() -> None:
    with pytest.raises(CircuitError, match="settings of rule gait are the lesson's own"):
        Lesson("gait", settings=GainSettings())
    assert Lesson("circuit", feedback_strength=0.2, readout="mismatch").given == CircuitSettings(
        feedback_strength=0.2, readout="mismatch"
    )
    assert table.own_settings("gait") == {}
    assert table.with_option("gamma") == ("itp", "gait", "grait", "circuit")
    assert table.with_option("readout") == ("circuit",)
