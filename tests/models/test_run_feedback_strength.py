"""The command of the studies as a user meets it: files, statuses, words, and bad input."""

from __future__ import annotations

import io

import numpy as np
import pytest
import xarray as xr

from analysis.records import write_dataset
from analysis.sweep import cluster
from analysis.sweep import run as sweep
from circuit.initialisation.networks import initialise
from circuit.storage.networks import save_network
from models import run_feedback_strength as command
from models.command import studies
from tests.commands import help_of, refusal

HERE = ["--scale", "smoke", "--workers", "0"]
ONE = ["--seeds", "1"]


@pytest.fixture(scope="module")
def done(tmp_path_factory, measured):
    """Folder of a run of all studies with one seed; the cells of most are measured once for all
    tests.
    """
    folder = tmp_path_factory.mktemp("studies")
    for name in ("strength", "strong", "noise", "imperfection"):
        measured(name, 1, folder)
    assert command.main([*HERE, *ONE, "--output", str(folder)]) == 0
    return folder


def test_every_study_leaves_one_labelled_file(done):
    for name in command.STUDIES:
        with xr.open_dataset(done / f"{name}.nc") as data:
            assert data.attrs["study"] == name
            assert data.attrs["scale"] == "smoke"
            assert "'scale': 'smoke'" in data.attrs["config"]
            assert np.size(data.attrs["seeds"]) >= 1
            assert data.attrs["version_numpy"] == np.__version__
            assert data["status"].dims == ("cell",)
            assert not any("missing" in status for status in data["status"].values)
            assert not any("failed" in status for status in data["status"].values)


def test_figures_of_every_study_are_there(done):
    drawn = {path.stem for path in done.glob("*.png")}
    assert {
        "strength_alignment",
        "strength_error",
        "strength_gain",
        "strength_equilibria",
        "strength_stability",
        "strong_critical",
        "noise_signal",
        "imperfection_alignment",
    } <= drawn


@pytest.mark.usefixtures("rough_pictures")
def test_figures_are_drawn_from_the_results_alone(done, tmp_path, capsys):
    """In a folder with nothing but the .nc files, and with no engine to run anything."""
    for name in command.STUDIES:
        (tmp_path / f"{name}.nc").write_bytes((done / f"{name}.nc").read_bytes())
    assert command.main(["--figures-only", "--output", str(tmp_path)]) == 0
    pictures = {path.stem for path in done.glob("*.png")}
    assert {path.stem for path in tmp_path.glob("*.png")} == pictures
    assert not any(path.is_dir() for path in tmp_path.iterdir())
    words = capsys.readouterr().out
    assert all(f"\n{name}: " in words for name in command.STUDIES)  # findings
    strong = ["--studies", "strong", "--figures-only", "--pdf", "--quiet"]
    assert command.main([*strong, "--output", str(tmp_path)]) == 0
    assert {path.stem for path in tmp_path.glob("*.pdf")} == {
        stem for stem in pictures if stem.startswith("strong")
    }


