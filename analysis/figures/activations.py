"""Pictures of learning with other activation functions.

Owns what the study `activations` shows, drawn from `activations.nc`. Does not own the look
(`canvas`).
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.comparison import NAMES, RULES, groups
from analysis.figures.canvas import COLOURS, MARKERS, Drawings, Figure, headline, panels, styled
from analysis.findings.activations import ACCURACY
from analysis.intervals import over_repetitions

UNITS = {"leaky_relu": "leaky-ReLU", "asinh": "asinh", "tanh": "tanh"}
SETS = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "kmnist": "KMNIST", "digits": "digits"}


@styled
def accuracies(data: xr.Dataset) -> Figure:
    """Test accuracy of every rule with every kind of hidden units, a panel for each data set.

    Wants `test_accuracy_chosen` (cell) with the coordinates purpose, dataset, activation, rule and
    seed. Means over seeds with 95 % Student t intervals.
    """
    found = groups(data.isel(cell=data["purpose"].values == "test"))
    datasets = list(dict.fromkeys(group.dataset for group in found))
    figure, (grid,) = panels(1, len(datasets), figsize=(3.0 * max(len(datasets), 2) + 0.6, 3.9))
    units = [unit for unit in UNITS if unit in {group.activation for group in found}]
    rules = [rule for rule in RULES if any(rule in group.runs for group in found)]
    for dataset, axes in zip(datasets, grid, strict=True):
        for place, rule in enumerate(rules):
            means, low, high = [], [], []
            for unit in units:
                values = [
                    100 * group.accuracy(rule, ACCURACY)
                    for group in found
                    if (group.dataset, group.activation) == (dataset, unit) and rule in group.runs
                ]
                mean, half = over_repetitions(values[0] if values else np.array([np.nan]))
                means.append(float(mean))
                low.append(min(float(np.nan_to_num(half)), float(mean)))
                high.append(min(float(np.nan_to_num(half)), 100 - float(mean)))
            offset = 0.11 * (place - (len(rules) - 1) / 2)
            axes.errorbar(
                np.arange(len(units)) + offset,
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
        axes.set_xticks(range(len(units)), [UNITS[unit] for unit in units])
        axes.set_xlabel("hidden units")
        axes.set_title(SETS[dataset])
    grid[0].set_ylabel("test accuracy (%)")
    grid[-1].legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    gaps = {
        rule: [
            group.against_reference(rule, ACCURACY).mean * 100
            for group in found
            if rule in group.runs and "bp" in group.runs
        ]
        for rule in ("gait", "tp")
    }
    words = ", ".join(
        f"{NAMES[rule]} by {np.nanmin(gap):+.1f} to {np.nanmax(gap):+.1f} points"
        for rule, gap in gaps.items()
        if gap
    )
    seeds = len(found[0].seeds) if found else 0
    headline(
        figure,
        f"Differences from back-propagation over data sets and hidden units:\n{words}\n"
        f"(epoch chosen by validation; means over {seeds} seeds, 95 % t intervals)",
    )
    return figure


ACTIVATIONS: Drawings = {
    "activations_accuracy": ((ACCURACY,), accuracies),
}
