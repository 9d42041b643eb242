"""Pictures of strong top-down input: what it does to stability, to the rates and to learning.

Owns what the study `top_down` shows, drawn from `top_down.nc`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from analysis.canvas import (
    COLOURS,
    MARKERS,
    Axes,
    Drawings,
    Figure,
    headline,
    panels,
    shades,
    styled,
)
from analysis.comparison import NAMES
from analysis.selection import cells_with
from analysis.statistics import over_repetitions
from studies.top_down.theory import chain_abscissa, chain_gains

NUDGE = 0.03  # that of the pictures, if it was measured
FINE = 200  # points of a curve of theory
TOP = 3.0  # of a shift over that of full targets, where its axis ends


@styled
def circuits(data: xr.Dataset) -> Figure:
    """Spectral abscissa and arrival against strength for both readings, theory beside them.

    Wants `abscissa`, `arrival` (cell, strength, nudge) of part "circuit", orthogonal weights and
    asinh units. Means over seeds with 95 % Student t intervals.
    """
    data = cells_with(data, part="circuit", init="orthogonal", activation="asinh")
    nudge = _nudge(data)
    depths = np.unique(data["depth"].values)
    shown = depths[:: max(1, (len(depths) + 1) // 3)] if len(depths) > 3 else depths
    figure, grid = panels(2, 2, figsize=(9.0, 6.4), sharex="col")
    for column, (reading, words) in enumerate(
        (
            ("replacing", "$\\gamma$ of the hidden layers\n(replacing; 1: inverse alone)"),
            ("added", "$\\kappa$\n(added to the feed-forward drive)"),
        )
    ):
        part = cells_with(data, reading=reading)
        strengths = _measured(part)
        for colour, depth in zip(shades(len(shown)), shown, strict=True):
            fine = np.linspace(strengths[0], strengths[-1], FINE)
            chains = [_chain(reading, int(depth) + 1, strength, nudge) for strength in fine]
            style: Any = {"color": colour, "lw": 1.0}
            grid[0, column].plot(fine, [chain_abscissa(*chain) for chain in chains], **style)
            _gain_line(grid[1, column], fine, [chain_gains(*chain)[0] for chain in chains], **style)
            for pathway in ("itp", "gait"):
                one = cells_with(part, depth=depth, pathway=pathway).sel(nudge=nudge)
                one = one.sel(strength=strengths)
                for axes, name in zip(grid[:, column], ("abscissa", "arrival"), strict=True):
                    _points(axes, strengths, one[name].values, colour, MARKERS[pathway])
        grid[0, column].axhline(0, color=COLOURS["grey"], lw=0.8)
        grid[1, column].set_xlabel(words)
        grid[1, column].set_yscale("log")
        grid[1, column].set_ylim(nudge / 30, TOP)
    grid[0, 0].set_ylabel("spectral abscissa (1/$\\tau$)\nunstable above 0")
    grid[1, 0].set_ylabel("shift of layer 1 over that\nof full targets (TP)")
    grid[0, 0].set_title("stable at every depth, ever slower")
    grid[0, 1].set_title("unstable from a strength that falls with depth")
    legend = grid[0, 1]
    for colour, depth in zip(shades(len(shown)), shown, strict=True):
        legend.plot([], [], color=colour, label=_layers(int(depth)))
    for pathway in ("itp", "gait"):
        label = f"{pathway.upper()} circuit"
        legend.plot(
            [], [], color="black", ls="none", marker=MARKERS[pathway], mfc="none", label=label
        )
    legend.plot([], [], color="black", lw=1.0, label="theory, ITP, linear piece")
    legend.plot(
        [],
        [],
        ls="none",
        marker="|",
        ms=9,
        mew=1.8,
        color="black",
        label="pole of theory: no rest",
    )
    figure.legend(
        *legend.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8.5
    )
    headline(
        figure,
        "Circuits in which top-down input replaces the drive from below, or is added to it, by "
        f"its strength\n(nudge {nudge:g}; means, 95 % t intervals over seeds)",
    )
    return figure


@styled
def directions(data: xr.Dataset) -> Figure:
    """Cosine of the worst layer's update with BP's against strength, and accuracies of the rules.

    Wants `cosine_worst` (cell, strength, nudge, readout, rule_of) of part "circuit" and
    `test_accuracy` of part "learning".
    """
    figure, ((left, right),) = panels(1, 2, figsize=(9.2, 4.4), width_ratios=(1, 1))
    part = cells_with(
        data, part="circuit", init="orthogonal", activation="asinh", reading="replacing"
    )
    depths = np.unique(part["depth"].values)
    depth = int(depths[depths <= 4][-1])
    part = cells_with(part, depth=depth, pathway="gait")
    strengths = _measured(part)
    for colour, nudge in zip(shades(part.sizes["nudge"]), part["nudge"].values, strict=True):
        for readout, line in (("shift", "-"), ("mismatch", "--")):
            value = part["cosine_worst"].sel(readout=readout, rule_of="bp", nudge=nudge)
            mean, half = over_repetitions(value.sel(strength=strengths).values)
            low, high = (np.nan_to_num(part) for part in (half, np.minimum(half, 1 - mean)))
            style: Any = {"marker": "o", "ms": 3.5, "lw": 1.3, "elinewidth": 0.8, "color": colour}
            label = f"{readout}, $\\gamma_L$ = {nudge:g}"
            left.errorbar(strengths, mean, yerr=(low, high), ls=line, label=label, **style)
    left.set_xlabel("$\\gamma$ of the hidden layers")
    left.set_ylabel("cosine of the worst layer's update with BP's")
    left.set_title(f"GAIT circuit, {_layers(depth)}, orthogonal, asinh")
    left.legend(fontsize=8, loc="lower left")
    runs = cells_with(data, part="learning")
    names, values = [], []
    columns = [runs[name].values for name in ("rule", "increments", "gamma", "activation")]
    keys = list(zip(*columns, strict=True))
    for key in dict.fromkeys(keys):
        rule, increments, gamma, activation = key
        there = [one == key for one in keys]
        name = NAMES[str(rule)]
        if rule in ("gait", "itp", "circuit"):
            name += f", {increments}" + (f", $\\gamma$ = {gamma:g}")
        names.append(f"{name} ({str(activation).replace('_', '-')})")
        values.append(100 * runs["test_accuracy"].values[there])
    for place, (reached, key) in enumerate(zip(values, dict.fromkeys(keys), strict=True)):
        mean, half = over_repetitions(reached)
        colour = COLOURS[str(key[0])]
        right.errorbar(
            mean, -place, xerr=np.nan_to_num(half), fmt="o", color=colour, ms=5, elinewidth=1
        )
    right.set_yticks([-place for place in range(len(names))], names, fontsize=8)
    right.set_xlabel("test accuracy (%)")
    right.set_title(f"{data['dataset'].values[0]}: where the increments are")
    headline(
        figure,
        "Directions of the update, and what networks learn by them, by the strength below the "
        "output\n(means, 95 % t intervals over seeds)",
    )
    return figure


FIGURES: Drawings = {
    "top_down_circuits": (("abscissa", "arrival"), circuits),
    "top_down_directions": (("cosine_worst", "test_accuracy"), directions),
}


def _chain(
    reading: str, depth: int, strength: float, nudge: float
) -> tuple[int, float, float, float]:
    return depth, 1.0 if reading == "added" else 1.0 - strength, strength, nudge


def poles(x: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Where a gain changes its sign through infinity: the middles of the steps in which it does."""
    turns = (gains[1:] * gains[:-1] < 0) & (np.minimum(*np.abs([gains[1:], gains[:-1]])) > 1)
    return np.asarray((x[1:] + x[:-1])[turns] / 2)


