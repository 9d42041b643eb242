"""What pages say of the claim at the paper's size, against the runs and SciPy's t tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.stats import ttest_1samp

from analysis.equivalence import repetitions_needed

ROOT = Path(__file__).resolve().parents[2]
DESK = ROOT / "docs" / "data" / "desk"
FULL, NARROW = "784-784-784-784-784-784", "784-784-500-200-10"
MOMENTS = ("test_accuracy_peak_within", "test_accuracy_chosen", "test_accuracy_end")
FIVE, THREE = [1, 2, 3, 4, 5], [1, 2, 3]
ROWS = {  # of full width on MNIST: name on the page -> rule, lambda, seeds
    "BP, lambda 0.1": ("bp", 0.1, FIVE),
    "GAIT-prop, lambda 0.1": ("gait", 0.1, FIVE),
    "GRAIT-prop, lambda 0.1": ("grait", 0.1, FIVE),
    "BP, lambda 0": ("bp", 0.0, FIVE),
    "circuit, lambda 0.1": ("circuit", 0.1, THREE),
    "TP, lambda 1000": ("tp", 1000.0, THREE),
    "frozen hidden layers": ("frozen", 0.0, THREE),
    "no hidden layer": ("no_hidden", 0.0, THREE),
}
RULES = {"BP": "bp", "GAIT-prop": "gait", "GRAIT-prop": "grait"}
CONTROLS = {"no hidden layer": "no_hidden", "frozen hidden layers": "frozen"}
DATASETS = {"MNIST": "mnist", "Fashion-MNIST": "fashion_mnist", "KMNIST": "kmnist"}
MARGIN = 0.3  # points

Runs = dict[int, xr.Dataset]  # by seed
Kind = tuple[str, str, str, float]  # widths, data set, rule, lambda


@pytest.fixture(scope="module")
def finished() -> dict[Kind, Runs]:
    """Read from the runs' own files."""
    return by_kind(of_claim())


def by_kind(runs: list[xr.Dataset]) -> dict[Kind, Runs]:
    found: dict[Kind, Runs] = {}
    for run in runs:
        cell = json.loads(run.attrs["parameters"])
        kind = cell["widths"], cell["dataset"], cell["rule"], float(cell["orthogonality"])
        found.setdefault(kind, {})[int(cell["seed"])] = run
    return found


def of_claim() -> list[xr.Dataset]:
    """The finished runs of 15 epochs; those of figure "longer" lie beside them."""
    return of_epochs(15)


def of_epochs(epochs: int) -> list[xr.Dataset]:
    runs = map(xr.load_dataset, sorted((DESK / "training" / "cells").glob("*.nc")))
    return [run for run in runs if run.sizes["epoch"] == 1 + epochs]


def accuracies(runs: Runs, name: str, seeds: list[int]) -> np.ndarray:
    """In percent."""
    return np.array([100 * float(runs[seed][name]) for seed in seeds])


def interval(values: np.ndarray, form: str = ".2f") -> str:
    """Mean and half of SciPy's 95 % interval, as pages write them."""
    between = ttest_1samp(values, 0).confidence_interval(0.95)
    return f"{values.mean():{form}} ± {(between.high - between.low) / 2:.2f}"


def verdict(each: np.ndarray) -> str:
    above = ttest_1samp(each, -MARGIN, alternative="greater").pvalue
    below = ttest_1samp(each, MARGIN, alternative="less").pvalue
    if max(above, below) < 0.05:
        return "level"
    if ttest_1samp(each, 0).pvalue < 0.05:
        return "ahead" if each.mean() > 0 else "behind"
    return "undecided"


def columns(runs: Runs, reference: Runs, seeds: list[int]) -> list[str]:
    """The peak, and what is more than that of the reference at every moment."""
    words = [interval(accuracies(runs, MOMENTS[0], seeds))]
    for moment in MOMENTS:
        each = accuracies(runs, moment, seeds) - accuracies(reference, moment, seeds)
        more = f"{interval(each, '+.2f')} ({verdict(each)})" if runs is not reference else ""
        words.append(more)
    return words


def row_of(page: str, *first: str) -> list[str]:
    """The other cells of the first row that begins so and tells of peak and every moment."""
    for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
        cells = [word.strip() for word in line.strip("|").split("|")]
        if cells[: len(first)] == [*first] and len(cells) == len(first) + 1 + len(MOMENTS):
            return cells[len(first) :]
    raise AssertionError(f"{first} is no row of {page}")


