"""Rules that iterate, each image for itself: what a bad one does to others, stacks, libraries, and
how many products it all takes."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from circuit.learning.lesson import Lesson
from circuit.learning.step import begin_learning, learn
from circuit.network import Network, forward
from circuit.peers import (
    Rest,
    Rule,
    Signal,
    dual_propagation,
    error_based,
    feedback_control,
    fixed_prediction,
    predictive_coding,
)
from circuit.peers.settling import relative
from circuit.settings.declaration import Record
from circuit.settings.learning import Adam
from circuit.settings.peers.dual_propagation import DualPropagationSettings
from circuit.settings.peers.feedback_control import FeedbackControlSettings
from circuit.settings.peers.predictive_coding import (
    ErrorBasedSettings,
    FixedPredictionSettings,
    PredictiveCodingSettings,
)
from circuit.verification.judgement import Status
from tests.circuit.peers.cases import AUXILIARY, READ, absolute, assert_close, case
from tests.conftest import Backend

MANY: dict[str, tuple[ModuleType, Record]] = {
    "pc": (predictive_coding, PredictiveCodingSettings(0.3)),
    "pc by states": (predictive_coding, PredictiveCodingSettings(0.3, "states", 0.3, 7)),
    "pc_fixed": (fixed_prediction, FixedPredictionSettings(step=0.6, sweeps=5)),
    "epc": (error_based, ErrorBasedSettings(0.3, 0.5, 3)),
    "dual": (dual_propagation, DualPropagationSettings(0.4)),
    "dfc": (feedback_control, FeedbackControlSettings(0.3, 0.2)),
    "dfc by rates": (feedback_control, FeedbackControlSettings(0.3, 0.2, "rates")),
    "dfc random": (feedback_control, FeedbackControlSettings(0.2, 1.0, "random")),
}
rules = pytest.mark.parametrize("name", MANY)


def beside(name: str, network: Network, keys: Any) -> Any:
    """The companions."""
    rule: Rule = MANY[name][0].RULE
    return rule.companions(network, MANY[name][1], np.asarray(keys))


def of(name: str, given: tuple, others: Any = None, loss: Any = "quadratic") -> Signal:
    """The signal of a rule."""
    module, settings = MANY[name]
    others = beside(name, given[0], 3) if others is None else others
    return module.signal(*given, loss, settings, others, 0)


@rules
def test_products_are_as_many_as_the_record_says(
    name: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that go through W or its transpose, over the images and the L - 1 layers in between."""
    given = network, _, _ = case(rng, "tanh", batch=8)
    rows = 0.0

    def counted(method: Any) -> Any:
        def product(self: Network, layer: int, values: Any, *units: int) -> Any:
            nonlocal rows
            rows += values.shape[0]
            return method(self, layer, values, *units)

        return product

    others = beside(name, network, 3)
    for method in ("push", "pull_transposed"):
        monkeypatch.setattr(Network, method, counted(getattr(Network, method)))
    signal = of(name, given, others)
    found = rows / 8 / (network.depth - 1)
    assert found == pytest.approx(signal.rest.passes, rel=1e-9)
    assert found >= 1


@rules
@pytest.mark.parametrize("loss", ["quadratic", "cross_entropy"])
def test_a_bad_image_spoils_no_other(name: str, loss: str, rng: np.random.Generator) -> None:
    """One whose targets are beyond all floats, and one without any error."""
    network, activity, targets = case(rng, "asinh", AUXILIARY, READ, batch=8, n_outputs=3)
    alone = of(name, (network, activity, targets), None, loss)
    marked = targets.copy()
    marked[2] = 1e300
    if loss == "quadratic":
        marked[5] = activity.rates[-1][5, :3]
    signal = of(name, (network, activity, marked), None, loss)
    others = [0, 1, 3, 4, 6, 7]
    assert [signal.rest.status[k] for k in others] == [alone.rest.status[k] for k in others]
    for mine, wanted in zip(absolute(signal), absolute(alone), strict=True):
        np.testing.assert_allclose(
            mine[others], wanted[others], rtol=0, atol=1e-9 * np.abs(wanted[others]).max()
        )
    if loss == "quadratic":
        assert signal.rest.status[5] is Status.CONVERGED
        assert not any(shift[5].any() for shift in absolute(signal))
        assert not signal.rest.residuals[:, 5].any()


@rules
def test_a_stack_is_its_networks(name: str, rng: np.random.Generator) -> None:
    """Leading axes; statuses and residuals flattened."""
    members = [case(rng, "tanh", AUXILIARY, READ, batch=5, n_outputs=3) for _ in range(2)]
    network = replace(
        members[0][0],
        weights=tuple(map(np.stack, zip(*(net.weights for net, _, _ in members), strict=True))),
        biases=tuple(map(np.stack, zip(*(net.biases for net, _, _ in members), strict=True))),
    )
    activity = forward(network, np.stack([each.rates[0] for _, each, _ in members]))
    given = (network, activity, np.stack([targets for _, _, targets in members]))
    together = of(name, given, beside(name, network, [4, 9]))
    for place, (member, key) in enumerate(zip(members, (4, 9), strict=True)):
        alone = of(name, member, beside(name, member[0], key))
        here = slice(5 * place, 5 * place + 5)
        assert together.rest.status[here] == alone.rest.status
        assert together.rest.residuals.shape == (4, 10)
        assert_close([one[place] for one in absolute(together)], absolute(alone), 1e-8)
        for mine, wanted in zip(together.presynaptic, alone.presynaptic, strict=True):
            np.testing.assert_allclose(mine[place], wanted, atol=1e-9)