@pytest.mark.usefixtures("rough_pictures")
def test_statuses_are_told_and_a_second_run_measures_nothing(done, monkeypatch, capsys):
    before = (done / "strength.nc").read_bytes()

    def measures_again(*_, **__):
        raise AssertionError

    monkeypatch.setattr(sweep, "run_group", measures_again)
    quietly = [*ONE, "--studies", "strength", "--quiet"]
    assert command.main([*HERE, *quietly, "--output", str(done)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 2
    name, count, *rest = table[1].split()
    assert (name, count) == ("strength", "36")
    assert sum(int(word) for word in rest if word.isdigit()) == 36
    with (
        xr.open_dataset(done / "strength.nc") as now,
        xr.open_dataset(io.BytesIO(before), engine="scipy") as was,
    ):
        assert now.drop_attrs().identical(was.drop_attrs())


@pytest.mark.usefixtures("rough_pictures")
def test_a_result_with_holes_exits_with_1(done, tmp_path):
    with xr.open_dataset(done / "strength.nc") as data:
        data = data.load()
    data["status"][3] = "missing"
    write_dataset(tmp_path / "strength.nc", data)
    only = ["--figures-only", "--studies", "strength", "--quiet"]
    assert command.main([*only, "--output", str(tmp_path)]) == 1


@pytest.mark.usefixtures("rough_pictures")
def test_trained_weights_take_part(measured, tmp_path):
    path = tmp_path / "net.npz"
    save_network(path, initialise([64, 12, 12], np.random.default_rng(7), n_outputs=10))
    measured("strength", 1, tmp_path / "out")
    arguments = [*ONE, "--studies", "strength", "--weights", str(path), "--quiet"]
    assert command.main([*HERE, *arguments, "--output", str(tmp_path / "out")]) == 0
    with xr.open_dataset(tmp_path / "out" / "strength.nc") as data:
        assert set(data["seed"].values) == {1}
        trained = data.isel(cell=data["init"].values == "trained")
        assert trained.sizes["cell"] == 6
        assert set(trained["width"].values) == {12}
        assert set(trained["depth"].values) == {1}


def test_interrupted_says_that_what_is_done_is_kept(tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "run", interrupted)
    assert command.main([*HERE, "--output", str(tmp_path)]) == 130
    words = capsys.readouterr().err
    assert words.count("\n") == 1
    assert "what is done is kept" in words
    assert "run the same command again" in words


def test_options_from_a_file(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('studies = ["strong", "noise"]\nscale = "smoke"\nworkers = 1\nseeds = [3]\n')
    from models.command.parsing import parse

    chosen = parse(command.options(), ["--config", str(config), "--workers", "0"])
    assert (chosen.studies, chosen.seeds, chosen.workers) == (["strong", "noise"], [3], 0)


@pytest.mark.parametrize("name", command.STUDIES)
@pytest.mark.parametrize("scale", ["smoke", "laptop"])
def test_every_study_takes_seeds_and_a_scale(name, scale):
    chosen = command.options().parse_args(["--scale", scale, "--seeds", "5", "6"])
    study = studies.study_of(name, chosen, command.special)
    assert study.name == name
    assert {cell["seed"] for cell in study.cells} == {5, 6}


# --- bad input ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--studies", "gain"], "gain"),
        (["--scale", "huge"], "huge"),
        (["--seeds", "-1"], "-1 is too small"),
        (["--seeds", "one"], "'one' is no whole number"),
        (["--seeds", "1", "1", *HERE], "twice"),
        (["--workers", "-2"], "-2 is too small"),
        (["--workers", "100000"], "100000 is too large"),
        (["--figures-only", "--scale", "smoke"], "--scale does nothing with --figures-only"),
        (["--workers", "1", "--scheduler", "tcp://a:1"], "--workers does nothing"),
        ([*HERE, "--data-dir", "nowhere"], "--data-dir does nothing with data set digits"),
        (["--weights", "none.npz", *HERE], "no such file"),
        (["--weights", "net.npz", "--studies", "noise"], "--weights is for study strength"),
        (["--dataset", "mnist", "--data-dir", "nowhere", *HERE], "no such file"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
        (["--figures-only"], "run the study first"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in refusal(capsys, command.main, *arguments)


def test_weights_of_another_shape_are_refused(tmp_path, capsys):
    path = tmp_path / "net.npz"
    save_network(path, initialise([30, 12], np.random.default_rng(7), n_outputs=10))
    given = ["--studies", "strength", "--weights", str(path), "--output", str(tmp_path)]
    words = refusal(capsys, command.main, *HERE, *given)
    assert "30 inputs" in words
    assert "64" in words


def test_results_of_another_study_are_refused(done, tmp_path, capsys):
    (tmp_path / "strong.nc").write_bytes((done / "noise.nc").read_bytes())
    only = ["--figures-only", "--studies", "strong", "--output", str(tmp_path)]
    assert "no result of study strong" in refusal(capsys, command.main, *only)


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER", 0.2)
    address = "tcp://127.0.0.1:9"
    arguments = ["--studies", "strength", "--scheduler", address, "--output", str(tmp_path)]
    assert address in refusal(capsys, command.main, "--scale", "smoke", "--quiet", *arguments)


def test_help_loads_nothing_heavy():
    """So that it answers at once."""
    assert "--figures-only" in help_of(command.PROGRAM)
