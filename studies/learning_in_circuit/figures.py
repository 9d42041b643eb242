"""Pictures of learning inside the circuit: that it learns, how fast it may, and what breaks it.

Owns what the study `learning_in_circuit` shows, drawn from `learning_in_circuit.nc`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, Axes, Drawings, Figure, headline, panels, styled
from analysis.statistics import over_repetitions
from studies.learning_in_circuit.findings import curves, variants
from studies.learning_in_circuit.sleeping.figures import sleep

PROTOCOLS: dict[str, dict[str, Any]] = {
    "phases": {"color": COLOURS["gait"], "marker": "o", "label": "phases alternate (shift)"},
    "always": {"color": COLOURS["itp"], "marker": "s", "label": "always on (mismatch)"},
}
ROBUSTNESS = {
    "delay": "delay of a connection ($\\tau$)",
    "spread": "time constants: $\\tau/x$ to $\\tau x$",
    "unmatched": "own drive's filter: $\\tau/x$ to $\\tau x$",
    "noise": "noise of a rate (std.)",
}
STEP = 0.5  # of a delay, in tau


@styled
def learning(data: xr.Dataset) -> Figure:
    """Accuracy and alignment of feedback against the images shown.

    Wants `accuracy`, `alignment` (cell, value, network). Means over networks with 95 %
    t intervals.
    """
    figure, ((left, right),) = panels(1, 2, figsize=(9.0, 3.4))
    for protocol, style in PROTOCOLS.items():
        for axes, name in ((left, "accuracy"), (right, "alignment")):
            _line(axes, *curves(data, protocol, "digits", name), **style)
    left.axhline(0.9, color=COLOURS["grey"], lw=0.8, ls=":")
    left.set(xlabel="images shown", ylabel="test accuracy", ylim=(0, 1))
    right.set(xlabel="images shown", ylabel="cosine of $B$ with $W^T$", ylim=(-0.05, 1))
    left.legend(fontsize=8.5, loc="lower right")
    headline(
        figure,
        "Test accuracy (dotted: 90 %) and alignment of feedback, by images shown\n"
        "(weights are variables of the circuit; means, 95 % t intervals over networks)",
    )
    return figure


@styled
def speed(data: xr.Dataset) -> Figure:
    """Accuracy against the plasticity rate and against the time per image; the slow limit.

    Wants `accuracy`, `trainer_accuracy`, `distance` (cell, value, network). Means over networks
    with 95 % t intervals.
    """
    figure, ((first, second, third),) = panels(1, 3, figsize=(9.0, 3.5))
    for protocol, style in PROTOCOLS.items():
        _line(first, *curves(data, protocol, "slow", "distance"), **style)
        _line(second, *curves(data, protocol, "duration"), **style)
        _line(third, *curves(data, protocol, "rate"), **style)
        trainer = style | {"label": None, "ls": ":", "mfc": "none"}
        _line(third, *curves(data, protocol, "rate", "trainer_accuracy"), **trainer)
    values = curves(data, "always", "slow", "distance")[0]
    if values.size:
        first.plot(values, values[0] / values, color=COLOURS["grey"], lw=0.9, ls="--")
        first.text(values[2], 1.5 * values[0] / values[2], "slope -1", fontsize=8.5)
    first.set(xscale="log", yscale="log", xlabel="time per image ($\\tau$)")
    first.set_ylabel("distance from the trainer's weights,\nrelative to what is learnt")
    second.set(xscale="log", xlabel="time per image ($\\tau$)", ylabel="test accuracy", ylim=(0, 1))
    second.set_xticks([2, 5, 10, 20], ["2", "5", "10", "20"])
    second.minorticks_off()
    third.set(xscale="log", ylim=(0, 1))
    third.set_xlabel("learning rate of an image\n(rate x $\\tau$: 1/10 of it, phases 1/4)")
    third.set_ylabel("test accuracy")
    first.plot([], [], ls=":", marker="o", mfc="none", color="black", label="one update an image")
    for axes in (second, third):
        _chance(axes, data)
    first.legend(fontsize=7.5, loc="lower left")
    headline(
        figure,
        "Test accuracy by how slow plasticity is (left), by the time that an image is shown "
        "(middle)\nand by rate times time (right; diverged: chance, dashed)",
    )
    return figure


@styled
def robustness(data: xr.Dataset) -> Figure:
    """Accuracy against delays, unequal time constants, and noise.

    Wants `accuracy` (cell, value, network). Means over networks with 95 % t intervals.
    """
    there = [name for name in ROBUSTNESS if name in data["probe"].values]
    figure, (line,) = panels(1, len(there), figsize=(9.0, 3.2), sharey=True)
    for axes, probe in zip(line, there, strict=True):
        for protocol, style in PROTOCOLS.items():
            values, found = curves(data, protocol, probe)
            _line(axes, values * STEP if probe == "delay" else values, found, **style)
        axes.set_xlabel(ROBUSTNESS[probe])
        if probe == "noise":
            axes.set_xscale("symlog", linthresh=0.001)
        _chance(axes, data)
    line[0].set(ylabel="test accuracy", ylim=(0, 1))
    line[0].legend(fontsize=7.5, loc="lower left")
    headline(
        figure,
        "Test accuracy where time constants differ, rates are noisy, filters are others, or "
        "messages late\n(means, 95 % t intervals over networks; diverged: chance, dashed)",
    )
    return figure


@styled
def ingredients(data: xr.Dataset) -> Figure:
    """Accuracy with one ingredient changed.

    Wants `accuracy`, `variant` (cell, value, ...). Means over networks with 95 % t intervals.
    """
    figure, ((axes,),) = panels(1, 1, figsize=(7.5, 3.6))
    names: list[str] = []
    for offset, (protocol, style) in zip((-0.12, 0.12), PROTOCOLS.items(), strict=True):
        changed, found = variants(data, protocol)
        if not changed:
            continue
        names += [name for name in changed if name not in names]
        mean, half = over_repetitions(found)
        place = np.array([names.index(name) for name in changed]) + offset
        axes.errorbar(mean, place, xerr=np.nan_to_num(half), ls="", ms=5, **style)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    keep = data["probe"].values == "variant"
    axes.axvline(float(data["chance"].values[keep].mean()), color=COLOURS["grey"], lw=0.8, ls="--")
    axes.set(xlabel="test accuracy", xlim=(0, 1))
    axes.legend(fontsize=8.5, loc="lower left", bbox_to_anchor=(0.0, 0.3))
    headline(
        figure,
        "Test accuracy with each ingredient left out or replaced\n"
        "(means, 95 % t intervals; chance dashed)",
    )
    return figure


FIGURES: Drawings = {
    "learning_in_circuit_curves": (("distance",), learning),
    "learning_in_circuit_speed": (("distance", "trainer_accuracy"), speed),
    "learning_in_circuit_robustness": (("trainer_accuracy",), robustness),
    "learning_in_circuit_ingredients": (("variant",), ingredients),
    "learning_in_circuit_sleep": (("update_cosine",), sleep),
}


def _line(axes: Axes, places: np.ndarray, values: np.ndarray, **style: Any) -> None:
    """Mean with its interval, of (repetitions, places)."""
    if not values.size:
        return
    mean, half = over_repetitions(values)
    given: dict[str, Any] = {"ls": "-", "lw": 1.5, "ms": 4, "elinewidth": 0.8} | style
    axes.errorbar(places, mean, yerr=np.nan_to_num(half), **given)


def _chance(axes: Axes, data: xr.Dataset) -> None:
    keep = data["probe"].values == "rate"
    if keep.any():
        chance = float(np.nanmean(data["chance"].values[keep]))
        axes.axhline(chance, color=COLOURS["grey"], lw=0.8, ls="--")
