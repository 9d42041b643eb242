"""Benchmarks: that they measure what they say. No test here looks at how long anything took."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from benchmarks import equilibrium, others, rivals, sections
from benchmarks.circuits import QUICK, as_state, problem, residuals
from benchmarks.field import make_field, residual, velocity, worst_ratio
from benchmarks.timing import RoundTimes, Worker, peak_memory, take_turns
from circuit import dynamics, shift_dynamics
from circuit.equilibrium import settle
from circuit.rules import RULES

TINY = replace(
    QUICK,
    width=8,
    batch=3,
    rounds=1,
    depths=(2, 3),
    deep_width=6,
    batches=(1, 2, 3),
    gammas=(0.05,),
    limit=1.0,
)


@pytest.fixture(autouse=True)
def one_thread():
    """Threads only wait for each other on circuits this small."""
    with threadpool_limits(1):
        yield


def numbers(rows):
    """Every number in the rows of a section."""
    for row in rows:
        for value in row.values():
            for entry in value if isinstance(value, list) else [value]:
                if isinstance(entry, float | int):
                    yield entry


def test_contestants_take_turns():
    calls = []
    turns = {name: (lambda name=name: calls.append(name) or 1.0) for name in "ab"}
    take_turns(turns, 3)
    assert "".join(calls) == "ab" * 4  # the first pair does not count


def test_median_spread_and_ratio_by_round():
    seconds = {"slow": iter([99.0, 2.0, 8.0, 6.0]), "fast": iter([99.0, 1.0, 2.0, 6.0])}
    turns = {name: (lambda values=values: next(values)) for name, values in seconds.items()}
    timings = take_turns(turns, 3)
    assert timings["slow"] == RoundTimes((2.0, 8.0, 6.0))
    assert timings["slow"].median == 6.0
    assert timings["slow"].quartiles == (4.0, 7.0)
    # ratios 2, 4, 1: not the ratio 6 / 2 of the medians
    assert timings["slow"].ratio_to(timings["fast"]).median == 2.0


def test_a_slow_contestant_sits_out():
    calls = []
    turns = {"slow": lambda: calls.append(1) or 4.0, "fast": lambda: 1.0}
    timings = take_turns(turns, 5, limit=3.0)
    assert timings["slow"].seconds == (4.0,)
    assert len(calls) == 1
    assert len(timings["fast"].seconds) == 3  # until 1 + 3 seconds are over the limit


def test_peak_memory_sees_what_was_freed():
    peak, result = peak_memory(_allocate, 10_000_000)
    assert result == 1
    assert 10_000_000 <= peak < 11_000_000


def _allocate(count):
    block = np.zeros(count, dtype=np.uint8)
    return block.shape[0] // count


def test_worker_without_its_library_says_so():
    worker = Worker(_needs_a_library)
    worker.stop()
    assert worker.failure == "not installed (no_such_library)"


def _needs_a_library():
    import no_such_library  # noqa: F401


@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_equations_for_other_libraries_are_those_of_the_circuit(pathway, rng):
    trial = problem(9, 4, 5, pathway, gamma=0.2).begin()
    field = make_field(trial, np, np.asarray)
    # large enough to take many units across their kinks
    state = tuple(20 * rng.standard_normal((5, 9)) for _ in range(4))
    tau = trial.circuit.time_constants[0]
    expected = shift_dynamics.shift_velocity(trial, field.shifts(state))
    for ours, theirs in zip(expected, residual(field, state), strict=True):
        np.testing.assert_allclose(theirs, -tau * ours, rtol=1e-9, atol=1e-11)
    rates = tuple(rng.standard_normal((5, 9)) for _ in range(4))
    expected = dynamics.velocity(trial, rates)
    for ours, theirs in zip(expected, velocity(field, rates), strict=True):
        np.testing.assert_allclose(theirs, tau * ours, rtol=1e-9, atol=1e-11)


def test_compiled_ruler_is_the_projects_ruler(rng):
    trial = problem(9, 4, 5, "gait", gamma=0.2).begin()
    field = make_field(trial, np, np.asarray)
    # no unit is carried so far that it is rather at its kink, where the ruler has more to say
    state = tuple(0.02 * rng.standard_normal((5, 9)) for _ in range(4))
    expected = max(residuals(trial, field.shifts(state)))
    assert worst_ratio(field, state, residual(field, state)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
def test_targets_as_a_state_are_off_by_about_gamma(pathway):
    task = problem(16, 3, 4, pathway, gamma=1e-4)
    trial = task.begin()
    rule = RULES[pathway](trial.network, trial.activity, trial.error[:, :10], 1e-4)
    worst = max(residuals(trial, as_state(trial, rule)))
    assert 1e-6 < worst < 1e-3


def test_rows_have_unequal_lengths_where_the_pathway_adjusts_to_them():
    """Orthogonal all the same: W W' is diagonal, and only then the identity else."""
    for pathway, least, most in (("gait", 1.0, 1.0), ("grait", 0.5, 2.0)):
        for weights in problem(12, 3, 4, pathway).network.weights:
            gram = weights @ weights.T
            np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-13)
            lengths = np.sqrt(np.diag(gram))
            assert lengths.min() >= least - 1e-12
            assert lengths.max() <= most + 1e-12
            assert (np.ptp(lengths) > 0.5) == (pathway == "grait")


