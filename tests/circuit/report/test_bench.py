"""circuit.report.bench: what is measured of a rule, against numbers worked out apart from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from circuit.errors import CircuitError, TargetOutOfRange
from circuit.initialisation.networks import initialise
from circuit.learning.lesson import Lesson
from circuit.network import Activity, Network, forward
from circuit.peers.rule import Rule
from circuit.peers.signal import Rest, Signal
from circuit.peers.table import TABLE, register
from circuit.report.bench import bench
from circuit.report.bench_tables import as_dataset, as_values, text
from circuit.rules import back_propagation
from circuit.settings.declaration import Record
from circuit.settings.peers.contrast import EquilibriumPropagationSettings
from circuit.settings.peers.predictive_coding import ErrorBasedSettings
from circuit.verification.judgement import Status

FACTOR = 2.5


@dataclass(frozen=True)
class NoSettings(Record):
    """Of a rule without any."""


def scaled(network, activity, targets, loss, settings, companions, step):
    """Back-propagation times a factor and turned; images whose first target is 1 never settle, and
    say nonsense.
    """
    error = targets - activity.rates[-1][..., : network.n_outputs]
    shifts = back_propagation(network, activity, error)
    lost = targets[:, :1] == 1
    values = tuple(np.where(lost, 1e6, FACTOR * value) for value in shifts.values)
    status = tuple(Status.DIVERGED if one else Status.CONVERGED for one in lost[:, 0])
    residuals = np.where(lost[:, 0], 7.0, 1e-12) * np.ones((network.depth, 1))
    return Signal(
        activity, shifts.with_values(values), rest=Rest(status, residuals, 17, "one of few words")
    )


RULE = Rule("scaled", "more of the same", "nobody", NoSettings, scaled, settles=True)


def given(rng: np.random.Generator) -> tuple[Network, np.ndarray, np.ndarray]:
    network = initialise([8, 6, 6, 4], rng, init="gaussian", activation="tanh", n_outputs=3)
    return network, rng.standard_normal((9, 8)), np.eye(3)[[0, 1, 2, 1, 1, 2, 0, 2, 1]]


def literal_gradient(network: Network, activity: Activity, targets: np.ndarray) -> list[np.ndarray]:
    """-dL/dW of the mean over images, by central differences of the loss."""

    def loss(weights: list[np.ndarray]) -> float:
        rates, total = activity.rates[0], 0.0
        for w, b in zip(weights, network.biases, strict=True):
            rates = np.tanh(rates[:, : w.shape[1]] @ w.T + b)
        total = ((rates[:, : network.n_outputs] - targets) ** 2).sum() / 2
        return total / len(targets)

    found = []
    for layer, weights in enumerate(network.weights):
        change = np.zeros(weights.shape)
        for place in np.ndindex(*weights.shape):
            ends = []
            for sign in (1, -1):
                moved = [w.copy() for w in network.weights]
                moved[layer][place] += sign * 1e-6
                ends.append(loss(moved))
            change[place] = -(ends[0] - ends[1]) / 2e-6
        found.append(change)
    return found


def test_images_that_do_not_settle_are_left_out_on_both_sides(rng: np.random.Generator) -> None:
    """Two of nine are lost; the others' gradient by central differences, times the factor."""
    network, inputs, targets = given(rng)
    with register(RULE):
        (mark,) = bench(network, inputs, targets, ["scaled"]).marks
    assert mark.settled == pytest.approx(7 / 9)
    assert mark.worst_residual == pytest.approx(1e-12)
    assert (mark.passes, mark.words) == (17, "one of few words")
    assert mark.own is None
    assert mark.seconds_over_bp > 0
    for one in mark.bp:
        assert one.cosine == pytest.approx(1, abs=1e-12)
        assert one.norm_ratio == pytest.approx(FACTOR)
        assert one.relative_error == pytest.approx(FACTOR - 1)
    assert "scaled" not in TABLE


def test_where_nothing_settles_what_was_reached_is_compared_and_said(
    rng: np.random.Generator,
) -> None:
    """One step of error-based coding is no rest; its errors are those of back-propagation times the
    step, read at the rates that they have moved a little.
    """
    network, inputs, targets = given(rng)
    settings = ErrorBasedSettings(strength=0.5, step=0.2, steps=1)
    lessons = {"epc": Lesson(rule="epc", settings=settings)}
    (mark,) = bench(network, inputs, targets, lessons, timed=False).marks
    assert mark.settled == 0
    assert "no image settled; what 9 had come to is compared" in mark.words
    assert mark.worst_residual > 0.01
    for one in mark.bp:
        assert one.cosine == pytest.approx(1, abs=0.02)


def test_the_reference_is_the_gradient(rng: np.random.Generator) -> None:
    """What GAIT-prop is compared with is what central differences of the loss give."""
    network, inputs, targets = given(rng)
    found = bench(network, inputs, targets, ["gait"], timed=False)
    gradient = literal_gradient(network, forward(network, inputs), targets)
    from circuit.peers.reading import signal_updates

    lesson = Lesson(rule="gait", feedback_strength=0.01)
    signal = lesson.of_table.signal(
        network, forward(network, inputs), targets, "quadratic", lesson.given, {}, 0
    )
    for change, told, mark in zip(
        signal_updates(network, signal), gradient, found.marks[0].bp, strict=True
    ):
        a, b = change.weights.ravel(), told.ravel()
        assert mark.cosine == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)), abs=1e-7)
        assert mark.norm_ratio == pytest.approx(np.sqrt((a @ a) / (b @ b)), rel=1e-6)


