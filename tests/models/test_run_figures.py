"""Figures 2 and 3 as a user meets them, what a run keeps, and rules compared seed by seed."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from analysis import canvas, comparison
from analysis.comparison import groups, paired_difference, tables
from analysis.controls import CONTROLS
from analysis.records import write_dataset
from analysis.sweep import run as sweep
from circuit.errors import CircuitError
from models import run_figures as command
from models.command.parsing import parse
from studies.paper_figures import figures as pictures
from studies.paper_figures import study as training
from studies.paper_figures.findings import figure_findings
from studies.training_run import pooled, pooled_images
from tests.commands import help_of, refusal
from training.images import Images

HERE = ["--scale", "smoke", "--workers", "0"]
LONGER = {"bp", "gait", "grait"}
RULES_OF = {
    "claim": {*LONGER, "circuit", "tp", *CONTROLS},
    "longer": LONGER,
    "grid": {*command.RULES} - {"circuit"},
    "every": {*command.RULES} - {*CONTROLS},
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Folder of all figures at scale smoke."""
    folder = tmp_path_factory.mktemp("figures")
    assert command.main(["all", *HERE, "--output", str(folder)]) == 0
    return folder


# --- the command ---


def test_every_figure_leaves_one_labelled_file_and_one_picture(done):
    for name in command.FIGURES:
        assert (done / f"{name}.png").stat().st_size > 10_000
        with xr.open_dataset(done / f"{name}.nc") as data:
            assert (data.attrs["figure"], data.attrs["scale"]) == (name, "smoke")
            assert data.attrs["version_numpy"] == np.__version__
            assert set(data["status"].values) == {"completed"}
            assert set(data["rule"].values) == RULES_OF.get(name, set(command.RULES))
            assert np.isfinite(data["test_accuracy_chosen"].values).all()
    assert not (done / "training.nc").exists()


def test_a_run_that_two_figures_show_is_made_once(done):
    studies = [training.study(name, "smoke") for name in command.FIGURES]
    needed = {study.key(cell) for study in studies for cell in study.cells}
    assert {path.stem for path in (done / "training" / "cells").iterdir()} == needed
    assert len(needed) < sum(len(study.cells) for study in studies)


@pytest.mark.usefixtures("rough_pictures")
def test_pictures_are_drawn_from_the_results_alone(done, tmp_path, monkeypatch, capsys):
    for name in command.FIGURES:
        (tmp_path / f"{name}.nc").write_bytes((done / f"{name}.nc").read_bytes())

    def trains(*_, **__):
        raise AssertionError

    monkeypatch.setattr(sweep, "run", trains)
    assert command.main(["all", "--figures-only", "--pdf", "--output", str(tmp_path)]) == 0
    for kind in ("png", "pdf"):
        assert {path.stem for path in tmp_path.glob(f"*.{kind}")} == set(command.FIGURES)
    words = capsys.readouterr().out
    # chosen epoch, peak and cosine of figures 2a, 2b, 2c, 3 and "longer"; that of claim is another
    assert words.count("\n| rule | learning rate | lambda | ") == 3 * 5
    assert "| linear | TP |" in words


@pytest.mark.usefixtures("rough_pictures")
def test_what_is_done_so_far_is_shown_without_training(done, tmp_path, monkeypatch, capsys):
    """Of two of the runs of figure claim, with every other one missing; exit status 1 says so."""
    cells = training.study("claim", "smoke")
    for cell in cells.cells[:2]:
        path = cells.path(cell, tmp_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cells.path(cell, done).read_bytes())

    def trains(*_, **__):
        raise AssertionError

    monkeypatch.setattr(sweep, "run", trains)
    arguments = ["claim", "--scale", "smoke", "--so-far", "--output", str(tmp_path)]
    assert command.main(arguments) == 1
    assert "claim: 17 runs, 15 missing, 2 completed" in capsys.readouterr().out
    with xr.open_dataset(tmp_path / "claim.nc") as some, xr.open_dataset(done / "claim.nc") as all_:
        assert (some["status"] == "completed").values.tolist() == [True] * 2 + [False] * 15
        same = "test_accuracy_within"
        steps = {"step": some["step"]}
        np.testing.assert_array_equal(some[same][:2], all_[same].sel(steps)[:2])
        assert np.isnan(some[same][2:]).all()
    assert command.main([*arguments[:1], "--figures-only", "--output", str(tmp_path)]) == 1
    words = refusal(capsys, command.main, *arguments, "--figures-only")
    assert "leave one of them out" in words


