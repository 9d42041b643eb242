"""Runs side by side: what they differ in and what came of each is what they wrote themselves."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from analysis import side_by_side
from circuit import open_results
from models import run_compare, run_equilibrium, run_training
from tests.commands import help_of, refusal

MAIN = ["--batch", "5", "--depth", "2", "--no-brian2", "--no-figures", "--quiet"]
TRAIN = ["--train-images", "90", "--depth", "1", "--epochs", "2", "--no-figures", "--quiet"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for gamma in ("0.01", "0.1"):
        run_equilibrium.main([*MAIN, "--gamma", gamma, "--output", str(root / f"gamma {gamma}")])
    for rule, seeds in (("bp", ["1", "2"]), ("gait", ["1", "2", "3"])):
        arguments = [*TRAIN, "--rule", rule, "--seeds", *seeds]
        run_training.main([*arguments, "--output", str(root / rule)])
    return root


def test_the_main_command_s_runs(runs, tmp_path, capsys):
    folders = [runs / "gamma 0.01", runs / "gamma 0.1"]
    assert run_compare.main([*map(str, folders), "--output", str(tmp_path)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["run", "gamma", "status"]
    assert "seed" not in head  # which is the same in both
    rows = json.loads((tmp_path / "compare.json").read_text())["runs"]
    for folder, row, line in zip(folders, rows, lines, strict=True):
        with xr.open_dataset(folder / "equilibrium.nc") as data:
            error, bound = data["relative_error"].sel(rule="gait").values, data["bound"].values
            cosine = data["cosine"].sel(rule="bp").values.min()
            assert row["carries"] == ("yes, gait" if data.attrs["agrees"] else "no, gait")
        layer = max(range(len(error)), key=lambda i: error[i] / bound[i])
        assert float(row["error"]) == pytest.approx(error[layer], rel=0.05)
        assert float(row["allowed"]) == pytest.approx(bound[layer], rel=0.05)
        assert float(row["cosine with BP"]) == pytest.approx(cosine, abs=5e-5)
        assert row["gamma"] == folder.name.split()[1]
        assert line.startswith(folder.name)
        assert len(line) <= 100
    assert (tmp_path / "compare.png").stat().st_size > 1000


def test_training_runs_of_two_seeds_tell_both_values(runs, tmp_path, capsys):
    folders = [runs / "bp", runs / "gait"]
    assert run_compare.main([*map(str, folders), "--output", str(tmp_path), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    two, three = json.loads((tmp_path / "compare.json").read_text())["runs"]
    for folder, row in zip(folders, (two, three), strict=True):
        accuracy = json.loads((folder / "summary.json").read_text())["test_accuracy"]["end"]
        percent = [100 * value for value in accuracy]
        wanted = ", ".join(f"{value:.1f}" for value in percent)
        if len(percent) > 2:
            wanted = f"{np.mean(percent):.1f} ({min(percent):.1f} to {max(percent):.1f})"
        assert row["test %, end"] == wanted
        assert row["rule"] == folder.name
    figure = side_by_side.figure([open_results(folder) for folder in folders])
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == ["bp", "gait"]


def test_what_cannot_be_compared_is_refused_in_one_line(runs, tmp_path, capsys):
    main, bp, here = str(runs / "gamma 0.01"), str(runs / "bp"), ["--output", str(tmp_path / "o")]
    for folders, words in (
        ([main], "is one run; give two folders or more"),
        ([main, bp], "compare runs of one command"),
        ([main, main], "is given twice"),
        ([main, str(runs / "none")], "no such folder"),
        ([main, str(tmp_path)], "it holds none"),
    ):
        assert words in refusal(capsys, run_compare.main, *folders, *here)
    (tmp_path / "study.nc").write_bytes((runs / "bp" / "history.nc").read_bytes())
    assert "holds no run of" in refusal(capsys, run_compare.main, main, str(tmp_path), *here)
    assert not (tmp_path / "o").exists()


def test_folders_of_one_name_are_told_apart_by_those_above(runs, tmp_path):
    other = tmp_path / "bp"
    other.mkdir()
    for path in (runs / "bp").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    names = side_by_side.names_of([open_results(runs / "bp"), open_results(other)])
    assert names == [f"{runs.name}/bp", f"{tmp_path.name}/bp"]


def test_a_wide_table_goes_on_below():
    rows = [{"run": f"r{i}", **{f"setting {k}": "x" * 20 for k in range(9)}} for i in range(2)]
    text = side_by_side.in_text(rows)
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("r1") == text.count("run") == len(text.split("\n\n")) > 1
    assert all(text.count(f"setting {k}") == 1 for k in range(9))


def test_help_is_quick():
    assert "two or more, of one command" in " ".join(help_of("run_compare").split())
