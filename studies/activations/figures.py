"""Pictures of learning with other activation functions.

Owns what the study `activations` shows, drawn from `activations.nc`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.canvas import (
    COLOURS,
    CONTROL_LOOKS,
    MARKERS,
    Axes,
    Drawings,
    Figure,
    headline,
    panels,
    styled,
)
from analysis.comparison import NAMES, RULES, Group, groups
from analysis.controls import CONTROLS
from analysis.statistics import over_repetitions
from studies.activations.findings import ACCURACY

UNITS = {"leaky_relu": "leaky-ReLU", "asinh": "asinh", "tanh": "tanh"}
SETS = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "kmnist": "KMNIST",
    "digits": "digits",
    "own": "own images",
}


@styled
def accuracies(data: xr.Dataset) -> Figure:
    """Test accuracy of every rule with every kind of hidden units, a panel for each data set.

    Wants `test_accuracy_chosen` (cell) with the coordinates purpose, dataset, activation, rule and
    seed. Means over seeds with 95 % Student t intervals.
    """
    tests = data.isel(cell=data["purpose"].values == "test")
    gains = np.unique(tests["input_gain"].values)
    by_gain = {gain: groups(tests.isel(cell=tests["input_gain"].values == gain)) for gain in gains}
    datasets = list(dict.fromkeys(tests["dataset"].values.tolist()))
    size = (2.7 * max(len(datasets), 2) + 1.2, 2.6 * len(gains) + 0.9)
    figure, grid = panels(len(gains), len(datasets), figsize=size, sharex=True)
    for (gain, found), line in zip(by_gain.items(), grid, strict=True):
        for dataset, axes in zip(datasets, line, strict=True):
            _panel(axes, [group for group in found if group.dataset == dataset])
        line[0].set_ylabel(f"images times {gain:g}:\ntest accuracy (%)")
    for dataset, top, bottom in zip(datasets, grid[0], grid[-1], strict=True):
        top.set_title(SETS[dataset])
        bottom.set_xlabel("hidden units")
    grid[0, -1].legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    lines = [
        f"images times {gain:g}: "
        + ", ".join(_gap(found, rule) for rule in ("gait", "tp", *CONTROLS))
        for gain, found in by_gain.items()
    ]
    seeds = len(np.unique(tests["seed"].values))
    headline(
        figure,
        "Points from back-propagation, over data sets and hidden units:\n"
        + ";\n".join(lines)
        + f"\n(epoch chosen by validation; means over {seeds} seeds, 95 % t intervals)",
    )
    return figure


def _panel(axes: Axes, found: list[Group]) -> None:
    """Every rule's accuracy against the hidden units, of one data set."""
    units = [unit for unit in UNITS if unit in {group.activation for group in found}]
    rules = [rule for rule in RULES if any(rule in group.runs for group in found)]
    for place, rule in enumerate(rules):
        means, low, high = [], [], []
        for unit in units:
            values = [
                100 * group.accuracy(rule, ACCURACY)
                for group in found
                if group.activation == unit and rule in group.runs
            ]
            mean, half = over_repetitions(values[0] if values else np.array([np.nan]))
            means.append(float(mean))
            low.append(min(float(np.nan_to_num(half)), float(mean)))
            high.append(min(float(np.nan_to_num(half)), 100 - float(mean)))
        if rule in CONTROLS:
            _control(axes, rule, means)
            continue
        axes.errorbar(
            np.arange(len(units)) + 0.11 * (place - (len(rules) - 1) / 2),
            means,
            yerr=(low, high),
            ls=":",
            lw=0.8,
            elinewidth=1.0,
            ms=5,
            marker=MARKERS.get(rule, "x"),
            color=COLOURS[rule],
            label=NAMES[rule],
        )
    axes.set_xticks(range(len(units)), [UNITS[unit] for unit in units], fontsize=8.5)


def _control(axes: Axes, rule: str, means: list[float]) -> None:
    """A piece of line at every kind of units, for what a control comes to."""
    for place, mean in enumerate(means):
        label = CONTROLS[rule] if place == 0 else None
        axes.plot([place - 0.45, place + 0.45], [mean] * 2, label=label, **CONTROL_LOOKS[rule])


def _gap(found: list[Group], rule: str) -> str:
    """The range of the differences of a rule from back-propagation, in words."""
    gaps = [
        100 * group.against_reference(rule, ACCURACY).mean
        for group in found
        if rule in group.runs and "bp" in group.runs
    ]
    return f"{NAMES[rule]} {min(gaps):+.1f} to {max(gaps):+.1f}" if gaps else ""


FIGURES: Drawings = {
    "activations_accuracy": ((ACCURACY,), accuracies),
}
