"""Pictures of learning inside the circuit: that it learns, how fast it may, and what breaks it.

Owns what the study `learning_in_circuit` shows, drawn from `learning_in_circuit.nc`.
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
from analysis.statistics import over_repetitions
from studies.learning_in_circuit.findings import (
    DESCENDS,
    control_ends,
    controls,
    curves,
    variants,
)
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
TROUBLES = {
    "delay": "messages are late",
    "spread": "time constants differ",
    "unmatched": "filters are others",
    "noise": "rates are noisy",
}
TASKS = {"digits": "digits", "xor": "pairs of signs"}
STEP = 0.5  # of a delay, in tau


@styled
def learning(data: xr.Dataset) -> Figure:
    """Accuracy and alignment of feedback against what was shown, a row for each task.

    Wants `accuracy`, `alignment` (cell, value, network). Means over networks with 95 %
    t intervals.
    """
    there = [name for name in TASKS if name in data["probe"].values]
    figure, grid = panels(len(there), 2, figsize=(9.0, 0.9 + 2.7 * len(there)))
    said = []
    for curve, (left, right) in zip(there, grid, strict=True):
        for protocol, style in PROTOCOLS.items():
            for axes, name in ((left, "accuracy"), (right, "alignment")):
                _line(axes, *curves(data, protocol, curve, name), **style)
        ends = control_ends(data, curve)
        control_lines(left, ends)
        left.set(xlabel=f"{TASKS[curve]} shown", ylabel="test accuracy", ylim=(0, 1))
        right.set(xlabel=f"{TASKS[curve]} shown", ylim=(-0.3, 1))
        right.set_ylabel("cosine of $B$ with $W^T$")
        reached = [
            values[:, -1].mean()
            for _, values in (curves(data, protocol, curve) for protocol in PROTOCOLS)
            if values.size
        ]
        if ends and reached:
            above = [100 * (one - max(ends.values())) for one in (min(reached), max(reached))]
            both = " to ".join(dict.fromkeys(f"{one:+.0f}" for one in above))
            said.append(f"{TASKS[curve]}: {both} points over the better control")
    figure.legend(
        *grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8.5
    )
    headline(
        figure,
        f"Weights that are variables of the circuit, {'; '.join(said)}\n"
        "(means, 95 % t intervals over networks)",
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
        control_lines(axes, controls(data))
    second.legend(fontsize=7, loc="lower right")
    first.legend(fontsize=7.5, loc="lower left")
    headline(
        figure,
        "Test accuracy by how slow plasticity is (left), by the time that an image is shown "
        "(middle)\nand by rate times time (right; a network that diverged counts as chance)",
    )
    return figure


@styled
def robustness(data: xr.Dataset) -> Figure:
    """Accuracy, and the direction of what is learnt, against delays, unequal time constants and
    noise.

    Wants `accuracy`, `learnt_cosine` (cell, value, network). Means over networks with 95 %
    t intervals.
    """
    there = [name for name in ROBUSTNESS if name in data["probe"].values]
    figure, (upper, lower) = panels(2, len(there), figsize=(9.0, 5.4), sharey="row", sharex="col")
    for top, bottom, probe in zip(upper, lower, there, strict=True):
        for protocol, style in PROTOCOLS.items():
            for axes, name in ((top, "accuracy"), (bottom, "learnt_cosine")):
                values, found = curves(data, protocol, probe, name)
                _line(axes, values * STEP if probe == "delay" else values, found, **style)
        control_lines(top, controls(data))
        bottom.axhline(DESCENDS, color=COLOURS["grey"], lw=0.8, ls=":")
        bottom.set_xlabel(ROBUSTNESS[probe])
        if probe == "noise":
            bottom.set_xscale("symlog", linthresh=0.001)
            bottom.set_xlim(-2e-4, 0.5)
    where = " or ".join(TROUBLES[name] for name in there)
    upper[0].set(ylabel="test accuracy", ylim=(0, 1.02))
    lower[0].set(ylabel="cosine of what $W_1$ learns\nwith back-propagation", ylim=(-0.25, 1.02))
    figure.legend(
        *upper[-1].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8.5
    )
    headline(
        figure,
        f"Accuracy against the two controls, and direction of learning, where {where}\n"
        "(pairs of signs; means, 95 % t intervals over networks; diverged: chance)",
    )
    return figure


@styled
def ingredients(data: xr.Dataset) -> Figure:
    """Accuracy with one ingredient changed.

    Wants `accuracy`, `variant` (cell, value, ...). Means over networks with 95 % t intervals.
    """
    figure, ((axes,),) = panels(1, 1, figsize=(9.0, 3.9))
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
    control_lines(axes, controls(data), upright=True)
    axes.set(xlabel="test accuracy", xlim=(0, 1))
    axes.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    headline(
        figure,
        "Test accuracy with each ingredient left out or replaced\n"
        "(pairs of signs; means, 95 % t intervals over networks)",
    )
    return figure


FIGURES: Drawings = {
    "learning_in_circuit_curves": (("distance",), learning),
    "learning_in_circuit_speed": (("distance", "trainer_accuracy"), speed),
    "learning_in_circuit_robustness": (("learnt_cosine",), robustness),
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
