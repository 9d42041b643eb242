"""Pictures of orthogonality by lateral inhibition: which mechanism keeps GAIT-prop good, and why.

Owns what the study `lateral_inhibition` shows, drawn from `lateral_inhibition.nc`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analysis.canvas import (
    COLOURS,
    Axes,
    Drawings,
    Figure,
    control_lines,
    headline,
    panels,
    styled,
)
from analysis.controls import CONTROLS
from analysis.statistics import over_repetitions
from studies.lateral_inhibition.measures import best_setting, runs_of

LABELS = {
    "bp": "back-propagation, no pull",
    **CONTROLS,
    "none": "GAIT-prop, no pull",
    "regulariser": "Eq. 23 (not local)",
    "whitening": "whitening, spontaneous",
    "populations": "E and I cells, spontaneous",
    "inhibition": "anti-Hebbian $i\\neq j$, spontaneous",
    "task": "E and I cells, during the task",
    "drives": "acting, on drives",
    "inputs": "acting, on inputs",
}
HUES = {
    "bp": COLOURS["bp"],
    **dict.fromkeys(CONTROLS, COLOURS["frozen"]),
    "none": COLOURS["grey"],
    "regulariser": COLOURS["circuit"],
    "whitening": COLOURS["gait"],
    "populations": COLOURS["gait"],
    "inhibition": COLOURS["itp"],
    "task": COLOURS["itp"],
    "drives": COLOURS["tp"],
    "inputs": COLOURS["tp"],
}
SHOWN_FROM = 70  # percent; what is less accurate is an arrow at the edge
PULL_LABELS = {"weak": "weak inhibition,\n$i \\neq j$", "settled": "settled\n(whitening)"}
MECHANISM_MARKS = {"inhibition": "s", "whitening": "o", "populations": "^"}


@styled
def mechanisms(data: xr.Dataset) -> Figure:
    """Alignment, distance from orthogonality and accuracy of every method at its best setting.

    Wants `alignment`, `orthogonality_distance` (cell, layer), `test_accuracy_chosen`,
    `test_accuracy_end`, `validation_accuracy_chosen`, `status` (cell) with the coordinates part,
    method, setting, seed. Means over seeds with 95 % Student t intervals.
    """
    data = data.isel(cell=data["part"].values == "training")
    there = set(data["method"].values.tolist())
    methods = [name for name in LABELS if name in there]
    figure, ((first, second, third),) = panels(1, 3, figsize=(9.0, 4.0), sharey=True)
    for place, name in enumerate(methods[::-1]):
        runs = runs_of(data, name, best_setting(data, name))
        distances = runs["orthogonality_distance"].isel(layer=slice(1, None)).mean("layer").values
        if name not in CONTROLS:
            _point(first, runs["alignment"].sel(layer=1).values, place, name)
            _point(second, distances, place, name)
        _point(third, 100 * runs["test_accuracy_chosen"].values, place + 0.12, name)
        end = 100 * runs["test_accuracy_end"].values
        if over_repetitions(end)[0] < SHOWN_FROM:
            _beyond(third, end, place - 0.3, name)
        else:
            _point(third, end, place - 0.12, name, filled=False)
        failed = int(np.sum(runs["status"].values != "completed"))
        if failed:
            words = f"{failed} of {len(runs['cell'])} fail"
            third.text(1.02, place, words, fontsize=8, va="center", transform=_across(third))
    first.set_yticks(range(len(methods)), [LABELS[name] for name in methods[::-1]])
    first.set_xlabel("cosine with back-propagation,\nlayer 1")
    first.set_xlim(-0.1, 1.05)
    second.set_xlabel("distance of $W_2 .. W_L$\nfrom orthogonality")
    second.set_xlim(left=0)
    third.set_xlim(SHOWN_FROM - 2, 97)
    third.set_xlabel("test accuracy (%)\nfilled: chosen epoch, open: end")
    control_lines(third, _controls(data), upright=True)
    figure.legend(*third.get_legend_handles_labels(), loc="outside lower right", ncol=2, fontsize=8)
    for axes in (first, second, third):
        axes.grid(axis="y", lw=0.4, alpha=0.5)
    headline(
        figure,
        "Accuracy, alignment and orthogonality, with Eq. 23 and with lateral inhibition\n(each "
        "method's best of four settings; means, 95 % t intervals)",
    )
    return figure


@styled
def settings(data: xr.Dataset) -> Figure:
    """Alignment, distance and accuracy against the setting of every method that pulls."""
    data = data.isel(cell=data["part"].values == "training")
    there = set(data["method"].values.tolist())
    methods = [name for name in LABELS if name in there - {"bp", "none", *CONTROLS}]
    figure, ((first, second, third),) = panels(1, 3, figsize=(9.0, 3.6))
    for name in methods:
        values = np.unique(data["setting"].values[data["method"].values == name])
        runs = [runs_of(data, name, float(value)) for value in values]
        style: Any = {
            "color": HUES[name],
            "ls": "--" if name in ("populations", "task", "inputs") else "-",
            "marker": "o",
            "ms": 4,
        }
        cosine = [_mean(one["alignment"].sel(layer=1).values) for one in runs]
        distance = [
            _mean(one["orthogonality_distance"].isel(layer=slice(1, None)).mean("layer").values)
            for one in runs
        ]
        accuracy = [_mean(100 * one["test_accuracy_chosen"].values) for one in runs]
        first.plot(values, cosine, **style)
        second.plot(values, distance, **style)
        third.plot(values, accuracy, label=LABELS[name], **style)
    for axes, label in (
        (first, "cosine with\nback-propagation, layer 1"),
        (second, "distance of $W_2 .. W_L$\nfrom orthogonality"),
        (third, "test accuracy (%),\nchosen epoch"),
    ):
        axes.set_xscale("log")
        axes.set_xlabel("$\\lambda$, or lateral rate (acting)")
        axes.set_ylabel(label)
    second.set_yscale("log")
    control_lines(third, _controls(data))
    figure.legend(loc="outside lower center", ncol=4, fontsize=8)
    headline(
        figure,
        "Accuracy and distance from orthogonality by the strength of the pull\n"
        "(learning rate 0.004; means over seeds, runs that failed until they did)",
    )
    return figure


@styled
def pull(data: xr.Dataset) -> Figure:
    """Whether the pull has the direction of Eq. 23: by phase, and by the number of samples.

    Wants `expected_cosine` (cell, phase, pull, layer) and `sampled_cosine` (cell, mechanism,
    samples).
    """
    data = data.isel(cell=data["part"].values == "pull")
    figure, ((first, second),) = panels(1, 2, figsize=(9.0, 3.2))
    pulls, phases = data["pull"].values, data["phase"].values
    for phase, shift in zip(phases, (-0.15, 0.15), strict=True):
        values = data["expected_cosine"].sel(phase=phase).mean("layer")
        mean, half = over_repetitions(values.values)
        colour = COLOURS["gait"] if phase == "spontaneous" else COLOURS["itp"]
        places = np.arange(len(pulls)) + shift
        words = "spontaneous activity" if phase == "spontaneous" else "images of the task"
        first.bar(places, mean, width=0.28, yerr=half, color=colour, capsize=3, label=words)
    first.set_xticks(range(len(pulls)), [PULL_LABELS[str(name)] for name in pulls])
    first.set_ylabel("cosine of the expected pull\nwith the descent on Eq. 23")
    first.set_ylim(-0.3, 1.5)
    first.legend(loc="upper center", ncol=2, fontsize=9)
    for name in data["mechanism"].values:
        mean, half = over_repetitions(data["sampled_cosine"].sel(mechanism=name).values)
        hue = HUES[str(name)]
        label = LABELS[str(name)].split(",")[0]
        second.errorbar(
            data["samples"].values,
            mean,
            yerr=half,
            color=hue,
            marker=MECHANISM_MARKS[str(name)],
            ls="--" if name == "populations" else "-",
            capsize=3,
            label=label,
        )
    second.set_xscale("log", base=2)
    second.set_xlabel("patterns of spontaneous activity in a step")
    second.set_ylabel("cosine of the mean pull of ten\nsteps with the descent on Eq. 23")
    second.set_ylim(0, 1.05)
    second.legend(loc="lower right")
    headline(
        figure,
        "Direction of the pull of lateral inhibition against that of Eq. 23\n"
        "(weights 10 % off orthogonality; means, 95 % t intervals over seeds)",
    )
    return figure


def _controls(data: xr.Dataset) -> dict[str, float]:
    """Test accuracy in percent that each control comes to at its best setting."""
    there = set(data["method"].values.tolist())
    return {
        name: _mean(
            100 * runs_of(data, name, best_setting(data, name))["test_accuracy_chosen"].values
        )
        for name in CONTROLS
        if name in there
    }


def _point(axes: Axes, values: np.ndarray, place: float, name: str, filled: bool = True) -> None:
    mean, half = over_repetitions(values)
    face = HUES[name] if filled else "white"
    style: Any = {"color": HUES[name], "marker": "o", "mfc": face, "capsize": 3}
    axes.errorbar(mean, place, xerr=None if np.isnan(half) else half, **style)


def _beyond(axes: Axes, values: np.ndarray, place: float, name: str) -> None:
    """An arrow at the edge for a mean that is less than what is shown, with its value."""
    axes.plot(SHOWN_FROM - 1, place, marker="<", color=HUES[name], mfc="white")
    words = f"{over_repetitions(values)[0]:.0f} % at the end"
    axes.text(SHOWN_FROM, place, words, fontsize=8, va="center")


def _mean(values: np.ndarray) -> float:
    return float(over_repetitions(values)[0])


def _across(axes: Axes) -> object:
    """Coordinates in which x runs across the axes and y is data."""
    return axes.get_yaxis_transform()


FIGURES: Drawings = {
    "lateral_inhibition": (("alignment", "test_accuracy_chosen"), mechanisms),
    "lateral_inhibition_settings": (("alignment", "test_accuracy_chosen"), settings),
    "lateral_inhibition_pull": (("expected_cosine", "sampled_cosine"), pull),
}
