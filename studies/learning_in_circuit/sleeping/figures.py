"""The picture of circuits that sleep: what keeps their weights orthogonal, and what for.

Owns what study `learning_in_circuit` shows of sleep.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, Axes, Figure, control_lines, headline, panels, styled
from analysis.statistics import over_repetitions
from studies.learning_in_circuit.findings import control_ends
from studies.learning_in_circuit.sleeping.findings import NO_PULL, ends, probes

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

APART = 1.06  # from line to line along lambda, for intervals to be seen


@styled
def sleep(data: xr.Dataset) -> Figure:
    """Distance from orthogonality, alignment with back-propagation and accuracy against lambda.

    Wants `orthogonality`, `update_cosine` (cell, value, network, layer), `accuracy` (cell, value,
    network). Means over networks with 95 % t intervals.
    """
    figure, ((first, second, third),) = panels(1, 3, figsize=(9.0, 3.9))
    there = [name for name in LOOKS if name in probes(data)]
    strengths = np.unique([one for name in there for one in ends(data, name, "accuracy")[0]])
    none = (
        float(strengths[strengths > 0].min()) / 4
    )  # where no pull stands on a scale of logarithms
    for name in there:
        for axes, variable, factor in (
            (first, "orthogonality", 1),
            (second, "update_cosine", 1),
            (third, "accuracy", 100),
        ):
            values, found = ends(data, name, variable)
            places = np.where(values == NO_PULL, none, values) * APART ** (list(LOOKS).index(name))
            _line(axes, places, factor * found, name)
    for axes, label in (
        (first, "distance of $W$ from orthogonality,\nmean over layers"),
        (second, "cosine of the update of $W_1$\nwith back-propagation"),
        (third, "test accuracy (%)"),
    ):
        axes.set_xscale("log")
        axes.set_ylabel(label)
        marks = [none, *strengths[strengths > 0]]
        axes.set_xticks(marks, ["none", *(f"{1e4 * one:.3g}" for one in marks[1:])])
        axes.minorticks_off()
        axes.set_xlabel("$\\lambda$ of an image ($10^{-4}$)")
    asleep = control_ends(data, "asleep")
    control_lines(third, {name: 100 * level for name, level in asleep.items()})
    first.set_ylim(bottom=0)
    second.set_ylim(top=1.02)
    figure.legend(*third.get_legend_handles_labels(), loc="outside lower center", ncol=2)
    headline(
        figure,
        "Weights, updates and accuracy with inhibition in sleep and without, by what feedback "
        "learns\n(means, 95 % t intervals)",
    )
    return figure


def _line(axes: Axes, places: np.ndarray, values: np.ndarray, name: str) -> None:
    mean, half = over_repetitions(values)
    style = {"lw": 1.4, "ms": 5, "elinewidth": 0.8, "capsize": 2} | LOOKS[name]
    axes.errorbar(places, mean, yerr=np.nan_to_num(half), label=LABELS[name], **style)