@pytest.mark.usefixtures("rough_pictures")
def test_a_second_run_trains_nothing(done, monkeypatch, capsys):
    def trains(*_, **__):
        raise AssertionError

    monkeypatch.setattr(sweep, "run_group", trains)
    assert command.main(["fig2b", *HERE, "--quiet", "--output", str(done)]) == 0
    assert capsys.readouterr().out == "fig2b: 16 runs, 16 completed\n"


@pytest.mark.usefixtures("rough_pictures")
def test_a_result_with_holes_exits_with_1(done, tmp_path, capsys):
    with xr.open_dataset(done / "fig2b.nc") as data:
        data = data.load()
    data["status"] = data["status"].astype(object)
    data["status"][3] = "missing"
    for name in ("test_accuracy", "test_accuracy_peak", "test_accuracy_chosen"):
        data[name][3] = np.nan
    write_dataset(tmp_path / "fig2b.nc", data)
    assert command.main(["fig2b", "--figures-only", "--output", str(tmp_path)]) == 1
    words = capsys.readouterr().out
    assert "16 runs, 15 completed, 1 missing" in words
    assert "; seed 2." in words  # a pair with one half is none


def test_options_from_a_file(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('scale = "laptop"\nseeds = [3]\ndatasets = ["digits", "kmnist"]\n')
    chosen = parse(command.options(), ["fig3", "--config", str(config), "--seeds", "4", "5"])
    assert (chosen.figures, chosen.scale, chosen.seeds) == (["fig3"], "laptop", [4, 5])
    cells = command._study("fig3", chosen).cells
    assert {cell["seed"] for cell in cells} == {4, 5}
    assert {cell["dataset"]: cell["pooling"] for cell in cells} == {"digits": 1, "kmnist": 2}


def test_interrupted_says_that_what_is_done_is_kept(tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "run", interrupted)
    assert command.main(["fig2b", *HERE, "--output", str(tmp_path)]) == 130
    words = capsys.readouterr().err
    assert words.count("\n") == 1
    assert "run the same command again" in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fig4"], "fig4"),
        ([], "FIGURE"),
        (["fig2a", "--scale", "full"], "full"),
        (["fig2a", "--seeds", "-1"], "-1 is too small"),
        (["fig2a", *HERE, "--seeds", "1", "1"], "twice"),
        (["fig2a", "--workers", "one"], "'one' is no whole number"),
        (["fig2a", "--workers", "100000"], "100000 is too large"),
        (
            ["fig2a", "--figures-only", "--scale", "smoke"],
            "--scale does nothing with --figures-only",
        ),
        (["fig2a", "--workers", "1", "--scheduler", "tcp://a:1"], "--workers does nothing"),
        (["fig2a", *HERE, "--data-dir", "nowhere"], "--data-dir does nothing with data set digits"),
        (["fig2a", "--datasets", "cifar"], "cifar"),
        (["fig2a", *HERE, "--datasets", "mnist", "--data-dir", "nowhere"], "no such file"),
        (["fig2a", *HERE, "--datasets", "digits", "mnist"], "mnist is in none of fig2a"),
        (["fig2a", *HERE, "--device", "abacus"], "--device abacus"),
        (["fig2a", "--figures-only"], "run the figure first"),
        (["fig2a", "fig2c", *HERE, "--parameters", "same"], "changes nothing in fig2c"),
        (["fig2a", *HERE, "--orthogonality", "1"], "add --parameters same"),
        (["fig2a", *HERE, "--parameters", "same", "--learning-rate", "0"], "not positive"),
        (["fig2a", *HERE, "--rules", "bptt"], "bptt"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in refusal(capsys, command.main, *arguments)


def test_results_of_another_figure_are_refused(done, tmp_path, capsys):
    (tmp_path / "fig3.nc").write_bytes((done / "fig2b.nc").read_bytes())
    words = refusal(capsys, command.main, "fig3", "--figures-only", "--output", str(tmp_path))
    assert "no result of figure fig3" in words


@pytest.mark.parametrize("content", [b"", b"CDF\x01", b"words"])
def test_a_damaged_result_is_refused(content, tmp_path, capsys):
    (tmp_path / "fig3.nc").write_bytes(content)
    words = refusal(capsys, command.main, "fig3", "--figures-only", "--output", str(tmp_path))
    assert "fig3.nc is no NetCDF file" in words


def test_help_loads_nothing_heavy():
    """So that it answers at once."""
    assert "--figures-only" in help_of(command.PROGRAM)


# --- the runs ---


def test_command_study_and_tables_know_the_same_rules():
    """GRAIT-prop stands beside GAIT-prop as printed."""
    assert command.RULES == comparison.RULES == (*training.RULES, *CONTROLS)
    assert "grait" in command.RULES
    assert set(comparison.NAMES) == set(command.RULES)
    for sizes in training.SCALES.values():
        assert set(sizes.leaky_relu) >= set(command.RULES)
        assert set(sizes.linear) >= set(command.RULES)


def test_command_and_study_know_the_same_figures():
    assert command.FIGURES == training.FIGURES
    assert set(command.FIGURES) == set(training.CELLS) == set(pictures.FIGURES)


def test_scale_paper_is_the_papers():
    """Sections 7 and 8 of the paper, the captions of its Figures 2 and 3, and the public code."""
    rates = {"bp": 1e-4, "gait": 1e-4, "tp": 1e-5}
    for name in ("fig2a", "fig2b", "fig2c", "fig3"):
        for cell in training.study(name, "paper").cells:
            assert (cell["epochs"], cell["batch"], cell["train_images"]) == (100, 60, None)
            assert (cell["pooling"], cell["gamma"]) == (1, 1e-3)
            assert cell["learning_rate"] == rates.get(cell["rule"], 1e-4)
            if name == "fig2c":
                assert (cell["activation"], cell["orthogonality"]) == ("linear", 0)
    four = {cell["widths"] for cell in training.study("fig2b", "paper").cells}
    assert four == {"784-784-784-784-784-784"}
    narrow, full = dict.fromkeys(cell["widths"] for cell in training.study("fig3", "paper").cells)
    assert (narrow, full) == ("784-784-500-200-10", "784-784-784-784-784")
    assert {cell["seed"] for cell in training.study("fig2b", "paper").cells} == {1, 2, 3, 4, 5}
    assert {cell["dataset"] for cell in training.study("fig2b", "laptop").cells} == {
        "mnist",
        "fashion_mnist",
        "kmnist",
    }


def test_scale_desk_is_the_papers_but_for_the_number_of_epochs():
    """Issue 16: four layers of 784 units on MNIST, and Fig. 3B on three data sets."""
    cells = training.study("claim", "desk").cells
    shared = {"epochs": 15, "batch": 60, "train_images": None, "pooling": 1, "gamma": 1e-3}
    assert all(cell | shared == cell and cell["activation"] == "leaky_relu" for cell in cells)
    full = "784-784-784-784-784-784"
    kinds: dict[object, set[object]] = {}
    for cell in cells:
        words = ("dataset", "widths", "rule", "pathway", "learning_rate", "orthogonality")
        kinds.setdefault(tuple(cell[word] for word in words), set()).add(cell["seed"])
    all_seeds, few = {1, 2, 3, 4, 5}, {1, 2, 3}
    decisive = [("bp", None, 1e-4, 0.1), ("gait", None, 1e-4, 0.1), ("grait", None, 1e-4, 0.1)]
    wanted: dict[object, set[object]] = {("mnist", full, *one): all_seeds for one in decisive}
    wanted["mnist", full, "bp", None, 1e-4, 0.0] = all_seeds
    wanted["mnist", full, "circuit", "grait", 1e-4, 0.1] = few
    wanted["mnist", full, "tp", None, 1e-5, 1000.0] = few
    wanted |= {("mnist", full, name, None, 1e-4, 0.0): few for name in CONTROLS}
    for name in ("mnist", "fashion_mnist", "kmnist"):
        wanted |= {(name, "784-784-500-200-10", *one): few for one in decisive}
        wanted |= {(name, "784-784-500-200-10", one, None, 1e-4, 0.0): few for one in CONTROLS}
    assert kinds == wanted
    assert [(cell["seed"], cell["rule"], cell["orthogonality"]) for cell in cells[:5]] == [
        (1, "bp", 0.1),
        (1, "gait", 0.1),
        (1, "grait", 0.1),
        (1, "bp", 0.0),
        (2, "bp", 0.1),
    ]
    longer = training.study("longer", "desk").cells
    assert [(c["rule"], c["epochs"], c["seed"]) for c in longer] == [
        ("bp", 40, 1),
        ("gait", 40, 1),
        ("grait", 40, 1),
    ]


def test_every_rule_of_a_seed_has_its_partner():
    for name in ("fig2a", "fig2b", "fig2c", "fig3"):
        for scale in training.SCALES:
            cells = training.study(name, scale).cells
            sets = {
                rule: {(c["dataset"], c["widths"], c["seed"]) for c in cells if c["rule"] == rule}
                for rule in command.RULES
            }
            assert all(one == sets["bp"] for one in sets.values())
            assert len(sets["bp"]) * len(command.RULES) == len(cells)


def test_with_the_same_parameters_only_the_rule_differs():
    for scale in training.SCALES:
        best, same = (
            training.study("fig2b", scale, parameters=which).cells for which in ("best", "same")
        )
        rest = [
            {k: v for k, v in cell.items() if k not in {"seed", "dataset"}}
            for cell in same
            if cell["rule"] not in CONTROLS
        ]
        assert len({tuple((cell | {"rule": ""}).items()) for cell in rest}) == 1
        assert all((cell["orthogonality"] > 0) == (cell["rule"] not in CONTROLS) for cell in same)
        unlike = {"learning_rate", "orthogonality"}
        for one, other in zip(best, same, strict=True):
            assert {k for k in one if one[k] != other[k]} <= unlike


def test_parameters_that_all_rules_share_can_be_given_and_rules_left_out():
    def cells(**options):
        return training.study("fig3", "laptop", parameters="same", **options).cells

    for same, wanted in (((3e-3, 0.7), (3e-3, 0.7)), ((None, 0.7), (1e-3, 0.7))):
        pairs = {
            (c["learning_rate"], c["orthogonality"])
            for c in cells(same=same)
            if c["rule"] not in CONTROLS
        }
        assert pairs == {wanted}
    some = cells(rules=["gait", "bp"])
    assert list(some) == [cell for cell in cells() if cell["rule"] in ("bp", "gait")]


def test_numbers_kept_of_a_run(done):
    """What is called chosen, end and peak, from the curves."""
    with xr.open_dataset(done / "fig2b.nc") as data:
        for place in range(data.sizes["cell"]):
            run = data.isel(cell=place)
            test, chosen = run["test_accuracy"].values, int(run["chosen_epoch"])
            validation = run["validation_accuracy"].values
            assert validation[chosen] == validation.max() == run["validation_accuracy_chosen"]
            assert run["test_accuracy_chosen"] == test[chosen]
            assert run["test_accuracy_end"] == test[-1]
            assert run["test_accuracy_peak"] == max(test)
            assert run["train_accuracy_peak"] == max(run["train_accuracy"].values)
            layers = 1 if run["rule"] == "no_hidden" else 3
            measured = np.isfinite(run["alignment"].values[[0, -1]])
            assert measured.tolist() == [[layer < layers for layer in range(3)]] * 2


def test_rules_begin_with_the_same_network_and_learn_from_it(done):
    with xr.open_dataset(done / "fig2b.nc") as data:
        for group in groups(data):
            first = {
                rule: tuple(group.accuracy(rule, "test_accuracy")[:, 0]) for rule in group.runs
            }
            del first["no_hidden"]  # the one that has another network
            assert len(set(first.values())) == 1
            for rule in ("bp", "gait", "grait", "circuit"):
                learnt = group.accuracy(rule, "test_accuracy")
                assert (learnt[:, -1] > 0.5).all() and (learnt[:, 0] < 0.3).all()


@pytest.mark.parametrize("rule", ["tp", "bp"])
def test_weights_that_become_useless_are_a_status_and_not_a_crash(rule, tmp_path, capsys):
    """A learning rate of 1e30 makes an overflow of the second step at the latest."""
    study = training.study("fig2b", "smoke", seeds=(1,))
    cells = tuple(
        cell | {"learning_rate": 1e30 if cell["rule"] == rule else 1e-3} for cell in study.cells
    )
    data = sweep.run(replace(study, cells=cells), tmp_path, workers=0, quiet=True)
    failed = data["rule"].values == rule
    for status in data["status"].values[failed]:
        assert status.startswith("training failed: epoch 1, batch ")
        assert "layer" in status
    assert set(data["status"].values[~failed]) == {"completed"}
    run = data.isel(cell=np.flatnonzero(failed)[0])
    assert np.isfinite(run["test_accuracy"].values[0])
    assert np.isnan(run["test_accuracy"].values[1:]).all()
    assert np.isnan(run["test_accuracy_end"])
    assert run["test_accuracy_peak"] == run["test_accuracy"].values[0]
    assert "1 of 1 failed" in "\n".join(tables(data))
    data.attrs["figure"] = "fig2b"
    write_dataset(tmp_path / "fig2b.nc", data)
    assert command.main(["fig2b", "--figures-only", "--quiet", "--output", str(tmp_path)]) == 0
    assert f"  {rule} on digits" in capsys.readouterr().out


def test_pooling_is_the_mean_of_squares(rng):
    inputs = rng.random((3, 36))
    data = pooled(Images("digits", inputs, np.zeros(3, dtype=np.int64), 6), 3)
    assert data.side == 2
    for image in range(3):
        for row in range(2):
            for column in range(2):
                square = [
                    inputs[image, (3 * row + i) * 6 + 3 * column + j]
                    for i in range(3)
                    for j in range(3)
                ]
                assert data.inputs[image, 2 * row + column] == pytest.approx(sum(square) / 9)
    with pytest.raises(CircuitError, match="pooling 4 does not divide the 6 pixels"):
        pooled(Images("digits", inputs, np.zeros(3, dtype=np.int64), 6), 4)


def test_images_that_are_not_square_are_taken_as_they_are(tmp_path, rng):
    """Ten of 2 x 3 pixels, every fifth for testing: numbers as they were, a row an image."""
    pixels = rng.random((10, 2, 3)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", images=pixels, labels=np.arange(10) % 3)
    train, test = pooled_images("own", str(tmp_path / "mine.npz"))
    np.testing.assert_array_equal(test.inputs, pixels[[4, 9]].reshape(2, 6))
    np.testing.assert_array_equal(train.inputs[:4], pixels[:4].reshape(4, 6))


# --- the comparison ---


@pytest.mark.parametrize("pairs", [2, 3, 5, 20])
def test_paired_interval_against_scipy(pairs, rng):
    seeds = rng.normal(size=pairs)
    one, other = seeds + rng.normal(0.1, 0.2, pairs), seeds + rng.normal(0, 0.2, pairs)
    found = paired_difference(one, other)
    low, high = stats.ttest_rel(one, other).confidence_interval(0.95)
    assert found.pairs == pairs
    np.testing.assert_allclose(
        [found.mean - found.half, found.mean + found.half], [low, high], rtol=1e-10
    )


def test_a_pair_with_one_half_is_left_out(rng):
    one, other = rng.normal(size=(2, 6))
    found = paired_difference(np.append(one, [np.nan, 1.0]), np.append(other, [2.0, np.nan]))
    assert found == paired_difference(one, other)
    assert np.isnan(paired_difference(one[:1], other[:1]).half)
    assert paired_difference(one[:1], one[:1]).verdict() == "undecided"


def test_level_is_what_two_one_sided_tests_say(rng):
    """Schuirmann's test at half of 5 % each, by SciPy's one-sample t test."""
    seen = set()
    for _ in range(300):
        difference = rng.normal(rng.uniform(-0.02, 0.02), rng.uniform(0.0005, 0.01), 4)
        above = stats.ttest_1samp(difference, -0.01, alternative="greater").pvalue
        below = stats.ttest_1samp(difference, 0.01, alternative="less").pvalue
        less = stats.ttest_1samp(difference, 0.0, alternative="less").pvalue < 0.025
        more = stats.ttest_1samp(difference, 0.0, alternative="greater").pvalue < 0.025
        if max(above, below) < 0.025:
            expected = "level"
        else:
            expected = "behind" if less else "ahead" if more else "undecided"
        assert paired_difference(difference, np.zeros(4)).verdict() == expected
        seen.add(expected)
    assert seen == {"level", "behind", "ahead", "undecided"}


INVENTED = {"bp": 0.0, "gait": 0.002, "grait": 0.001, "circuit": -0.001, "itp": -0.05, "tp": -0.3}
INVENTED |= {"no_hidden": -0.06, "frozen": -0.08}


def invented_accuracy(rule, seed):
    return 0.85 + 0.02 * seed + INVENTED[rule] + 1e-4 * np.sin(7 * seed + len(rule))


def invented(*, rule, seed, epochs, widths, **_):
    """A run with a known accuracy; seeds differ much more than GAIT-prop does from BP."""
    accuracy = invented_accuracy(rule, seed)
    curve = np.linspace(0.1, accuracy, epochs + 1)
    names = ("validation_accuracy", "test_accuracy", "train_accuracy")
    curves = dict.fromkeys(names, ("epoch", curve))
    numbers = dict.fromkeys(
        (
            "validation_accuracy_chosen",
            "test_accuracy_chosen",
            "test_accuracy_end",
            "test_accuracy_peak",
            "train_accuracy_peak",
        ),
        accuracy,
    )
    curves["alignment"] = (("epoch", "layer"), np.ones((epochs + 1, widths.count("-"))))
    return xr.Dataset(curves | numbers | {"status": "completed"}, {"epoch": range(epochs + 1)})


def now_and_then(*, orthogonality_every, seed, **cell):
    """A run with a known loss by a regulariser that is applied now and then."""
    loss = 0.03 if orthogonality_every == 10 else 0.001 * (orthogonality_every - 1)
    run = invented(seed=seed, **cell).drop_vars("status") - loss * (1 + 0.01 * (-1) ** seed)
    shape = (cell["epochs"] + 1, cell["widths"].count("-"))
    distance = xr.DataArray(np.full(shape, 0.01 * orthogonality_every), dims=("epoch", "layer"))
    return run.assign(orthogonality_distance=distance, status="completed")


def test_the_regulariser_now_and_then_against_every_step(tmp_path):
    """All else equal, seed by seed; seeds 1, 2, 3 lose 0.99, 1.01 and 0.99 times as much."""
    study = training.study("every", "laptop", seeds=(1, 2, 3))
    rests = {
        tuple((k, v) for k, v in cell.items() if k != "orthogonality_every") for cell in study.cells
    }
    assert len(study.cells) == 3 * len(rests)
    assert all(cell["orthogonality"] > 0 for cell in study.cells)
    data = sweep.run(replace(study, measure=now_and_then), tmp_path, workers=0, quiet=True)
    table = [line.split(" | ") for line in comparison.interval_findings(data)[2:]]
    assert len(table) == 2 * 3 * len(training.RULES)
    for row in table:
        loss, verdict = {"1": ("", ""), "4": ("-0.30", "level"), "10": ("-2.99", "behind")}[row[4]]
        assert (row[7].split(" +- ")[0], row[8], row[9]) == (loss, verdict, f"0.{row[4]:0>2}0 |")
    assert "k = 4: -0.3; k = 10: -3.0" in pictures.intervals(data).get_suptitle()
    # while it runs: GAIT-prop has no k = 1, BP no k = 4
    every, rule, seed = (data[one].values for one in ("orthogonality_every", "rule", "seed"))
    gone = (rule == "gait") & (every == 1) | (rule == "bp") & (every == 4)
    some = data.where(xr.DataArray(~gone, dims="cell"))
    lines = [line.split(" | ") for line in comparison.interval_findings(some)[2:]]
    assert {line[1] for line in lines} == {"BP", "GRAIT-prop", "circuit", "ITP", "TP"}
    assert [line[4] for line in lines if line[1] == "BP"] == ["1", "10"] * 2
    pictures.intervals(some)
    # no seed has both k = 1 and another
    none = data.where(xr.DataArray((every == 1) == (seed == 1), dims="cell"))
    assert comparison.interval_findings(none)[2:] == []
    pictures.intervals(none)


@pytest.mark.usefixtures("rough_pictures")
@pytest.mark.parametrize("name", [*command.FIGURES, *command.BENCH])
def test_a_figure_of_which_nothing_is_done_says_so(name, tmp_path, capsys):
    assert command.main([name, "--so-far", "--output", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert told.out.startswith(f"{name}: ")
    assert "missing" in told.out
    assert told.err == ""
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize("name", ["fig2a", "fig2b", "fig2c", "fig3"])
def test_known_differences_are_found_and_drawn(name, tmp_path):
    study = replace(training.study(name, "laptop", seeds=(1, 2, 3)), measure=invented)
    data = sweep.run(study, tmp_path, workers=0, quiet=True)
    for group in groups(data):
        assert group.seeds == [1, 2, 3]
        for rule, shift in INVENTED.items():
            found = group.against_reference(rule, "test_accuracy_chosen")
            assert found.mean == pytest.approx(shift, abs=2e-4)
            expected = "level" if abs(shift) < 0.01 else "behind"
            assert found.verdict() == expected
        # negative control: without the pairs, three seeds would say nothing of GAIT-prop
        spread = stats.ttest_ind(
            *(group.accuracy(rule, "test_accuracy_end") for rule in ("gait", "bp"))
        ).confidence_interval(0.95)
        assert spread.high - spread.low > 0.02
    text = pictures.FIGURES[name](data).get_suptitle()
    said = "; ".join(
        f"{comparison.NAMES[rule]} {100 * shift:+.1f}" for rule, shift in INVENTED.items()
    ).removeprefix("BP +0.0; ")
    assert said in text.replace("\n", "; ")


@pytest.mark.parametrize(
    ("scale", "ticks"), [("laptop", [1, 2, 3, 4, 5]), ("desk", [1, 4, 7, 10, 13])]
)
def test_epochs_are_numbered_as_many_as_there_is_room_for(tmp_path, scale, ticks):
    study = replace(training.study("fig2c", scale, seeds=(1,)), measure=invented)
    data = sweep.run(study, tmp_path, workers=0, quiet=True)
    for axes in pictures.linear(data).axes:
        assert axes.get_xticks().tolist() == ticks


def some_fail(*, dataset, **cell):
    run = invented(**cell)
    if (dataset, cell["rule"], cell["seed"]) == ("mnist", "tp", 2):
        run["status"] = "training failed: epoch 3"
    if (dataset, cell["rule"], cell["seed"]) == ("kmnist", "itp", 4):
        raise CircuitError("lost")
    return run


def test_tables_have_a_row_for_each_rule_and_a_column_for_each_network(tmp_path):
    """Against Student's t of SciPy; one run failed, and one is missing with its whole seed."""

    found = training.study("fig2b", "laptop", seeds=(1, 2, 3, 4))
    data = sweep.run(replace(found, measure=some_fail), tmp_path, workers=0, quiet=True)
    lines = figure_findings(data)
    assert lines[0] == "layers 196-196-196-196-196-196, leaky_relu units; seeds 1, 2, 3, 4."
    tables = [list(rows) for table, rows in groupby(lines, lambda s: s.startswith("|")) if table]
    assert len(tables) == 3
    for chosen_or_peak in tables[:2]:
        rows = [line.strip("| ").split(" | ") for line in chosen_or_peak]
        assert rows[0][3:] == ["MNIST", "Fashion-MNIST", "KMNIST, 3 seeds"]
        assert [row[0] for row in rows[2:]] == [comparison.NAMES[rule] for rule in INVENTED]
        for rule, row in zip(INVENTED, rows[2:], strict=True):
            for words, seeds in zip(row[3:], [(1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 3)], strict=True):
                values, reference = (
                    np.array([100 * invented_accuracy(one, seed) for seed in seeds])
                    for one in (rule, "bp")
                )
                told = [interval(values, "")]
                if rule != "bp":
                    gap = values - reference
                    told.append(interval(gap, "+"))
                    told[-1] += f", {'level' if abs(gap.mean()) < 1 else 'behind'}"
                if rule == "tp" and words is row[3]:
                    told[-1] += ", 1 of 4 failed"
                assert words == (told[0] if len(told) == 1 else f"{told[0]} ({told[1]})")
    assert tables[2][2] == "| GAIT-prop | 0.001 | 0 | 1.00 +- 0.00 | 1.00 +- 0.00 | 1.00 +- 0.00 |"
    assert [line.split(" | ")[0][2:] for line in tables[2][2:]] == [
        comparison.NAMES[rule] for rule in INVENTED if rule not in ("bp", "no_hidden", "frozen")
    ]
    alone = "\n".join(figure_findings(data.isel(cell=np.flatnonzero(data["rule"] == "gait"))))
    assert "\n".join(lines).count("(minus BP") == 2
    assert alone.count("(of BP, to compare with, there are none)") == 2
    assert "minus BP" not in alone


def interval(values, sign):
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():{sign}.2f} +- {half:.2f}"


@pytest.mark.usefixtures("rough_pictures")
def test_the_grid_is_judged_on_validation_images_and_failures_do_not_win(tmp_path):
    study = replace(training.study("grid", "laptop"), measure=on_the_grid)
    data = sweep.run(study, tmp_path, workers=0, quiet=True)
    best = comparison.best_of_grid(data)
    tried = [rule for rule in command.RULES if rule != "circuit"]
    for rule in tried:
        assert best["leaky_relu", rule][:2] == (1e-3, 0.0 if rule in CONTROLS else 10.0)
        assert best["linear", rule][:2] == (1e-3, 0.0)
    assert {cell["epochs"] for cell in study.cells} == {training.SCALES["laptop"].epochs}
    assert len({cell["seed"] for cell in study.cells}) >= 3
    assert len(canvas.save(pictures.grid_search(data), tmp_path, "grid")) == 1
    assert len(comparison.grid_findings(data)) == 2 + 2 * len(tried)


def on_the_grid(*, learning_rate, orthogonality, epochs, **_):
    """Validation accuracy has its best at a rate of 1e-3 and lambda 10, test accuracy elsewhere; a
    rate of 3e-3 is better than all until it fails.
    """
    validation = 0.9 - 0.1 * abs(np.log10(learning_rate / 1e-3)) - 0.001 * abs(orthogonality - 10)
    failed = learning_rate == 3e-3
    return xr.Dataset(
        {
            "validation_accuracy": ("epoch", np.full(epochs + 1, 0.1)),
            "test_accuracy": ("epoch", np.full(epochs + 1, 0.1)),
            "validation_accuracy_chosen": 0.99 if failed else validation,
            "test_accuracy_chosen": 1 - validation,
            "status": "training failed: epoch 1, batch 2: W of layer 3" if failed else "completed",
        }
    )


@pytest.mark.posix
def test_a_pipe_in_place_of_a_result_is_not_waited_for(capsys, tmp_path):
    os.mkfifo(tmp_path / "fig2c.nc")
    arguments = ["fig2c", "--figures-only", "--output", str(tmp_path)]
    assert "fig2c.nc: no such file" in refusal(capsys, command.main, *arguments)
