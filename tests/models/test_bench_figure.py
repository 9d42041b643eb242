"""`run_figures bench` and `bench_grid`: every rule against back-propagation, seed by seed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from analysis.controls import CONTROLS
from analysis.sweep import run as sweep
from circuit.peers.table import TABLE
from models import run_figures as command
from studies.paper_figures import every_rule, every_rule_findings
from studies.paper_figures.every_rule_findings import best_of_bench_grid, learnt
from tests.commands import refusal
from tests.models.test_rule_file import PAGE

RULES = ("bp", "ddtp", "one_bit")


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """Folder of both figures at scale smoke, one of the rules being of a file, in two epochs."""
    folder = tmp_path_factory.mktemp("bench")
    block = re.findall(r"^```python\n(.*?)^```", PAGE.partition("one\\_bit.py")[2], re.M | re.S)[0]
    (folder / "one_bit.py").write_text(block)
    given = ["--rules", *RULES, "--rule-file", str(folder / "one_bit.py"), "--workers", "0"]
    sizes = replace(every_rule.SCALES["smoke"], epochs=2, grid_epochs=1, train_images=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(every_rule.SCALES, "smoke", sizes)
        assert command.main(["bench_grid", "bench", *given, "--output", str(folder)]) == 0
    assert "one_bit" not in TABLE
    return folder


def read(done: Path, name: str) -> xr.Dataset:
    """The result of a figure."""
    return xr.load_dataset(done / f"{name}.nc", engine="scipy")


def test_a_rule_of_ones_own_is_in_the_figure_without_another_file(done: Path) -> None:
    data = read(done, "bench")
    assert list(dict.fromkeys(data["rule"].values.tolist())) == list(RULES)
    assert set(data["status"].values) == {"completed"}
    assert data["timed"].values.tolist() == list(RULES)
    assert (data["step_over_bp"].values > 0).all()
    for name in ("bench", "bench_grid"):
        assert (done / f"{name}.png").stat().st_size > 10_000
    assert not (done / "every_rule.nc").exists()


def test_bench_takes_what_the_grid_has_chosen_on_validation_images(done: Path) -> None:
    """By hand: the best of all its runs; one of a failed run counts as nothing learnt."""
    tried, data = read(done, "bench_grid"), read(done, "bench")
    for rule in RULES:
        part = tried.isel(cell=tried["rule"].values == rule)
        strengths = 1 if rule == "bp" else 3
        assert part.sizes["cell"] == 2 * strengths
        best = part.isel(cell=int(part["validation_accuracy_chosen"].values.argmax()))
        runs = data.isel(cell=data["rule"].values == rule)
        assert set(runs["learning_rate"].values) == {float(best["learning_rate"])}
        assert set(runs["settings"].values.tolist()) == {best["settings"].item()}
    factors = {
        json.loads(text)["nudge"] if text.startswith("{") else 0.02
        for text in tried["settings"].values[tried["rule"].values == "ddtp"].tolist()
    }
    assert sorted(factors) == pytest.approx([0.3 * 0.02, 0.02, 3 * 0.02])
    failed = tried.copy(deep=True)
    (at,) = np.flatnonzero(
        (failed["rule"].values == "bp")
        & (failed["learning_rate"].values == best_of_bench_grid(tried)["bp"][0])
    )
    failed["status"] = failed["status"].astype(object)
    failed["status"][at] = "training failed: epoch 1"
    assert best_of_bench_grid(failed)["bp"][0] != best_of_bench_grid(tried)["bp"][0]


def test_differences_are_those_of_pairs_with_students_interval(done: Path) -> None:
    data = read(done, "bench")
    found = {one.rule: one for one in learnt(data)}
    by_rule = {
        rule: data["test_accuracy_chosen"].values[data["rule"].values == rule] for rule in RULES
    }
    for rule in RULES[1:]:
        apart = by_rule[rule] - by_rule["bp"]
        low, high = stats.t.interval(0.95, len(apart) - 1, apart.mean(), stats.sem(apart))
        one = found[rule].against
        np.testing.assert_allclose([one.mean - one.half, one.mean + one.half], [low, high])
        assert np.isnan(found[rule].settled)
    assert found["bp"].against.mean == 0
    holes = data.copy(deep=True)
    holes["test_accuracy_chosen"][1] = np.nan  # of the first seed, by ddtp: its pair goes
    assert {one.rule: one.against.pairs for one in learnt(holes)}["ddtp"] == 2
    holes["status"] = holes["status"].astype(object)
    holes["status"][:3] = ["missing", "failed: ValueError: no", "training failed: epoch 1"]
    counted = sorted((one.rule, one.failed) for one in learnt(holes))
    assert counted == [("bp", 0), ("ddtp", 1), ("one_bit", 1)]


def test_pictures_and_tables_are_made_from_the_results_alone(done, tmp_path, monkeypatch, capsys):
    for name in command.BENCH:
        (tmp_path / f"{name}.nc").write_bytes((done / f"{name}.nc").read_bytes())

    def trains(*_, **__):
        raise AssertionError

    monkeypatch.setattr(sweep, "run", trains)
    figures = ["bench", "bench_grid", "--figures-only", "--output", str(tmp_path)]
    assert command.main(figures) == 0
    words = capsys.readouterr().out
    assert words.count("| one_bit |") == 2
    assert "| minus BP | so | settled | step over BP's |" in words


@pytest.mark.parametrize("rule", ["bp", "gait", "no_hidden"])
@pytest.mark.parametrize(("classes", "outputs"), [(12, 12), (3, 10)])
def test_images_of_ones_own_may_have_more_classes_than_ten(tmp_path, rng, rule, classes, outputs):
    labels = np.arange(240) % classes
    pixels = 0.2 * rng.random((240, 3, 5)) + np.eye(classes, 15)[labels].reshape(240, 3, 5)
    np.savez(tmp_path / "mine.npz", images=pixels, labels=labels)
    here = {"datasets": ["own"], "data_dir": str(tmp_path / "mine.npz"), "rules": [rule]}
    (cell, *_) = every_rule.study("bench", "smoke", **here).cells
    result = every_rule.measure(**cell | {"train_images": None})
    assert result["status"].item() == "completed"
    assert float(result["train_loss"][-1]) < 0.8 * float(result["train_loss"][0])
    plan = every_rule.plan_of(
        "bp", pixels=15, width=32, learning_rate=1e-3, settings=None, classes=classes
    )
    assert plan.widths[-1] == outputs


@pytest.mark.parametrize("missing", [0, 3])
def test_a_choice_from_a_grid_with_holes_is_said_to_be_one(done, tmp_path, capsys, missing) -> None:
    grid = read(done, "bench_grid")
    grid["status"] = grid["status"].astype(object)
    grid["status"][:missing] = "missing"
    grid.to_netcdf(tmp_path / "bench_grid.nc", engine="scipy")
    arguments = ["bench", "--so-far", "--rules", "bp", "ddtp", "--output", str(tmp_path)]
    assert command.main(arguments) == 1  # there is no run of bench itself
    told = "bench_grid.nc has runs missing: bench takes the best" in capsys.readouterr().err
    assert told == (missing > 0)


@pytest.mark.parametrize("scale", every_rule.SCALES)
def test_every_rule_has_its_cells_once_at_every_scale(scale: str) -> None:
    """Rules that invert weights have outputs as wide as hidden layers; networks are else alike."""
    for figure in every_rule.FIGURES:
        study = every_rule.study(figure, scale, datasets=["digits"])  # refuses doubles
        assert {cell["rule"] for cell in study.cells} == {*TABLE, *CONTROLS}
    for name, widths in (("no_hidden", (64, 10)), ("frozen", (64, 20, 20, 20, 10))):
        control = every_rule.plan_of(name, pixels=64, width=20, learning_rate=0.01, settings=None)
        assert (control.widths, control.lesson.rule) == (widths, "bp")
        assert (control.lesson.learns == "output") == (name == "frozen")
    for name in TABLE:
        plan = every_rule.plan_of(name, pixels=64, width=20, learning_rate=0.01, settings=None)
        assert plan.widths == (64, 20, 20, 20, 20 if TABLE[name].rule().needs_inverse else 10)
    own = every_rule.plan_of(
        "pc", pixels=64, width=20, learning_rate=0.01, settings='{"strength": 0.03}'
    )
    assert own.lesson.settings.strength == 0.03


def test_digits_are_learnt_for_more_epochs_than_what_has_more_images() -> None:
    cells = every_rule.study("bench", "desk", datasets=["digits", "mnist"], rules=["bp"]).cells
    assert {(cell["dataset"], cell["epochs"]) for cell in cells} == {("digits", 30), ("mnist", 15)}
    (cell, *_) = every_rule.study("bench_grid", "desk", rules=["bp"]).cells
    assert (cell["dataset"], cell["epochs"]) == ("digits", 10)


def test_what_a_figure_does_not_have_is_refused(done, capsys, tmp_path) -> None:
    words = refusal(capsys, command.main, "fig2a", "--rules", "chl", "--output", str(tmp_path))
    assert "--rules chl is in none of fig2a; leave it out" in words
    file = str(done / "one_bit.py")
    words = refusal(capsys, command.main, "fig2a", "--rule-file", file, "--output", str(tmp_path))
    assert "--rule-file does nothing with fig2a" in words
    assert not set(command.BENCH) & set(command.FIGURES)  # nor are they part of "all"


@pytest.mark.parametrize(("tick", "ratio"), [(0.0, 3.0), (1 / 64, np.nan)])
def test_a_clock_coarser_than_a_step_gives_no_time_of_it(monkeypatch, tick, ratio):
    """BP takes 1 ms and GAIT-prop 3, but for the first two steps."""
    seconds, steps = 0.0, 0

    def learn(learner, lesson, *_):
        nonlocal seconds, steps
        steps += 1
        seconds += (0.003 if lesson.rule == "gait" else 0.001) + 5.0 * (steps <= 4)
        return learner, None

    def process_time() -> float:
        return seconds if not tick else tick * (seconds // tick)

    monkeypatch.setattr(every_rule_findings, "learn", learn)
    monkeypatch.setattr(every_rule_findings.time, "process_time", process_time)
    cells = {"rule": ["gait", "bp"], "settings": ["", ""], "learning_rate": [1e-3, 1e-3]}
    sizes = {"pixels": [64, 64], "width": [16, 16], "batch": [20, 20]}
    data = xr.Dataset(coords={name: ("cell", values) for name, values in (cells | sizes).items()})
    found = every_rule_findings.with_times(data)["step_over_bp"].values
    np.testing.assert_allclose(found, [ratio, ratio / 3], rtol=1e-9)