def test_targets_nearby_are_a_tenth_away():
    trial = problem(12, 40, 4, "gait").nearby().begin()
    outputs = trial.activity.rates[-1][:, :10]
    np.testing.assert_allclose(trial.error[:, :10], 0.1 * outputs, rtol=1e-12)


@pytest.mark.parametrize(
    "section", [sections.against_targets, sections.against_size, sections.against_feedback]
)
def test_section_gives_finite_numbers(section, monkeypatch):
    # in this process, which is quicker; `peak_memory` has its own test
    monkeypatch.setattr(sections, "peak_memory", lambda function, *shape: (1, function(*shape)))
    found = section(TINY)
    assert found.rows
    assert all(math.isfinite(value) for value in numbers(found.rows))
    lengths = {"grait"} if section is sections.against_targets else set()
    assert {row["pathway"] for row in found.rows} == {"itp", "gait"} | lengths


def test_main_command_is_measured(monkeypatch):
    monkeypatch.setattr(sections, "COMMAND", (sys.executable, "-c", "pass"))
    rows = sections.main_command(TINY).rows
    assert [row["command"] for row in rows] == ["python -c pass", "--help", "no arguments"]
    assert all(row["ratio"] > 0 for row in rows)


def test_contestant_that_is_not_installed_has_a_row_that_says_so(monkeypatch):
    monkeypatch.setattr(others.importlib.util, "find_spec", lambda name: None)
    rows = rivals.against_others(TINY).rows
    absent = {row["contestant"]: row["setting"] for row in rows if "ms" not in row}
    present = {row["contestant"] for row in rows if "ms" in row}
    assert present == {rivals.OURS, rivals.ONE_IMAGE}
    assert absent["optimistix"] == "not installed (jax)"
    assert absent["torchdeq Anderson"] == "not installed (torch)"
    assert absent["Brian2, numpy"] == "not installed (brian2)"
    assert all(math.isfinite(value) for value in numbers(rows))


def test_tuning_keeps_the_fastest_that_is_accurate_enough():
    trial = problem(8, 3, 3, "itp").begin()
    exact = settle(trial).shifts
    coarse = exact.with_values(tuple(1.001 * values for values in exact.values))
    clock = iter([0.0, 5.0, 0.0, 3.0, 0.0, 1.0])

    def fails():
        raise ValueError

    candidates = iter(
        [
            ("slow", lambda: lambda: (exact, 7)),
            ("fast", lambda: lambda: (exact, 8)),
            ("coarse", lambda: lambda: (coarse, 9)),
            ("broken", fails),
        ]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(others.time, "perf_counter", lambda: next(clock))
        _, facts = others.tune(candidates, lambda state: state, trial)
    assert (facts.setting, facts.steps, facts.reached, facts.tried) == ("fast", 8, True, 4)


def test_command_prints_tables_and_writes_json(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("benchmarks.circuits.QUICK", TINY)
    path = tmp_path / "results.json"
    assert equilibrium.main(["--quick", "--only", "A", "--output", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "| pathway | contestant | ms |" in printed
    assert json.loads(path.read_text())["sections"]["A"]["rows"]
    with pytest.raises(SystemExit):
        equilibrium.main(["--output", str(tmp_path / "absent" / "results.json")])
