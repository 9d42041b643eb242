"""Pictures of networks that learn: Figures 2 and 3 of the paper.

Owns what `run_figures` draws from `fig2a.nc`, `fig2b.nc`, `fig2c.nc` and `fig3.nc`, and which
picture belongs to which figure.

Accuracies stand on a logarithmic axis of the error, best on top, so that half the errors are the
same step everywhere. Bands and bars are 95 % intervals of Student's t over seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, CONTROL_LOOKS, Axes, Figure, headline, panels, styled
from analysis.comparison import (
    DATASETS,
    NAMES,
    REFERENCE,
    Group,
    groups,
)
from analysis.controls import CONTROLS
from analysis.statistics import over_repetitions
from studies.paper_figures.claim_figure import curves, differences
from studies.paper_figures.grid_figure import grid_search, size_of
from studies.paper_figures.regulariser_figure import intervals

WIDTHS: dict[str, float] = {
    "bp": 5.0,
    "gait": 2.4,
    "grait": 2.0,
    "circuit": 1.2,
    "itp": 1.8,
    "tp": 1.8,
}
DASHES: dict[str, Any] = {
    "bp": "-",
    "gait": "-",
    "grait": "-",
    "circuit": "--",
    "itp": "-.",
    "tp": ":",
}
MARKERS = {"bp": "D", "gait": "o", "grait": "P", "circuit": "x", "itp": "s", "tp": "^"}
WIDTHS |= {name: look["lw"] for name, look in CONTROL_LOOKS.items()}
DASHES |= {name: look["ls"] for name, look in CONTROL_LOOKS.items()}
MARKERS |= {"no_hidden": "_", "frozen": "|"}
STRETCHED = "(%),\naxis stretched by the log of the error"
TICKS = (0, 30, 50, 60, 70, 80, 85, 90, 95, 98, 99, 99.5, 99.8, 99.9)  # accuracies in %
LEAST_ERROR = 0.05  # in %; fewer errors are drawn here, for a logarithm has no zero


@styled
def depths(data: xr.Dataset) -> Figure:
    """Fig. 2A: test accuracy by epoch, one panel a depth.

    Wants what `studies.training_run` returns, along `cell`, as all functions here do.
    """
    shown = sorted(groups(data), key=lambda group: group.depth)
    titles = [f"{group.depth} hidden layer{'s' if group.depth > 1 else ''}" for group in shown]
    name = DATASETS[shown[0].dataset] if shown else ""
    return _curves_by_panel(data, shown, titles, f"{name}, by depth")


@styled
def image_sets(data: xr.Dataset) -> Figure:
    """Fig. 2B: peak accuracies on training and test images of every data set."""
    shown = groups(data)
    figure, (grid,) = panels(1, 2, figsize=(8.8, 4.0), sharey=True)
    for axes, split, title in zip(
        grid, ("train", "test"), ("training images", "test images"), strict=True
    ):
        _peaks(axes, shown, f"{split}_accuracy_peak", filled=True)
        axes.set_title(title)
    _accuracy_axis(grid[0], _worst(shown, ("train_accuracy_peak", "test_accuracy_peak")))
    grid[0].set_ylabel(f"peak accuracy {STRETCHED}")
    _legend(grid[1], shown)
    headline(figure, _message(data, shown, "test_accuracy_peak", "peak test accuracy"))
    return figure


@styled
def linear(data: xr.Dataset) -> Figure:
    """Fig. 2C: test accuracy of linear networks less that of BP by epoch, one panel a data set."""
    shown = groups(data)
    count = max(1, len(shown))
    size = (min(9.4, 2.6 + 2.3 * count), 5.4)
    figure, grid = panels(2, count, figsize=size, sharey="row", sharex=True)
    for (upper, lower), group in zip(grid.T, shown, strict=False):
        others = [rule for rule in group.runs if rule != REFERENCE]
        for axes, some in (
            (upper, [rule for rule in others if rule not in CONTROLS]),
            (lower, [rule for rule in others if rule in CONTROLS]),
        ):
            axes.axhline(0, color=COLOURS[REFERENCE], lw=WIDTHS[REFERENCE], alpha=0.45)
            for number, rule in enumerate(some):
                _gaps(axes, group, rule, 0.1 * (number - (len(some) - 1) / 2))
        upper.set_title(DATASETS[group.dataset])
        lower.set_xlabel("epoch")
    grid[0][0].set_ylabel("rules: test accuracy less\nthat of BP (points)")
    grid[1][0].set_ylabel("controls: test accuracy less\nthat of BP (points)")
    _legend(grid[0][-1], shown)
    headline(
        figure,
        _message(data, shown, "test_accuracy_peak", "linear networks, no regulariser, peak"),
    )
    return figure


def _gaps(axes: Axes, group: Group, rule: str, offset: float) -> None:
    """Test accuracy of a rule less that of back-propagation, by epoch."""
    one, other = (group.accuracy(name, "test_accuracy")[:, 1:] for name in (rule, REFERENCE))
    mean, half = over_repetitions(100 * (one - other))
    places = np.arange(1, mean.size + 1) + offset
    axes.errorbar(
        places,
        mean,
        yerr=np.nan_to_num(half),
        marker="" if rule in CONTROLS else MARKERS[rule],
        ls=DASHES[rule] if rule in CONTROLS else "",
        color=COLOURS[rule],
        ms=5,
        lw=1.2,
        elinewidth=0.9,
    )
    axes.set_xticks(range(1, mean.size + 1, -(-mean.size // 6)))


@styled
def shapes(data: xr.Dataset) -> Figure:
    """Fig. 3: test accuracy by epoch with full width and with narrowing layers, and peaks of the
    latter.
    """
    shown = groups(data)
    full = [group for group in shown if group.fixed_width][:1]
    narrow = [group for group in shown if not group.fixed_width]
    figure, (grid,) = panels(1, 3, figsize=(9.4, 4.0), sharey=True)
    for axes, some in zip(grid, (full, narrow[:1]), strict=False):
        for group in some:
            _curves(axes, group)
            axes.set_title(f"{DATASETS[group.dataset]}, {group.widths}")
        axes.set_xlabel("epoch")
    _peaks(grid[2], narrow, "train_accuracy_peak", filled=False)
    _peaks(grid[2], narrow, "test_accuracy_peak", filled=True)
    grid[2].set_title("peaks, narrowing (open: training)")
    ends = (_worst(shown, ("test_accuracy",)), _worst(narrow, ("train_accuracy_peak",)))
    _accuracy_axis(grid[0], (min(low for low, _ in ends), max(high for _, high in ends)))
    grid[0].set_ylabel(f"test accuracy {STRETCHED}")
    _legend(grid[2], shown)
    headline(figure, _message(data, narrow, "test_accuracy_peak", "narrowing layers, peak"))
    return figure


FIGURES: dict[str, Callable[[xr.Dataset], Figure]] = {
    "fig2a": depths,
    "fig2b": image_sets,
    "fig2c": linear,
    "fig3": shapes,
    "grid": grid_search,
    "every": intervals,
    "claim": differences,
    "longer": curves,
}


def _curves_by_panel(
    data: xr.Dataset, shown: Sequence[Group], titles: Sequence[str], subject: str
) -> Figure:
    """Test accuracy by epoch, one panel a group."""
    count = max(1, len(shown))
    figure, (grid,) = panels(1, count, figsize=(min(9.4, 2.6 + 2.3 * count), 3.8), sharey=True)
    for axes, group, title in zip(grid, shown, titles, strict=False):
        _curves(axes, group)
        axes.set_title(title)
        axes.set_xlabel("epoch")
    _accuracy_axis(grid[0], _worst(shown, ("test_accuracy",)))
    grid[0].set_ylabel(f"test accuracy {STRETCHED}")
    _legend(grid[-1], shown)
    headline(figure, _message(data, shown, "test_accuracy_peak", f"{subject}, peak"))
    return figure


def _curves(axes: Axes, group: Group) -> None:
    """Test accuracy from the first epoch on; a run that failed ends where it did."""
    for rule, runs in group.runs.items():
        epochs = runs["epoch"].values[1:]
        mean, half = over_repetitions(_errors(group.accuracy(rule, "test_accuracy")[:, 1:]))
        axes.plot(
            epochs,
            _drawn(mean),
            color=COLOURS[rule],
            ls=DASHES[rule],
            lw=WIDTHS[rule],
            alpha=0.45 if rule == REFERENCE else 1.0,
        )
        low, high = _drawn(mean - half), _drawn(mean + half)
        axes.fill_between(epochs, low, high, color=COLOURS[rule], alpha=0.12, lw=0)
        if len(epochs) <= 6:
            axes.set_xticks(epochs)


def _peaks(axes: Axes, shown: Sequence[Group], name: str, *, filled: bool) -> None:
    """One accuracy of every rule, side by side for each data set."""
    for place, group in enumerate(shown):
        for number, rule in enumerate(group.runs):
            mean, half = over_repetitions(_errors(group.accuracy(rule, name)))
            if rule in CONTROLS:
                look = {"color": COLOURS[rule], "ls": DASHES[rule], "lw": WIDTHS[rule]}
                if filled:
                    axes.plot([place - 0.45, place + 0.45], [_drawn(mean)] * 2, **look)
                continue
            at = place + 0.13 * (number - (len(group.runs) - 1) / 2)
            middle = _drawn(mean)
            bars = np.abs([[middle - _drawn(mean - half)], [_drawn(mean + half) - middle]])
            axes.errorbar(
                [at],
                [middle],
                yerr=np.nan_to_num(bars),
                fmt=MARKERS[rule],
                color=COLOURS[rule],
                mfc=COLOURS[rule] if filled else "none",
                ms=6 if filled else 5,
                lw=1.2,
                capsize=2,
                alpha=1.0 if filled else 0.6,
            )
    names = [DATASETS[group.dataset].replace("-", "-\n") for group in shown]
    axes.set_xticks(range(len(shown)), names)
    axes.set_xlim(-0.55, max(0, len(shown) - 1) + 0.55)


def _errors(accuracy: np.ndarray) -> np.ndarray:
    return 100 * (1 - accuracy)


def _drawn(error: np.ndarray) -> np.ndarray:
    """Errors in % that a logarithmic axis can show."""
    return np.clip(error, LEAST_ERROR, 100)


def _worst(shown: Sequence[Group], names: Sequence[str]) -> tuple[float, float]:
    """The least and the largest mean error in %; intervals may reach beyond the picture."""
    values = [np.array([1.0, 99.0])] if not shown else []
    for group in shown:
        for rule in group.runs:
            for name in names:
                accuracy = group.accuracy(rule, name)
                accuracy = accuracy[:, 1:] if accuracy.ndim > 1 else accuracy
                mean = np.ravel(over_repetitions(_errors(accuracy))[0])
                values.append(mean[np.isfinite(mean)])
    together = np.concatenate(values)
    return float(_drawn(together.min())), float(_drawn(together.max()))


def _accuracy_axis(axes: Axes, errors: tuple[float, float]) -> None:
    """A logarithmic axis of the error, best on top, labelled with accuracies."""
    low, high = 0.75 * errors[0], min(100.0, 1.3 * errors[1])
    axes.set_yscale("log")
    axes.set_ylim(high, low)
    ticks = [tick for tick in TICKS if low <= 100 - tick <= high]
    axes.set_yticks([100 - tick for tick in ticks], [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


def _legend(axes: Axes, shown: Sequence[Group]) -> None:
    """All rules, beside the last panel."""
    rules = dict.fromkeys(rule for group in shown for rule in group.runs)
    if not rules:
        return
    for rule in rules:
        axes.plot(
            [],
            [],
            color=COLOURS[rule],
            ls=DASHES[rule],
            lw=WIDTHS[rule],
            alpha=0.45 if rule == REFERENCE else 1.0,
            marker="" if rule in CONTROLS else MARKERS[rule],
            ms=5,
            label=NAMES[rule],
        )
    axes.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _message(data: xr.Dataset, shown: Sequence[Group], name: str, subject: str) -> str:
    """How far every rule and control is from back-propagation: the range over the groups."""
    words = []
    for rule in dict.fromkeys(rule for group in shown for rule in group.runs):
        gaps = [
            100 * group.against_reference(rule, name).mean
            for group in shown
            if {rule, REFERENCE} <= set(group.runs)
        ]
        gaps = [gap for gap in gaps if np.isfinite(gap)]
        if gaps and rule != REFERENCE:
            ends = dict.fromkeys(f"{gap:+.1f}" for gap in (min(gaps), max(gaps)))
            words.append(f"{NAMES[rule]} {' to '.join(ends)}")
    seeds = max((len(group.seeds) for group in shown), default=0)
    lines = [f"{subject[0].upper()}{subject[1:]} less that of BP, in points, over the panels:"]
    half = (len(words) + 1) // 2
    lines += ["; ".join(part) for part in (words[:half], words[half:]) if part]
    return (
        "\n".join(lines) + f"\n({size_of(data)}, {seeds} seed{'s' if seeds != 1 else ''}, "
        f"95 % intervals{_same(data)})"
    )


def _same(data: xr.Dataset) -> str:
    """The learning rate and lambda, if all rules have the same."""
    data = data.isel(cell=[rule not in CONTROLS for rule in data["rule"].values.tolist()])
    rates, strengths = (np.unique(data[name].values) for name in ("learning_rate", "orthogonality"))
    if len(rates) > 1 or len(strengths) > 1:
        return ""
    return f";\nall rules with learning rate {rates[0]:g} and lambda {strengths[0]:g}"
