"""The command of the open questions as a user meets it, for every question that there is."""

from __future__ import annotations

import io

import numpy as np
import pytest
import xarray as xr

from analysis.records import write_dataset
from analysis.sweep import run as sweep
from models import run_open_questions as command
from models.command import studies
from tests.commands import help_of, refusal

HERE = ["--scale", "smoke", "--workers", "0"]
ONE = ["--seeds", "1"]
NAMES = tuple(command.QUESTIONS)
EVERY = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def done(tmp_path_factory, measured):
    """Folder by question of its smoke run with one seed, made when it is first asked for.

    Of questions whose own tests look at the same cells these are measured once for both.
    """
    folder = tmp_path_factory.mktemp("questions")
    ready = set()

    def of(name):
        if name not in ready:
            if name in {"top_down", "lateral_inhibition"}:
                measured(name, 1, folder)
            assert command.main([name, *HERE, *ONE, "--quiet", "--output", str(folder)]) == 0
            ready.add(name)
        return folder

    return of


def _stems(folder, kind):
    return {path.stem for path in folder.glob(f"*.{kind}")}


@EVERY
def test_smoke_leaves_one_labelled_file_and_figures(done, name):
    folder = done(name)
    with xr.open_dataset(folder / f"{name}.nc") as data:
        assert data.attrs["study"] == name
        assert data.attrs["scale"] == "smoke"
        assert "'scale': 'smoke'" in data.attrs["config"]
        assert 1 in np.atleast_1d(data.attrs["seeds"])
        assert data.attrs["version_numpy"] == np.__version__
        assert data["status"].dims == ("cell",)
        words = data["status"].values.tolist()
        assert not any("missing" in word for word in words)
        # an exception; that training failed, or no equilibrium is there, would be a result
        assert not any(word.startswith("failed") for word in words), words
    assert any(stem.startswith(name) for stem in _stems(folder, "png"))


@EVERY
@pytest.mark.usefixtures("rough_pictures")
def test_a_second_run_measures_nothing_and_changes_nothing(done, name, monkeypatch, capsys):
    folder = done(name)
    before = (folder / f"{name}.nc").read_bytes()

    def measures_again(*_, **__):
        raise AssertionError

    monkeypatch.setattr(sweep, "run_group", measures_again)
    again = [name, *HERE, *ONE, "--quiet", "--output", str(folder)]
    assert command.main(again) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[0] == name
    with (
        xr.open_dataset(folder / f"{name}.nc") as now,
        xr.open_dataset(io.BytesIO(before), engine="scipy") as was,
    ):
        assert now.drop_attrs().identical(was.drop_attrs())


@EVERY
@pytest.mark.usefixtures("rough_pictures")
def test_figures_and_findings_come_from_the_results_alone(done, name, tmp_path, capsys):
    folder = done(name)
    (tmp_path / f"{name}.nc").write_bytes((folder / f"{name}.nc").read_bytes())
    assert command.main([name, "--figures-only", "--output", str(tmp_path)]) == 0
    drawn = _stems(tmp_path, "png")
    assert drawn
    assert drawn <= _stems(folder, "png")
    assert not any(path.is_dir() for path in tmp_path.iterdir())
    assert f"\n{name}" in capsys.readouterr().out  # findings


@EVERY
@pytest.mark.usefixtures("rough_pictures")
def test_a_result_with_holes_exits_with_1(done, name, tmp_path):
    with xr.open_dataset(done(name) / f"{name}.nc") as data:
        data = data.load()
    data["status"][0] = "missing"
    data["status"].encoding = {}  # a length of words, which the longest may have had
    write_dataset(tmp_path / f"{name}.nc", data)
    only = [name, "--figures-only", "--quiet", "--output", str(tmp_path)]
    assert command.main(only) == 1


@EVERY
@pytest.mark.parametrize("scale", ["smoke", "laptop", "full"])
def test_every_question_takes_seeds_and_a_scale(name, scale):
    """A seed of its own may belong to what chooses parameters, never to what is compared."""
    chosen = command.options().parse_args([name, "--scale", scale, "--seeds", "5", "6"])
    study = studies.study_of(name, chosen, command.special)
    assert study.name == name
    of_cells = [str(cell.get("seed", cell.get("seeds"))) for cell in study.cells]  # or side by side
    seeds = {int(seed) for words in of_cells for seed in words.split()}
    assert {5, 6} <= seeds
    assert not {1, 2, 3} & seeds


@EVERY
def test_results_of_another_question_are_refused(name, tmp_path, capsys):
    other = xr.Dataset({"status": ("cell", np.array(["converged"]))}, attrs={"study": "another"})
    write_dataset(tmp_path / f"{name}.nc", other)
    words = refusal(capsys, command.main, name, "--figures-only", "--output", str(tmp_path))
    assert f"no result of study {name}" in words


def test_results_of_another_version_are_refused(tmp_path, capsys):
    about = {"study": NAMES[0], "study_version": 99}
    write_dataset(tmp_path / f"{NAMES[0]}.nc", xr.Dataset({"status": ("cell", ["ok"])}, {}, about))
    words = refusal(capsys, command.main, NAMES[0], "--figures-only", "--output", str(tmp_path))
    assert f"of version 99 of study {NAMES[0]}, and this is version 1" in words


def test_a_result_without_cells_is_refused(tmp_path, capsys):
    write_dataset(tmp_path / f"{NAMES[0]}.nc", xr.Dataset(attrs={"study": NAMES[0]}))
    words = refusal(capsys, command.main, NAMES[0], "--figures-only", "--output", str(tmp_path))
    assert f"no result of study {NAMES[0]}" in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "NAME"),
        (["gain"], "gain"),
        ([NAMES[0], "--scale", "huge"], "huge"),
        ([NAMES[0], "--seeds", "-1"], "-1 is too small"),
        ([NAMES[0], "--seeds", "one"], "'one' is no whole number"),
        ([NAMES[0], "--seeds", "1", "1", *HERE], "twice"),
        ([NAMES[0], "--workers", "-2"], "-2 is too small"),
        ([NAMES[0], "--workers", "100000"], "100000 is too large"),
        (
            [NAMES[0], "--figures-only", "--scale", "smoke"],
            "--scale does nothing with --figures-only",
        ),
        ([NAMES[0], "--workers", "1", "--scheduler", "tcp://a:1"], "--workers does nothing"),
        (
            [NAMES[0], *HERE, "--data-dir", "nowhere"],
            "--data-dir does nothing with data set digits",
        ),
        ([NAMES[0], "--dataset", "mnist", "--data-dir", "nowhere", *HERE], "no such file"),
        (["activations", "--data-dir", "nowhere"], "cannot be read"),  # has data sets of its own
        (["noisy_learning", "--data-dir", "nowhere"], "cannot be read"),
        (["overlaps", "--data-dir", "nowhere"], "cannot be read"),
        (["activations", *HERE, "--data-dir", "nowhere"], "--data-dir does nothing with data set"),
        ([NAMES[0], "--config", "nowhere.toml"], "nowhere.toml"),
        ([NAMES[0], "--figures-only"], "run the study first"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in refusal(capsys, command.main, *arguments)


def test_help_answers_at_once_and_names_every_question():
    joined = "".join(help_of(command.PROGRAM).split())  # lines may be broken anywhere
    for name, question in command.QUESTIONS.items():
        assert "".join(f"{name}: {question}".split()) in joined
