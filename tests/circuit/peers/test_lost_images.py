"""Images that a rule loses: what is said of them, that nothing is left of them, and that no other
image, no budget and no precision goes with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from circuit.learning.lesson import Lesson
from circuit.learning.taught import teach
from circuit.network import forward
from circuit.peers import (
    Signal,
    critical_strength,
    error_based,
    fixed_prediction,
    predictive_coding,
    signal_updates,
)
from circuit.peers.ep import RULE as EP
from circuit.peers.settling import over
from circuit.settings.peers.contrast import EquilibriumPropagationSettings
from circuit.settings.peers.predictive_coding import (
    ErrorBasedSettings,
    FixedPredictionSettings,
    PredictiveCodingSettings,
)
from circuit.verification.judgement import Status
from tests.circuit.peers.cases import assert_close, back_propagated, case, per_gain
from tests.circuit.peers.literal_contrast import Literal

Loss = Callable[[np.ndarray, np.ndarray], np.ndarray]


def contrast(case: tuple, loss: str | Loss, **settings: Any) -> Signal:
    return EP.signal(*case, loss, EquilibriumPropagationSettings(**settings), {}, 0)


def known_within(least: float, most: float) -> Loss:
    """Squared errors of a size between these; of other outputs nothing is known."""

    def error(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        size = np.linalg.norm(targets - outputs, axis=-1, keepdims=True)
        return np.where((size > least) & (size < most), targets - outputs, np.nan)

    return error


@pytest.mark.parametrize("sweeps", [1000, 1])  # which are not enough for a free state
@pytest.mark.parametrize("centred", [True, False])
def test_of_an_image_that_one_nudge_loses_nothing_is_left(
    centred: bool, sweeps: int, rng: np.random.Generator
) -> None:
    """Pulled, an output comes too near for its loss; pushed, too far. The pull was fine."""
    network, activity, targets = case(rng, "tanh")
    given = {"gamma": 1e-3, "beta": 0.01, "centred": centred, "sweeps": sweeps}
    free = contrast((network, activity, targets), "quadratic", **given).activity
    sizes = [np.linalg.norm(targets - one.rates[-1], axis=1) for one in (activity, free)]
    lost = int(sizes[1].argmax() if centred else sizes[1].argmin())
    least, most = np.min(sizes) - 1e-6, np.max(sizes) + 1e-6
    loss = known_within(0, most) if centred else known_within(least, np.inf)
    signal = contrast((network, activity, targets), loss, **given)
    assert signal.rest is not None
    others = [i for i in range(len(targets)) if i != lost]
    assert signal.rest.status[lost] is Status.NOT_FINITE
    assert np.isnan(signal.rest.residuals[:, lost]).any()
    others_are = Status.CONVERGED if sweeps > 1 else Status.OUT_OF_BUDGET
    assert {signal.rest.status[i] for i in others} == {others_are}
    few = contrast((network, activity.samples(others), targets[others]), loss, **given)
    for found, wanted in zip(per_gain(signal), per_gain(few), strict=True):
        assert not found[lost].any()
        np.testing.assert_allclose(found[others], wanted, rtol=1e-7, atol=1e-10)
    for one, other in zip(
        signal_updates(network, signal), signal_updates(network, few), strict=True
    ):
        np.testing.assert_allclose(
            one.weights * len(targets), other.weights * len(others), rtol=1e-7, atol=1e-9
        )


@pytest.mark.parametrize("beta", [1.0, 1.5])
def test_a_push_of_another_loss_leaves_the_critical_strength_of_the_free_state(
    beta: float, rng: np.random.Generator
) -> None:
    """A spring of squared errors that pushes with beta 1 leaves no state; one of cross-entropies
    does, and where feedback is too strong the line has the free state's own bound."""
    given = network, _, _ = case(rng, "linear", size=2.0)
    signal = contrast(given, "cross_entropy", gamma=1.0, beta=beta)
    assert signal.rest is not None
    assert not signal.rest.converged.any()
    coupling = Literal(network.weights, network.biases, ["linear"] * 4, 1.0).coupling()
    critical = 1 / np.linalg.eigvals(coupling).real.max() ** 2
    assert critical == pytest.approx(critical_strength(network), rel=1e-9)
    assert f"gamma 1 is not below the critical {critical:.4g}," in signal.rest.words


def test_small_steps_of_fixed_predictions_reach_all_layers_in_float32(
    rng: np.random.Generator,
) -> None:
    """What comes to layer 1 first is 0.15^50 of what it comes to rest at, and below all floats."""
    network, activity, targets = case(rng, "tanh", (4, *(5, 3) * 26, 4), size=1.4, batch=2)
    light = network.astype(np.float32)
    small = forward(light, activity.rates[0].astype(np.float32))
    settings = FixedPredictionSettings(step=0.15, tolerance=1e-2)
    aim = targets.astype(np.float32)
    signal = fixed_prediction.signal(light, small, aim, "quadratic", settings, {}, 0)
    assert signal.rest is not None
    assert signal.rest.converged.all()
    error = targets - activity.rates[-1]
    assert_close(per_gain(signal), back_propagated(network, activity, error), 5e-2)


def test_what_is_lost_is_not_waited_for(rng: np.random.Generator) -> None:
    """Rules of steps end when every image has settled or has come to nothing finite."""
    residuals = np.array([[0.0, np.nan, 1.0], [1e-9, 1.0, 1e-9]])
    assert over(residuals[:, :2], 1e-6)
    assert not over(residuals, 1e-6)
    assert not over(np.full((2, 1), np.inf), 1e-6)  # which nothing has reached yet
    given = _, activity, _ = case(rng, "tanh")

    def known_at_first(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.where(outputs == activity.rates[-1], targets - outputs, np.nan)

    states = PredictiveCodingSettings(0.3, "states", 0.3, 50)
    for rule, settings in (
        (predictive_coding, states),
        (error_based, ErrorBasedSettings(0.3, 0.5, 50)),
    ):
        signal = rule.signal(*given, known_at_first, settings, {}, 0)
        assert set(signal.rest.status) == {Status.NOT_FINITE}
        assert int(signal.rest.words.split()[0]) < 5


@pytest.mark.parametrize("loss", ["quadratic", "cross_entropy"])
@pytest.mark.parametrize("name", ["bp", "chl", "ep", "pc", "pc_fixed", "epc", "dual", "dfc"])
def test_targets_of_more_digits_leave_a_network_its_precision(
    name: str, loss: str, rng: np.random.Generator
) -> None:
    network, activity, _ = case(rng, "tanh")
    network = network.astype(np.float32)
    activity = forward(network, activity.rates[0].astype(np.float32))
    targets = rng.integers(0, 8, (6, 3)) / 8  # which float32 holds
    lesson = Lesson(name, loss=loss)
    found = teach(network, lesson, activity, targets)
    wanted = teach(network, lesson, activity, targets.astype(np.float32))
    for one, other in zip(found.shifts.values, wanted.shifts.values, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, other)
    assert {array.dtype.name for array in found.presynaptic} == {"float32"}