@pytest.mark.parametrize("name", ROWS)
def test_the_table_of_the_page_is_what_the_runs_say(finished, name):
    rule, strength, seeds = ROWS[name]
    runs, reference = finished[FULL, "mnist", rule, strength], finished[FULL, "mnist", "bp", 0.1]
    assert sorted(runs) == seeds
    assert row_of("results.md", name, str(len(seeds))) == columns(runs, reference, seeds)


@pytest.mark.parametrize("images", DATASETS)
@pytest.mark.parametrize("name", [*RULES, *CONTROLS])
def test_the_table_of_narrowing_layers_is_what_its_runs_say(finished, images, name):
    rule, strength = (RULES[name], 0.1) if name in RULES else (CONTROLS[name], 0.0)
    runs, reference = (
        finished[NARROW, DATASETS[images], *one] for one in ((rule, strength), ("bp", 0.1))
    )
    assert sorted(runs) == sorted(reference) == THREE
    assert row_of("results.md", images, name) == columns(runs, reference, THREE)


def test_controls_of_narrowing_layers_are_far_below_all_rules(finished):
    """The least and the largest difference of all data sets and seeds."""
    above, below = [], []
    for images in DATASETS.values():
        none, frozen = (
            accuracies(finished[NARROW, images, name, 0.0], MOMENTS[0], THREE)
            for name in CONTROLS.values()
        )
        for rule in RULES.values():
            learnt = accuracies(finished[NARROW, images, rule, 0.1], MOMENTS[0], THREE)
            above += list(learnt - none)
        below += list(none - frozen)
    spans = [f"{min(each):.1f} to {max(each):.1f} points above" for each in (above, below)]
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert f"In every seed all three rules are {spans[0]} a network without hidden layers" in text
    assert f"that is {spans[1]} one whose hidden layers are frozen" in text


