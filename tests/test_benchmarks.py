"""The benchmark runs, on tiny circuits, and says what is not installed. Nothing is timed here."""

import numpy as np
import pytest

from benchmarks import equilibrium
from benchmarks.circuits import QUICK, problem
from benchmarks.timing import Timing, Worker, take_turns
from circuit.dynamics import begin
from circuit.rules import RULES


def test_contestants_take_turns():
    """One run each that does not count, then round by round in order."""
    order = []

    def turn(name):
        def run():
            order.append(name)
            return 1.0 + len(order)

        return run

    times = take_turns({"a": turn("a"), "b": turn("b")}, 2)
    assert order == ["a", "b"] * 3
    assert times["a"].seconds == (4.0, 6.0)
    assert times["b"].ratio_to(times["a"]).seconds == (5 / 4, 7 / 6)
    assert Timing((1.0, 2.0, 9.0)).median == 2.0


@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_bare_targets_are_the_rule(pathway):
    """The baseline computes what it is said to: the rule's shifts, also by explicit inverses."""
    given = problem(12, 3, 4, pathway)
    trial = begin(given.begin().circuit, given.inputs, given.targets)
    exact = RULES[pathway](trial.network, trial.activity, trial.error[:, :10], given.gamma)
    found = equilibrium.bare_targets(given)()
    np.testing.assert_allclose(found.absolute(1), exact.absolute(1), rtol=1e-12)
    by_inverses = equilibrium.bare_targets(given, inverses=True)()
    np.testing.assert_allclose(by_inverses, exact.absolute(1), rtol=1e-6)


def test_what_is_not_installed_is_said():
    worker = Worker(_absent)
    worker.stop()
    assert worker.failure == "not installed (no_such_package)"


def _absent():
    import no_such_package

    return no_such_package


def test_table_of_rows_with_different_columns():
    text = equilibrium.table([{"a": 1.23456, "b": "x"}, {"a": 2, "c": 3}])
    assert text.splitlines()[0] == "| a | b | c |"
    assert "1.23" in text


def test_quick_sizes_are_small():
    assert QUICK.width * QUICK.depth < 100