@rules
@pytest.mark.parametrize("loss", ["quadratic", "cross_entropy", "own"])
def test_every_library_of_arrays_torch_among_them(
    name: str, loss: str, backend: Backend, rng: np.random.Generator
) -> None:
    """With losses that have names, and with one's own function, |y - t|^2 with weights."""
    network, activity, targets = case(rng, "tanh", AUXILIARY, READ, n_outputs=3)
    function: Any = (lambda y, t: 0.7 * (t - y)) if loss == "own" else loss
    others = beside(name, network, 3)
    wanted = of(name, (network, activity, targets), others, function)
    carry = backend.asarray
    carried = replace(
        network,
        weights=tuple(map(carry, network.weights)),
        biases=tuple(map(carry, network.biases)),
    )
    given = (carried, forward(carried, carry(activity.rates[0])), carry(targets))
    moved = {key: tuple(map(carry, arrays)) for key, arrays in others.items()}
    signal = of(name, given, moved, function)
    assert isinstance(signal.shifts.values[0], backend.array_type)
    assert signal.rest.status == wanted.rest.status
    found = [np.asarray(one) for one in absolute(signal)]
    assert_close(found, absolute(wanted), 1e-8)


def test_a_layer_that_nothing_has_reached_is_as_far_as_the_one_above() -> None:
    """Four layers, three images: one on its way, one whose units are all dead below, one silent."""
    left = np.array([[0.0, 0, 0], [0.5, 0, 0], [0.1, 0.25, 0], [0, 0, 0]])
    shifts = np.array([[0.0, 0, 0], [0, 0, 0], [1, 1, 0], [1, 1, 0]])
    error = np.array([1.0, 1.0, 0.0])
    found = relative(list(left), list(shifts), error)
    inf = np.inf
    wanted = [[inf, 0.25, 0], [inf, 0.25, 0], [0.1, 0.25, 0], [0, 0, 0]]
    np.testing.assert_array_equal(found, wanted)
    lost = relative([np.array([np.nan])], [np.array([0.0])], np.array([1.0]))
    assert np.isnan(lost).all()
    none = relative([np.array([0.0])], [np.array([0.0])], np.array([1.0]))
    assert np.isposinf(none).all()


def test_a_rule_of_so_many_steps_teaches_when_they_are_over(rng: np.random.Generator) -> None:
    """Whether it has settled or not; one that is to settle teaches nothing before."""
    fates = (Status.CONVERGED, Status.OUT_OF_BUDGET, Status.NOT_FINITE)
    rest = Rest(fates, np.zeros((1, 3)), 1)
    np.testing.assert_array_equal(rest.teaches, [True, False, False])
    np.testing.assert_array_equal(replace(rest, by_steps=True).teaches, [True, True, False])
    network, activity, targets = case(rng, "tanh", batch=6)
    lesson = Lesson("epc", adam=Adam(0.1), settings=ErrorBasedSettings(steps=1))
    learner, step = learn(begin_learning(network, lesson), lesson, activity.rates[0], targets)
    assert step.settled == 0
    changes = zip(learner.network.weights, network.weights, strict=True)
    assert all(np.abs(after - before).max() > 1e-3 for after, before in changes)


@rules
def test_a_single_layer_has_its_error_and_nothing_else(name: str, rng: np.random.Generator) -> None:
    """Nothing is below that could move: e itself, or f' e and what a nudge or a leak make of it."""
    given = network, activity, targets = case(rng, "linear", (5, 3))
    signal = of(name, given)
    assert signal.rest.converged.all()
    assert signal.rest.residuals.shape == (1, 6)
    error, mine = targets - activity.rates[-1], absolute(signal)[0]
    settings: Any = MANY[name][1]
    if name == "dual":
        wanted = 0.4 / (1 - 0.4**2 / 4) * error
    elif name == "dfc random":
        feedback = beside(name, network, 3)["feedback"][0]
        loop = feedback + settings.leak * np.eye(3)
        wanted = settings.strength * error @ np.linalg.inv(loop).T @ feedback.T
    elif name.startswith("dfc"):
        wanted = settings.strength / (1 + settings.leak) * error
    else:
        wanted = settings.strength * error
    np.testing.assert_allclose(mine, wanted, rtol=1e-9)


@rules
def test_a_batch_of_no_images_is_refused(name: str, rng: np.random.Generator) -> None:
    network, activity, targets = case(rng, "tanh")
    few = forward(network, activity.rates[0][:0])
    with pytest.raises(ValueError, match="holds no samples; give one or more") as refusal:
        of(name, (network, few, targets[:0]))
    assert "\n" not in str(refusal.value)