def test_what_one_rule_cannot_do_spoils_no_other(rng: np.random.Generator) -> None:
    """Rectangular weights have no inverse; the rules that need none go on."""
    network = initialise([8, 6, 5, 3], rng, activation="tanh", auxiliary=False)
    found = bench(
        network, rng.standard_normal((4, 8)), np.zeros((4, 3)), ["gait", "bp"], timed=False
    )
    refused, fine = found.marks
    assert not refused.bp
    assert "square" in refused.words
    assert fine.bp[0].cosine == pytest.approx(1)
    assert "nothing to compare" in text(found)
    assert np.isnan(as_dataset(found)["bp_cosine"].sel(rule="gait")).all()
    assert as_values(found)["gait"]["layers"] == []


def test_images_without_a_target_are_left_out_one_by_one(rng: np.random.Generator) -> None:
    """Target propagation through tanh has no inverse of a target beyond 1."""
    network, inputs, targets = given(rng)
    targets = forward(network, inputs).rates[-1][:, :3] + 1e-5 * targets
    targets[4, 0] = 9.0
    others = [row for row in range(9) if row != 4]
    (alone,) = bench(network, inputs[others], targets[others], ["tp"], timed=False).marks
    for timed in (True, False):
        (mark,) = bench(network, inputs, targets, ["tp"], timed=timed).marks
        assert mark.settled == pytest.approx(8 / 9)
        assert mark.bp == alone.bp
        assert np.isfinite(mark.seconds_over_bp) == timed


def test_of_images_that_have_a_target_those_that_do_not_settle_are_left_out(
    rng: np.random.Generator,
) -> None:
    """Of nine images the fifth has no target, the first and the seventh never settle."""

    def refusing(network, activity, targets, *more):
        if (targets > 5).any():
            raise TargetOutOfRange("there is none; give another")
        return scaled(network, activity, targets, *more)

    network, inputs, targets = given(rng)
    targets[4, 1] = 9.0
    with register(replace(RULE, signal=refusing)):
        (mark,) = bench(network, inputs, targets, ["scaled"], timed=False).marks
    assert mark.settled == pytest.approx(6 / 9)
    assert mark.worst_residual == 1e-12
    for layer in mark.bp:
        assert (layer.cosine, layer.norm_ratio) == pytest.approx((1, FACTOR))


def test_an_image_whose_gradient_is_no_float_spoils_no_other(rng: np.random.Generator) -> None:
    """A target of 1e200, whose square overflows: the others are as without it."""
    network, inputs, targets = given(rng)
    network = replace(network, activations="leaky_relu")
    wild = targets.copy()
    wild[4, 1] = 1e200
    rules, others = ["bp", "tp", "chl", "pc"], [0, 1, 2, 3, 5, 6, 7, 8]
    found = bench(network, inputs, wild, rules, timed=False)
    alone = bench(network, inputs[others], targets[others], rules, timed=False)
    assert (found.left_out, alone.left_out) == ((4,), ())
    for mark, other in zip(found.marks, alone.marks, strict=True):
        assert mark.bp == other.bp
    assert "1 image(s) are left out, the first is number 4" in text(found)
    with pytest.raises(CircuitError, match="all 9 images leaves the range of float64"):
        bench(network, inputs, 1e200 * np.ones_like(targets), rules)


def test_where_nothing_is_reached_nothing_is_said_to_be_compared(
    rng: np.random.Generator,
) -> None:
    """Feedback so strong that a linear circuit has no free state."""
    network, inputs, targets = given(rng)
    network = replace(network, activations="linear")
    lessons = {"ep": Lesson(rule="ep", settings=EquilibriumPropagationSettings(gamma=0.9))}
    (mark,) = bench(network, inputs, targets, lessons, timed=False).marks
    assert not mark.bp
    assert mark.words.startswith("no image settled. ")


def test_the_forms_hold_the_same_numbers(rng: np.random.Generator) -> None:
    network, inputs, targets = given(rng)
    found = bench(network, inputs, targets, ["bp", "gait", "chl"])
    data, values, words = as_dataset(found), as_values(found), text(found)
    for mark in found.marks:
        for i, one in enumerate(mark.bp):
            kept = values[mark.rule]["layers"][i]
            assert kept["bp"]["cosine"] == one.cosine
            assert float(data["bp_cosine"].sel(rule=mark.rule, layer=i + 1)) == one.cosine
            assert f"{one.cosine:.4f}" in words
    assert values["chl"]["layers"][0]["own"] is not None
    assert values["gait"]["layers"][0]["own"] is None
    assert max(map(len, words.splitlines())) <= 100


def test_bad_input_is_refused(rng: np.random.Generator) -> None:
    network, inputs, targets = given(rng)
    for asked, words in ((["guess"], "guess"), ([], "at least one")):
        with pytest.raises(CircuitError, match=words):
            bench(network, inputs, targets, asked)
    with pytest.raises(CircuitError):
        bench(network, inputs[:, :5], targets, ["bp"])
    both = {"bp": Lesson(rule="bp"), "gait": Lesson(rule="gait", loss="cross_entropy")}
    with pytest.raises(CircuitError, match="loss"):
        bench(network, inputs, targets, both)
