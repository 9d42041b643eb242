"""The benchmark of rules measures what it says. No test here looks at how long anything took."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import bench, literal_rules
from benchmarks.bench import CONTESTANTS, base_of
from benchmarks.training import QUICK


def test_command_prints_and_saves_a_row_for_every_contestant(tmp_path, capsys, monkeypatch) -> None:
    few = ("bp, leaky_relu, float32", "bp, tanh, float64", "dual, leaky_relu")
    few += ("pc to 1e-6, tanh, float64",)
    monkeypatch.setattr(bench, "CONTESTANTS", {name: CONTESTANTS[name] for name in few})
    path = tmp_path / "bench.json"
    assert bench.main(["--quick", "--only", "A", "--output", str(path)]) == 0
    printed = capsys.readouterr().out
    rows = json.loads(path.read_text())["sections"]["A"]["rows"]
    assert [row["a step of"] for row in rows] == list(few)
    for row in rows:
        assert f"| {row['a step of']} |" in printed
        assert all(math.isfinite(row[name]) for name in ("ms", "ratio"))
    assert [row["ratio"] == 1 for row in rows] == [True, True, False, False]
    assert [row["over"] for row in rows[2:]] == ["bp, leaky_relu, float32", "bp, tanh, float64"]
    assert rows[3]["settled"] == 1
    assert 0 < rows[3]["worst residual"] <= 1e-6
    assert "openblas" in printed


def test_each_is_held_against_back_propagation_of_its_own_kind() -> None:
    for contestant, _ in CONTESTANTS.values():
        base, _ = CONTESTANTS[base_of(contestant)]
        assert base.lesson.rule == "bp"
        same = {"activation": base.activation, "precision": base.precision}
        assert replace(contestant, **same) == contestant
    asked = {c.lesson.rule: at_most for c, at_most in CONTESTANTS.values()}
    assert asked == {"bp": None, "circuit": 2, "dual": 2, "dfc": 3, "pc": 8, "chl": 4}


@pytest.mark.parametrize(("rule", "step", "steps"), [("pc", 0.6, 90), ("ep", 1.0, 14)])
def test_literal_rules_in_torch_come_to_the_same_changes(
    rule: str, step: float, steps: int
) -> None:
    """Written down twice, in different coordinates; a tenth of the steps is not enough."""
    pytest.importorskip("torch")
    network, inputs, targets = literal_rules.problem(QUICK)
    own = literal_rules.OWN[rule] | {"tolerance": 1e-12}
    truth = literal_rules.own_changes(rule, network, inputs, targets, **own)
    if rule == "pc":
        truth = [*truth[:-1], truth[-1][: network.n_outputs]]
    literal = literal_rules.LITERAL[rule](network, inputs, targets)
    errors = [
        literal_rules.error_of(literal.changes(step, count), truth)
        for count in (steps // 10, steps)
    ]
    assert errors[1] < 1e-8 < errors[0]
    moved = np.concatenate([change.ravel() for change in truth])
    assert np.abs(moved).max() > 1e-3


def test_what_is_measured_in_torch_needs_the_fewest_steps() -> None:
    pytest.importorskip("torch")
    run, facts = literal_rules.prepare_pytorch(QUICK, "pc")
    assert facts["error"] <= literal_rules.ERROR["pc"]
    assert facts["of"] in literal_rules.STEPS
    network, inputs, targets = literal_rules.problem(QUICK)
    own = literal_rules.OWN["pc"] | {"tolerance": 1e-12}
    truth = literal_rules.own_changes("pc", network, inputs, targets, **own)
    truth = [*truth[:-1], truth[-1][: network.n_outputs]]
    assert literal_rules.error_of(run(), truth) == pytest.approx(facts["error"])
    literal = literal_rules.Coding(network, inputs, targets)
    fewer = [literal.changes(step, round(0.9 * facts["steps"]) - 1) for step in literal_rules.STEPS]
    assert min(literal_rules.error_of(one, truth) for one in fewer) > literal_rules.ERROR["pc"]


@pytest.mark.parametrize("rule", ["pc", "ep"])
def test_ours_is_measured_with_the_loosest_tolerance_that_does(rule: str) -> None:
    """As exact as it is asked, like PyTorch's, and ten times the tolerance is not enough."""
    run, facts = literal_rules.prepare_own(QUICK, rule)
    given, own = literal_rules.problem(QUICK), literal_rules.OWN[rule]
    truth = literal_rules.own_changes(rule, *given, **own, tolerance=1e-13)
    assert literal_rules.error_of(run(), truth) <= 1.01 * literal_rules.ERROR[rule]
    looser = literal_rules.own_changes(rule, *given, **own, tolerance=10 * facts["tolerance"])
    assert literal_rules.error_of(looser, truth) > literal_rules.ERROR[rule]


def test_bad_input(tmp_path, capsys) -> None:
    for arguments, words in (
        (["--output", str(tmp_path / "nowhere" / "a.json")], "make it first"),
        (["--data-dir", str(tmp_path)], "mnist.npz"),
    ):
        with pytest.raises(SystemExit) as stop:
            bench.main(arguments)
        assert stop.value.code == 2
        assert words in capsys.readouterr().err
