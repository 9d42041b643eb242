"""analysis.bench.linear_theory: formulas apart from the rules' code, held against the rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.bench.linear_theory import THEORY, held_against_theory
from circuit.initialisation.networks import initialise
from circuit.learning.lesson import Lesson
from circuit.network import Network
from circuit.settings.peers.feedback_control import FeedbackControlSettings

EXACT = 1e-9  # of a cosine; what iterates stops at a relative residual of 1e-10


def drawn(
    rng: np.random.Generator, init: str = "gaussian"
) -> tuple[Network, np.ndarray, np.ndarray]:
    network = initialise([9, 7, 7, 5], rng, init=init, activation="tanh", n_outputs=3)
    biases = tuple(0.3 * rng.standard_normal(one.shape) for one in network.biases)
    network = replace(network, biases=biases)
    return network, rng.standard_normal((6, 9)), rng.standard_normal((6, 3))


@pytest.mark.parametrize("rule", sorted(THEORY))
def test_every_rule_is_what_linear_theory_says(rule: str, rng: np.random.Generator) -> None:
    network, inputs, targets = drawn(rng)
    lesson = Lesson(rule=rule, feedback_strength=0.1)
    found = held_against_theory(network, inputs, targets, {rule: lesson}, practice=20)
    measured, predicted = found["linear_measured"].values, found["linear_predicted"].values
    assert np.isfinite(measured).all()
    np.testing.assert_allclose(measured, predicted, atol=EXACT)


@pytest.mark.parametrize("readout", ["shift", "mismatch"])
def test_graits_pathway(readout: str, rng: np.random.Generator) -> None:
    network, inputs, targets = drawn(rng, "unequal_rows")
    lesson = Lesson(rule="circuit", pathway="grait", readout=readout, feedback_strength=0.2)
    found = held_against_theory(network, inputs, targets, {"circuit": lesson})
    np.testing.assert_allclose(found["linear_measured"], found["linear_predicted"], atol=EXACT)
    other = held_against_theory(
        network, inputs, targets, {"circuit": replace(lesson, pathway="gait")}
    )
    assert np.abs(found["linear_measured"] - other["linear_predicted"]).max() > 1e-3


def test_orthogonal_rows_share_the_gradients_direction(rng: np.random.Generator) -> None:
    """Target propagation in all its forms, by theory alone; random feedback does not."""
    network, inputs, targets = drawn(rng, "orthogonal")
    rules = ["tp", "itp", "gait", "grait", "circuit", "fa", "dfa"]
    lessons = {rule: Lesson(rule=rule, feedback_strength=0.1) for rule in rules}
    found = held_against_theory(network, inputs, targets, lessons)["linear_predicted"]
    for rule in rules[:5]:
        np.testing.assert_allclose(found.sel(rule=rule), 1, atol=1e-12)
    for rule in rules[5:]:
        assert found.sel(rule=rule)[0] < 0.9


def test_what_theory_does_not_speak_of_is_left_out(rng: np.random.Generator) -> None:
    network, inputs, targets = drawn(rng)
    lessons = {"bp": Lesson(rule="bp", loss="cross_entropy")}
    assert not held_against_theory(network, inputs, targets, lessons).data_vars


def test_control_through_random_matrices(rng: np.random.Generator) -> None:
    network, inputs, targets = drawn(rng)
    settings = FeedbackControlSettings(feedback="random", leak=20.0)
    lessons = {"dfc": Lesson(rule="dfc", settings=settings)}
    found = held_against_theory(network, inputs, targets, lessons)
    np.testing.assert_allclose(found["linear_measured"], found["linear_predicted"], atol=EXACT)
    assert found["linear_measured"].min() < 0.9