def test_what_is_said_elsewhere_is_what_the_runs_say(finished):
    """README and the findings give the peak; of GAIT-prop also against BP without lambda."""
    peaks = {
        (rule, strength): accuracies(finished[FULL, "mnist", rule, strength], MOMENTS[0], seeds)
        for rule, strength, seeds in ROWS.values()
        if seeds == FIVE
    }
    against = {rule: peaks[rule, 0.1] - peaks["bp", 0.1] for rule in ("gait", "grait")}
    free = peaks["gait", 0.1] - peaks["bp", 0.0]
    for page in ("README.md", "docs/index.md", "docs/findings.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for each in against.values():
            assert verdict(each) == "level"
            assert interval(each) in text, page
        assert verdict(free) == "behind"
        assert interval(-free) in text, page
        circuit, bp = (finished[FULL, "mnist", rule, 0.1] for rule in ("circuit", "bp"))
        each = accuracies(circuit, MOMENTS[0], THREE) - accuracies(bp, MOMENTS[0], THREE)
        assert verdict(each) == "level"
        assert interval(each) in text, page
        for images, words in (
            ("mnist", ("level", "level")),
            ("fashion_mnist", ("behind", "level")),
            ("kmnist", ("behind", "undecided")),
        ):
            bp = accuracies(finished[NARROW, images, "bp", 0.1], MOMENTS[0], THREE)
            for rule, word in zip(("gait", "grait"), words, strict=True):
                each = accuracies(finished[NARROW, images, rule, 0.1], MOMENTS[0], THREE) - bp
                assert verdict(each) == word
                if images != "mnist":
                    more = f"{word} ({interval(each, '+.2f')})"
                    assert (interval(-each) if word == "behind" else more) in text, page


def test_how_many_runs_are_finished_is_what_the_page_says():
    """Those files are the runs of the result that is drawn, too."""
    count = len(of_claim())
    with xr.open_dataset(DESK / "claim.nc") as data:
        done = [str(status) != "missing" for status in data["status"].values]
    assert sum(done) == count
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert f"{count} of {len(done)} runs are finished" in text


def test_what_is_said_of_the_circuit_and_the_controls_is_what_their_runs_say(finished):
    """The circuit beside GRAIT-prop, epoch by epoch; TP below both controls in every seed."""
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    circuit, grait = (finished[FULL, "mnist", rule, 0.1] for rule in ("circuit", "grait"))
    farthest = max(
        100 * float(abs(circuit[seed]["test_accuracy"] - grait[seed]["test_accuracy"]).max())
        for seed in THREE
    )
    assert f"within {farthest:.2f} points of GRAIT-prop" in text
    findings = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert f"never more than {farthest:.2f} points from GRAIT-prop" in findings
    assert all((run["settled"][1:] == 1).all() for run in circuit.values())
    assert "every image of every batch settled" in text
    kinds = (("tp", 1000.0), ("no_hidden", 0.0), ("frozen", 0.0))
    tp, none, frozen = (
        accuracies(finished[FULL, "mnist", *kind], MOMENTS[0], THREE) for kind in kinds
    )
    assert (tp < none).all() and (none < frozen).all()
    behind = accuracies(finished[FULL, "mnist", "bp", 0.1], MOMENTS[0], THREE) - tp
    assert f"Target propagation is {behind.mean():.1f} points behind" in text
    assert f"above the frozen layers' {frozen.mean():.1f} %" in text
    last = [
        run["test_accuracy"].values[-4:] for run in finished[FULL, "mnist", "tp", 1000.0].values()
    ]
    assert all(one[-1] > one[0] for one in last) and "still rises in the last epochs" in text


def test_verdicts_on_narrowing_layers_are_counted_rightly(finished):
    """Those of GRAIT-prop; how many seeds would decide is asked of the power of the tests."""
    words, needed = [], []
    for images in DATASETS.values():
        bp, grait = (finished[NARROW, images, rule, 0.1] for rule in ("bp", "grait"))
        for moment in MOMENTS:
            each = accuracies(grait, moment, THREE) - accuracies(bp, moment, THREE)
            words.append(verdict(each))
            if words[-1] == "undecided":
                needed.append(repetitions_needed(each.mean(), each.std(ddof=1), MARGIN))
    assert (words.count("level"), words.count("undecided"), len(words)) == (6, 3, 9)
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert "of its nine verdicts with narrowing layers, those on MNIST included, six are" in text
    assert f"three undecided, which {min(needed)} to {max(needed)} seeds would decide" in text


def test_what_lengths_of_rows_cost_in_narrowing_layers_is_what_the_pairs_say(finished):
    """GRAIT-prop differs from GAIT-prop in nothing but that it allows for them."""
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    spans, better, cosines, lengths, together = [], [], [], [], []
    for images in DATASETS.values():
        bp, gait, grait = (finished[NARROW, images, rule, 0.1] for rule in RULES.values())
        losses = [
            np.array([runs[seed]["learning_loss"].values[-1].flat[0] for seed in THREE])
            for runs in (bp, gait, grait)
        ]
        assert (losses[0] < losses[2]).all() and (losses[2] < losses[1]).all()
        closed = 100 * (losses[1] - losses[2]) / (losses[1] - losses[0])
        spans.append(f"{closed.min():.0f} to {closed.max():.0f} %")
        each = accuracies(grait, MOMENTS[0], THREE) - accuracies(gait, MOMENTS[0], THREE)
        assert (each > 0).all()
        better.append(interval(each, "+.2f"))
        assert min(float(run["alignment"][-1, 0]) for run in grait.values()) > 0.9985
        cosines += [float(run["alignment"][-1, 0]) for run in gait.values()]
        lengths += [float(run["alignment_norm"][-1, 0]) for run in gait.values()]
        together.append(each)
    assert f"{spans[0]} on MNIST, {spans[2]} on KMNIST and {spans[1]} on Fashion-MNIST" in text
    assert f"by {better[0]}, {better[1]} and {better[2]} points" in text
    of_seeds = np.mean(together, axis=0)  # which begin with the same weights on all images
    assert f"by {interval(of_seeds, '+.2f')} in the mean of the three, seed by seed" in text
    assert f"cosine is {min(cosines):.2f} to {max(cosines):.2f}" in text
    assert f"layer 1 is {min(lengths):.2f} to {max(lengths):.2f} of BP's" in text


def test_what_is_said_of_the_last_epoch_is_what_the_runs_say(finished):
    """Cosines and lengths in layer 1 beside back-propagation's update, and losses; five seeds."""

    def ends(rule: str, strength: float, name: str) -> np.ndarray:
        runs = finished[FULL, "mnist", rule, strength].values()
        return np.array([run[name].values[-1].flat[0] for run in runs])

    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    cosines, lengths = (ends("gait", 0.1, name) for name in ("alignment", "alignment_norm"))
    span = f"{cosines.min():.3f} to {cosines.max():.3f}"
    assert f"cosine with BP in layer 1 is {span} and its length" in text
    assert f"({lengths.min():.2f} to {lengths.max():.2f})" in text
    assert (ends("grait", 0.1, "alignment") > 0.9985).all() and "GRAIT-prop has 0.999" in text
    assert np.abs(ends("grait", 0.1, "alignment_norm") - 1).max() < 0.01
    spans = []
    for rule in ("gait", "grait", "bp"):
        losses = ends(rule, 0.1, "learning_loss")
        spans.append(f"{losses.min():.4f} to {losses.max():.4f}")
    assert f"in the last epoch is {spans[0]} and {spans[1]}, BP's {spans[2]}" in text
    assert ends("bp", 0.0, "learning_loss").max() < 0.002
