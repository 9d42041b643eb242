"""The benchmark of sweeps measures what it says. No test here looks at how long anything took."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from analysis.sweep.run import run
from benchmarks import sweeps
from benchmarks.circuits import problem
from circuit import network
from circuit.equilibrium import settle

TINY = sweeps.SweepSizes(
    width=8, depth=2, batch=3, networks=2, gammas=2, empty=2, sweep=3, rounds=1
)


def test_command_prints_and_saves_all_sections(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sweeps, "QUICK", TINY)
    path = tmp_path / "sweeps.json"
    assert sweeps.main(["--quick", "--output", str(path)]) == 0
    printed = capsys.readouterr().out
    sections = json.loads(path.read_text())["sections"]
    assert list(sections) == ["A", "B", "C"]
    for section in sections.values():
        assert section["title"] in printed
        for row in section["rows"]:
            for value in row.values():
                for number in value if isinstance(value, list) else [value]:
                    assert isinstance(number, str) or math.isfinite(number)
    settled = [row for row in sections["A"]["rows"] if row["cells"] == "4 settlings"]
    assert [row["run by"] for row in settled] == [
        "plain loop",
        "no worker",
        "1 worker",
        "2 workers",
    ]
    assert settled[0]["ratio"] == 1
    assert [row["threads per worker"] for row in sections["B"]["rows"]] == [1, 2]
    assert {row["of"] for row in sections["C"]["rows"]} == {3}


def test_missing_folder_is_bad_input(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        sweeps.main(["--output", str(tmp_path / "nowhere" / "a.json")])
    assert stop.value.code == 2
    assert "make it first" in capsys.readouterr().err


def test_every_turn_has_networks_of_its_own():
    """A process that has kept the factors of its last network must not find them again."""
    seeds = [{cell["seed"] for cell in sweeps.settlings(TINY, turn).cells} for turn in range(3)]
    assert [len(one) for one in seeds] == [2, 2, 2]
    assert len(set.union(*seeds)) == 6


def test_engine_and_plain_loop_settle_the_same_circuits(tmp_path, monkeypatch):
    study, settled = sweeps.settlings(TINY, 0), []

    def noting(trial, **options):
        settled.append((settle(trial, **options), threads()))
        return settled[-1][0]

    monkeypatch.setattr(sweeps, "settle", noting)
    with threadpool_limits(2):
        sweeps.plain_loop(study)
        dataset = run(study, tmp_path, workers=0, quiet=True)
        sweeps.settling(**(study.cells[0] | {"threads": 2}))
    plain, engine = settled[:4], settled[4:8]
    for place, ((one, _), (other, _)) in enumerate(zip(plain, engine, strict=True)):
        assert one.relative_residuals == other.relative_residuals
        assert dataset["residual"].values[place].tolist() == list(one.relative_residuals)
        assert one.trial.circuit.strengths == other.trial.circuit.strengths
    assert {number for _, number in plain + engine} == {1}
    assert settled[8][1] == 2


def threads() -> int:
    """Of the BLAS that has most."""
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


def test_sweep_over_gamma_factorises_once_and_anew(monkeypatch):
    made = []
    monkeypatch.setattr(
        network, "Factorised", lambda *a, real=network.Factorised: made.append(a[1]) or real(*a)
    )
    task = problem(8, 3, 4, "gait")
    gammas = np.geomspace(1e-4, 1e-2, 5)
    records = sweeps.over_gamma(task, gammas)
    assert sorted(made) == [1, 2, 3]
    assert [record.trial.circuit.strengths[0] for record in records] == list(gammas)
    sweeps.over_gamma(task, [0.01])
    assert sorted(made) == [1, 1, 2, 2, 3, 3]


def test_cells_that_fail_stop_the_benchmark(monkeypatch):
    monkeypatch.setattr(sweeps, "_settled", lambda *_: 1 / 0)
    with pytest.raises(RuntimeError, match="4 failed"):
        sweeps.swept(sweeps.settlings(TINY, 0), workers=0)
