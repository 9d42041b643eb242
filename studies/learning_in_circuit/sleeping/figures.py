"""The picture of circuits that sleep: what keeps their weights orthogonal, and what for.

Owns what study `learning_in_circuit` shows of sleep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, Axes, Figure, control_lines, headline, panels, styled
from analysis.statistics import over_repetitions
from studies.learning_in_circuit.findings import control_ends
from studies.learning_in_circuit.sleeping.findings import NO_PULL, ends, probes
from studies.learning_in_circuit.sleeping.study import ON_SIGNS

LOOKS: dict[str, dict[str, Any]] = {
    "inhibition, inverse": {"color": COLOURS["gait"], "marker": "o", "ls": "-"},
    "Eq. 23, inverse": {"color": COLOURS["gait"], "marker": "o", "ls": "--", "mfc": "white"},
    "inhibition, transpose": {"color": COLOURS["itp"], "marker": "s", "ls": "-"},
    "Eq. 23, transpose": {"color": COLOURS["itp"], "marker": "s", "ls": "--", "mfc": "white"},
}
LABELS = {
    "inhibition, inverse": "inhibition; B learns the inverse in sleep",
    "Eq. 23, inverse": "Eq. 23 (not local); B learns the inverse in sleep",
    "inhibition, transpose": "inhibition; B learns the transpose awake",
    "Eq. 23, transpose": "Eq. 23 (not local); B learns the transpose awake",
}

TASKS = {"": ("asleep", "ten digits"), ON_SIGNS: ("asleep on signs", "pairs of signs")}
VARIABLES = (
    ("orthogonality", 1, "distance of $W$ from\northogonality, layers' mean"),
    ("update_cosine", 1, "cosine of the update of $W_1$\nwith back-propagation"),
    ("accuracy", 100, "test accuracy (%)"),
)
INVERSE = "inhibition, inverse"
APART = 1.06  # from line to line along lambda, for intervals to be seen


@styled
def sleep(data: xr.Dataset) -> Figure:
    """Distance from orthogonality, alignment with back-propagation and accuracy against lambda, a
    row for each task.

    Wants `orthogonality`, `update_cosine` (cell, value, network, layer), `accuracy` (cell, value,
    network). Means over networks with 95 % t intervals.
    """
    measured = set(probes(data))
    there = [task for task in TASKS if any(task + name in measured for name in LOOKS)]
    figure, grid = panels(len(there), 3, figsize=(9.0, 1.4 + 2.5 * len(there)))
    said = []
    for task, row in zip(there, grid, strict=True):
        _row(row, data, task, [name for name in LOOKS if task + name in measured])
        stream, words = TASKS[task]
        levels = control_ends(data, stream)
        control_lines(row[2], {name: 100 * level for name, level in levels.items()})
        if task + INVERSE in measured:
            mean, _ = over_repetitions(100 * ends(data, task + INVERSE, "accuracy")[1])
            said.append(f"{words} {mean[0]:.0f} to {mean[-1]:.0f} %")
    figure.legend(*grid[0][2].get_legend_handles_labels(), loc="outside lower center", ncol=2)
    headline(
        figure,
        "Test accuracy from no pull to the strongest inhibition in sleep: "
        f"{', '.join(said) or 'not run'}\n(feedback learning the inverse; means, 95 % t intervals "
        "over networks)",
    )
    return figure


def _row(row: Sequence[Axes], data: xr.Dataset, task: str, names: Sequence[str]) -> None:
    """The three panels of a task."""
    strengths = np.unique([one for name in names for one in ends(data, task + name, "accuracy")[0]])
    # where no pull stands on a scale of logarithms
    none = float(strengths[strengths > 0].min()) / 4
    for axes, (variable, factor, label) in zip(row, VARIABLES, strict=True):
        for name in names:
            values, found = ends(data, task + name, variable)
            places = np.where(values == NO_PULL, none, values) * APART ** (list(LOOKS).index(name))
            _line(axes, places, factor * found, name)
        axes.set_xscale("log")
        axes.set_ylabel(label)
        marks = [none, *strengths[strengths > 0]]
        axes.set_xticks(marks, ["none", *(f"{1e4 * one:.3g}" for one in marks[1:])])
        axes.minorticks_off()
        axes.set_xlabel("$\\lambda$ of an image ($10^{-4}$)")
    row[0].set_ylim(bottom=0)
    row[1].set_ylim(top=1.02)
    row[2].set_title(TASKS[task][1], fontsize=9)


def _line(axes: Axes, places: np.ndarray, values: np.ndarray, name: str) -> None:
    mean, half = over_repetitions(values)
    style = {"lw": 1.4, "ms": 5, "elinewidth": 0.8, "capsize": 2} | LOOKS[name]
    axes.errorbar(places, mean, yerr=np.nan_to_num(half), label=LABELS[name], **style)