def _gain_line(axes: Axes, x: np.ndarray, gains: Sequence[float], **style: Any) -> None:
    """Sizes of gains, cut where they leave the axis, with a mark at its edge for every pole."""
    found = np.asarray(gains)
    axes.plot(x, np.where(np.abs(found) < TOP, np.abs(found), np.nan), **style)
    for at in poles(x, found):
        axes.plot([at], [TOP], "|", ms=9, mew=1.8, color=style["color"], clip_on=False)


def _nudge(data: xr.Dataset) -> float:
    nudges = data["nudge"].values
    return float(nudges[np.argmin(np.abs(nudges - NUDGE))])


def _measured(data: xr.Dataset) -> np.ndarray:
    """The strengths at which these cells were measured, ascending."""
    there = np.isfinite(data["settled"].values).any(axis=(0, 2))
    return np.sort(data["strength"].values[there])


def _layers(depth: int) -> str:
    return f"{depth} hidden layer" + ("s" if depth > 1 else "")


def _points(axes: Axes, x: np.ndarray, values: np.ndarray, colour: Any, marker: str) -> None:
    """Means over cells with their intervals; `values` is (cell, strength)."""
    mean, half = over_repetitions(values)
    axes.errorbar(
        x, mean, yerr=np.nan_to_num(half), ls="none", marker=marker, mfc="none", ms=5, color=colour,
        elinewidth=0.8,
    )  # fmt: skip
