"""What pages say of the claim at the paper's size, against the runs and SciPy's t tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.stats import ttest_1samp

ROOT = Path(__file__).resolve().parents[2]
DESK = ROOT / "docs" / "data" / "desk"
FULL = "784-784-784-784-784-784"
MOMENTS = ("test_accuracy_peak_within", "test_accuracy_chosen", "test_accuracy_end")
ROWS = {
    "BP, lambda 0.1": ("bp", 0.1),
    "GAIT-prop, lambda 0.1": ("gait", 0.1),
    "GRAIT-prop, lambda 0.1": ("grait", 0.1),
    "BP, lambda 0": ("bp", 0.0),
}
MARGIN = 0.3  # points


@pytest.fixture(scope="module")
def finished() -> dict[tuple[str, float], dict[int, xr.Dataset]]:
    """(rule, lambda) -> seed -> run, of full width on MNIST; read from the runs' own files."""
    found: dict[tuple[str, float], dict[int, xr.Dataset]] = {}
    for run in of_claim():
        cell = json.loads(run.attrs["parameters"])
        if (cell["widths"], cell["dataset"]) == (FULL, "mnist"):
            kind = str(cell["rule"]), float(cell["orthogonality"])
            found.setdefault(kind, {})[int(cell["seed"])] = run
    return found


def of_claim() -> list[xr.Dataset]:
    """The finished runs of 15 epochs; those of figure "longer" lie beside them."""
    runs = map(xr.load_dataset, sorted((DESK / "training" / "cells").glob("*.nc")))
    return [run for run in runs if run.sizes["epoch"] == 1 + 15]


def accuracies(runs: dict[int, xr.Dataset], name: str, seeds: list[int]) -> np.ndarray:
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


def rows_of(page: str) -> dict[str, list[str]]:
    """The first row of every name that stands in `ROWS`."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
        first, *others = (word.strip() for word in line.strip("|").split("|"))
        if first in ROWS and len(others) == 2 * len(MOMENTS):
            found.setdefault(first, others)
    return found


@pytest.mark.parametrize("name", ROWS)
def test_the_table_of_the_page_is_what_the_runs_say(finished, name):
    runs, reference = finished[ROWS[name]], finished["bp", 0.1]
    seeds = sorted(runs)
    assert seeds == sorted(reference) == [1, 2, 3, 4, 5]
    expected = []
    for moment in MOMENTS:
        own = accuracies(runs, moment, seeds)
        each = own - accuracies(reference, moment, seeds)
        difference = f"{interval(each, '+.2f')} ({verdict(each)})" if runs is not reference else ""
        expected += [interval(own), difference]
    assert rows_of("results.md")[name] == expected


def test_what_is_said_elsewhere_is_what_the_runs_say(finished):
    """README and the findings give the peak; of GAIT-prop also against BP without lambda."""
    seeds = [1, 2, 3, 4, 5]
    peaks = {kind: accuracies(finished[kind], MOMENTS[0], seeds) for kind in ROWS.values()}
    against = {rule: peaks[rule, 0.1] - peaks["bp", 0.1] for rule in ("gait", "grait")}
    free = peaks["gait", 0.1] - peaks["bp", 0.0]
    for page in ("README.md", "docs/index.md", "docs/findings.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for each in against.values():
            assert verdict(each) == "level"
            assert interval(each) in text, page
        assert verdict(free) == "behind"
        assert interval(-free) in text, page


def test_how_many_runs_are_finished_is_what_the_page_says():
    """Those files are the runs of the result that is drawn, too."""
    count = len(of_claim())
    with xr.open_dataset(DESK / "claim.nc") as data:
        done = [str(status) != "missing" for status in data["status"].values]
    assert sum(done) == count
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert f"{count} of {len(done)} runs are finished" in text


def test_what_one_seed_says_is_what_its_runs_say(finished):
    """The circuit beside GRAIT-prop, epoch by epoch; TP and both controls."""
    (circuit,), (tp,), (none,), (frozen,) = (
        [finished[kind][1]]
        for kind in (("circuit", 0.1), ("tp", 1000.0), ("no_hidden", 0.0), ("frozen", 0.0))
    )
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    peak, *others = (100 * float(circuit[name]) for name in MOMENTS)
    bp = [100 * float(finished["bp", 0.1][1][name]) for name in MOMENTS]
    assert f"has {peak:.2f} % at the peak, {peak - bp[0]:+.2f} points from BP" in text
    later = [f"{own - its:+.2f}" for own, its in zip(others, bp[1:], strict=True)]
    assert f"{later[0]} at the chosen epoch and {later[1]} at the end" in text
    grait = finished["grait", 0.1][1]["test_accuracy"]
    farthest = 100 * float(abs(circuit["test_accuracy"] - grait).max())
    assert f"within {farthest:.2f} points of GRAIT-prop" in text
    assert (circuit["settled"][1:] == 1).all() and "every image of every batch settled" in text
    controls = [100 * float(run[MOMENTS[0]]) for run in (tp, none, frozen)]
    assert controls == sorted(controls)
    assert (
        "has {:.1f} % there, less than a network without hidden layers ({:.1f} %)".format(*controls)
        in text
    )
    assert f"whose hidden layers are frozen ({controls[2]:.1f} %)" in text


def test_the_table_of_narrowing_layers_is_what_its_runs_say():
    """Accuracies of back-propagation, and what the others have more, all of seed 1."""
    found: dict[tuple[str, str], list[float]] = {}
    for run in of_claim():
        cell = json.loads(run.attrs["parameters"])
        if cell["widths"] == "784-784-500-200-10" and cell["seed"] == 1:
            found[cell["rule"], cell["dataset"]] = [100 * float(run[name]) for name in MOMENTS]
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for name, rule in (("BP", "bp"), ("GAIT-prop", "gait"), ("GRAIT-prop", "grait")):
        words = []
        for dataset in ("mnist", "fashion_mnist", "kmnist"):
            own, bp = found.get((rule, dataset)), found["bp", dataset]
            if own is None:
                words.append("not run")
            elif rule == "bp":
                words.append(", ".join(f"{value:.2f}" for value in own))
            else:
                gaps = [value - other for value, other in zip(own, bp, strict=True)]
                assert all(abs(gap) < 0.405 for gap in gaps)
                words.append(", ".join(f"{gap:+.2f}" for gap in gaps))
        what = "accuracy in %" if rule == "bp" else "minus BP in points"
        assert f"| {name}, {what} | {' | '.join(words)} |" in page


def test_what_is_said_of_the_last_epoch_is_what_the_runs_say(finished):
    """Cosines and lengths in layer 1 beside back-propagation's update, and losses; five seeds."""

    def ends(rule: str, strength: float, name: str) -> np.ndarray:
        runs = finished[rule, strength].values()
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
