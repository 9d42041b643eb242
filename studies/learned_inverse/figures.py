"""Pictures of learned inverses: alignment and accuracy against feedback strength.

Owns what the study `learned_inverse` shows, drawn from `learned_inverse.nc`.
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
    shades,
    styled,
)
from analysis.controls import CONTROLS
from analysis.selection import cells_with
from analysis.statistics import over_repetitions

PANELS = (
    ("gait", "yes", "GAIT-prop, with correction"),
    ("gait", "no", "GAIT-prop, without correction"),
    ("gait shift", "no", "plain GAIT circuit, shift"),
)
KINDS = {  # inverse, correction -> label, colour, marker
    ("exact", "yes"): ("exact inverse", COLOURS["circuit"], "o"),
    ("learned", "yes"): ("learned, with correction", COLOURS["gait"], "s"),
    ("learned", "no"): ("learned, without correction", COLOURS["itp"], "^"),
}


@styled
def alignment(data: xr.Dataset) -> Figure:
    """Cosine of layer 1's update with back-propagation's, against gamma.

    Wants `cosine` (cell, practice, strength, sigma, layer), `model_error` (cell, practice, layer)
    of part "alignment". Means over seeds with 95 % Student t intervals.
    """
    data = cells_with(data, part="alignment")
    practice = data["practice"].values
    learnt = practice[np.isfinite(practice)]
    sigmas = data["sigma"].values
    ways = set(map(str, data["way"].values))
    shown = [panel for panel in PANELS if panel[0] in ways]
    figure, grid = panels(2, len(shown), figsize=(9.0, 5.6), sharey=True, sharex=True)
    for column, (way, correction, title) in enumerate(shown):
        part = cells_with(data, way=way, correction=correction)["cosine"].sel(layer=1)
        for colour, steps in zip(shades(len(learnt)), learnt, strict=True):
            _curve(grid[0, column], part.sel(practice=steps, sigma=0.0), color=colour)
        _curve(grid[0, column], part.sel(practice=np.inf, sigma=0.0), color="black", ls="--")
        for colour, sigma in zip(shades(len(sigmas)), sigmas, strict=True):
            _curve(grid[1, column], part.sel(practice=learnt[-1], sigma=sigma), color=colour)
            exact = part.sel(practice=np.inf, sigma=sigma)
            _curve(grid[1, column], exact, color=colour, ls="--", lw=1.0)
        grid[0, column].set_title(title)
        grid[1, column].set_xlabel("feedback strength $\\gamma$")
    for axes in grid.ravel():
        axes.axhline(0, color=COLOURS["grey"], lw=0.8)
        axes.set_xscale("log")
    errors = data["model_error"].mean(["cell", "layer"])
    entries = [(f"{float(errors.sel(practice=s)):.2g}", "-") for s in learnt]
    _key(grid[0, -1], "inverse wrong by\n$|BW-1|/\\sqrt{n}$", [*entries, ("0 (exact)", "--")])
    entries = [(f"{sigma:g}", "-") for sigma in sigmas]
    last = float(errors.sel(practice=learnt[-1]))
    _key(
        grid[1, -1],
        f"rate noise $\\sigma$;\nlearned ({last:.1g}) solid,\nexact dashed",
        entries,
    )
    grid[0, 0].set_ylabel("no noise:\ncosine with BP, layer 1")
    grid[1, 0].set_ylabel("best inverse, noise:\ncosine with BP, layer 1")
    grid[0, 0].set_ylim(-0.45, 1.05)
    headline(
        figure,
        "By feedback strength, with the inverse that is learnt and what is sent down through it\n"
        "(means, 95 % t intervals over seeds)",
    )
    return figure


@styled
def accuracy(data: xr.Dataset) -> Figure:
    """Test accuracy of GAIT-prop after training against gamma, one panel for each rate noise.

    Wants `accuracy` (cell) of part "training". Means over seeds with 95 % Student t intervals.
    """
    data = cells_with(data, part="training", shape="equal")
    noises = np.unique(cells_with(data, way="gait")["noise"].values)
    base = 100 * cells_with(data, way="bp")["accuracy"].values
    controls = {
        name: 100 * float(over_repetitions(cells_with(data, way=name)["accuracy"].values)[0])
        for name in CONTROLS
    }
    figure, grid = panels(1, len(noises), figsize=(9.0, 4.0), sharey=True, sharex=True)
    for axes, noise in zip(grid[0], noises, strict=True):
        for (inverse, correction), (label, colour, marker) in KINDS.items():
            one = cells_with(
                data, way="gait", inverse=inverse, correction=correction, noise=noise, steps=1
            )
            gammas = np.unique(one["gamma"].values)
            values = np.stack(
                [100 * cells_with(one, gamma=g)["accuracy"].values for g in gammas], 1
            )
            mean, half = over_repetitions(values)
            axes.errorbar(
                gammas,
                mean,
                yerr=_bars(mean, half, 0.0, 100.0),
                color=colour,
                marker=marker,
                ms=4,
                label=label,
            )
        axes.axhline(base.mean(), color=COLOURS["bp"], lw=1.2, ls=":", label="back-propagation")
        control_lines(axes, controls)
        axes.set_xscale("log")
        axes.set_xlabel("feedback strength $\\gamma$")
        axes.set_title(f"rate noise {noise:g}" if noise else "no rate noise")
    grid[0, 0].set_ylabel("test accuracy (%)")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    headline(
        figure,
        "Test accuracy by feedback strength, with exact and learned inverses and rate noise\n"
        "(GAIT-prop; means, 95 % t intervals over seeds)",
    )
    return figure


FIGURES: Drawings = {
    "learned_inverse_alignment": (("cosine", "model_error"), alignment),
    "learned_inverse_accuracy": (("accuracy",), accuracy),
}


def _curve(axes: Axes, values: xr.DataArray, **style: Any) -> None:
    """Mean over cells with intervals, against strength; `values` is (cell, strength)."""
    mean, half = over_repetitions(values.values)
    there = np.isfinite(mean)
    look: Any = {"lw": 1.5, "marker": "o", "ms": 3, "elinewidth": 0.8} | style
    bars = _bars(mean[there], half[there], -1.0, 1.0)
    axes.errorbar(values["strength"].values[there], mean[there], yerr=bars, **look)


def _bars(
    mean: np.ndarray, half: np.ndarray, least: float, most: float
) -> tuple[list[float], list[float]]:
    """Lengths of intervals downwards and upwards, cut where the quantity itself ends.

    None is negative where a mean lies beyond that end by rounding.
    """
    half = np.where(np.isfinite(half), half, 0.0)
    down, up = mean - np.maximum(mean - half, least), np.minimum(mean + half, most) - mean
    return np.maximum(down, 0).tolist(), np.maximum(up, 0).tolist()


def _key(axes: Axes, title: str, entries: list[tuple[str, str]]) -> None:
    """Shades in words, right of the last panel."""
    solid = [entry for entry in entries if entry[1] == "-"]
    colours = [*shades(len(solid)), "black"]
    for (label, line), colour in zip(entries, colours, strict=False):
        axes.plot([], [], line, color=colour, lw=1.5, label=label)
    axes.legend(title=title, fontsize=8, title_fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
