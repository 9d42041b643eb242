"""Pictures of imperfect feedback: whose update it carries, and whether it has a stable equilibrium.

Owns what the study `imperfection` shows, drawn from `imperfection.nc`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from analysis.canvas import (
    COLOURS,
    NAMES,
    Axes,
    Drawings,
    Figure,
    headline,
    panels,
    shades,
    styled,
)
from analysis.selection import cells_with, values_of
from analysis.statistics import over_repetitions

STYLES = {"corrected": "-", "plain": "--"}
KINDS = {"noisy": "noisy inverse", "stale": "stale inverse", "transposed": "transpose $W^T$"}
SIZES = {
    "noisy": "relative noise",
    "stale": "relative change of W since",
    "transposed": "spread of W's singular values",
}
STRONGEST_SHOWN = 0.6  # of an abscissa; of what is more, this much enters the mean


@styled
def alignment(data: xr.Dataset) -> Figure:
    """Cosine of the update of layer 1, the furthest from the output, against size.

    Wants `cosine` (cell, size, rule, layer) with the coordinates kind, init, pathway, circuit,
    gamma, seed. Means over seeds with 95 % Student t intervals.
    """
    data = data.isel(
        cell=(data["pathway"].values == "gait") & (data["depth"].values == _depth(data))
    )
    kinds, gammas = values_of(data, "kind"), np.unique(data["gamma"].values)
    rows = [("orthogonal", "bp"), ("gaussian", "pathway")]
    rows = [row for row in rows if row[0] in values_of(data, "init")]
    figure, grid = panels(len(rows), len(kinds), figsize=(9.0, 2.5 * len(rows) + 1.1), sharey=True)
    for (init, rule), line in zip(rows, grid, strict=True):
        for kind, axes in zip(kinds, line, strict=True):
            part = cells_with(data, init=init, kind=kind)
            drawn = init == "gaussian" and kind == "transposed"
            for circuit in values_of(part, "circuit"):
                for colour, gamma in zip(shades(len(gammas)), gammas, strict=True):
                    one = cells_with(part, circuit=circuit, gamma=gamma)
                    value = one["cosine"].sel(layer=1)
                    if drawn:
                        _as_drawn(axes, value, circuit, colour)
                    else:
                        wanted = value.sel(rule=rule).values
                        style: Any = {"color": colour, "lw": 1.5, "marker": "o"}
                        _against_size(axes, data, wanted, STYLES[circuit], (-1.0, 1.0), **style)
            axes.axhline(0, color=COLOURS["grey"], lw=0.8)
            axes.set_xlabel("weights as drawn, against" if drawn else SIZES[kind])
            if init == rows[0][0]:
                axes.set_title(KINDS[kind])
        name = NAMES["bp"] if rule == "bp" else NAMES["gait"]
        line[0].set_ylabel(f"{init} weights:\ncosine with {name}")
    grid[0][0].set_ylim(-0.45, 1.08)
    entries = [
        (f"$\\gamma$ = {g:g}", c, "-") for g, c in zip(gammas, shades(len(gammas)), strict=True)
    ]
    entries += [(circuit, "black", STYLES[circuit]) for circuit in values_of(data, "circuit")]
    _legend(grid[0][-1], entries)
    headline(
        figure,
        "Direction of the update by how wrong the inverse is, with other matrices too\n"
        "(GAIT pathway, layer 1; means, 95 % t intervals over seeds)",
    )
    return figure


@styled
def stability(data: xr.Dataset) -> Figure:
    """Spectral abscissa with orthogonal weights; images with a stable equilibrium with Gaussian:
    a row for each kind of feedback, a column for each circuit, a line for each of two gammas.

    Wants `abscissa_median`, `stable` (cell, size). Means over seeds with 95 % t intervals.
    """
    data = data.isel(cell=data["depth"].values == _depth(data))
    kinds, gammas = values_of(data, "kind"), np.unique(data["gamma"].values)
    shown = list(dict.fromkeys((gammas[len(gammas) // 2], gammas[-1])))
    inks = dict(zip(shown, (COLOURS["gait"], COLOURS["itp"]), strict=False))
    rows = [
        (init, name, kind)
        for init, name in (("orthogonal", "abscissa_median"), ("gaussian", "stable"))
        for kind in kinds
        if init in values_of(data, "init")
    ]
    columns = [
        (pathway, circuit)
        for pathway in values_of(data, "pathway")
        for circuit in values_of(data, "circuit")
    ]
    figure, grid = panels(
        len(rows), len(columns), figsize=(9.0, 1.35 * len(rows) + 1.0), sharey="row", sharex="row"
    )
    for (init, name, kind), line in zip(rows, grid, strict=True):
        drawn = init == "gaussian" and kind == "transposed"
        for (pathway, circuit), axes in zip(columns, line, strict=True):
            part = cells_with(data, init=init, kind=kind, pathway=pathway, circuit=circuit)
            for gamma, ink in inks.items():
                values = cells_with(part, gamma=gamma)[name].values
                if drawn:
                    values = values[:, :1]
                _stability_line(axes, values, name, ink)
            sizes = ["as drawn"] if drawn else [f"{size:g}" for size in data["size"].values]
            axes.set_xticks(range(len(sizes)), sizes, fontsize=8)
            if name == "stable":
                axes.set_ylim(-0.05, 1.05)
            else:
                axes.axhline(0, color=COLOURS["grey"], lw=0.8)
        line[0].set_ylabel(f"{init}\n{KINDS[kind]}", fontsize=8.5)
        line[-1].annotate(
            "abscissa\n(1/$\\tau$)" if name != "stable" else "fraction\nstable",
            (1.02, 0.5),
            xycoords="axes fraction",
            fontsize=8.5,
            va="center",
            annotation_clip=False,
        )
    for (pathway, circuit), axes in zip(columns, grid[0], strict=True):
        axes.set_title(f"{pathway.upper()}, {circuit}")
    for axes in grid[-1]:
        axes.set_xlabel("how wrong")
    for gamma, ink in inks.items():
        grid[0][0].plot([], [], "o-", ms=3.5, color=ink, label=f"$\\gamma$ = {gamma:g}")
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    headline(
        figure,
        "Stability of the equilibrium by how wrong the inverse is: abscissae (below 0: stable) and "
        "fractions\nof images at a stable equilibrium (means, 95 % t intervals over seeds; "
        f"abscissae over {STRONGEST_SHOWN:g} count as {STRONGEST_SHOWN:g})",
    )
    return figure


def _stability_line(axes: Axes, values: np.ndarray, name: str, ink: Any) -> None:
    """Mean with its band over the sizes, (seed, size), cut where the quantity itself ends."""
    least, most = (0.0, 1.0) if name == "stable" else (-np.inf, STRONGEST_SHOWN)
    mean, half = over_repetitions(np.minimum(values, most))
    half, places = np.nan_to_num(half), np.arange(mean.size)
    low, high = np.maximum(mean - half, least), np.minimum(mean + half, most)
    axes.plot(places, mean, "o-", ms=3.5, lw=1.3, color=ink)
    axes.vlines(places, low, high, color=ink, lw=0.9)


FIGURES: Drawings = {
    "imperfection_alignment": (("cosine",), alignment),
    "imperfection_stability": (("stable", "abscissa_median"), stability),
}


def _depth(data: xr.Dataset) -> int:
    """The depth that is shown, of those of the study the middle one."""
    depths = np.unique(data["depth"].values)
    return int(depths[len(depths) // 2])


def _against_size(
    axes: Axes,
    data: xr.Dataset,
    values: np.ndarray,
    line: str,
    limits: tuple[float, float],
    **style: Any,
) -> None:
    """A line over the sizes, which stand at equal distances; `values` is (seed, size).

    `limits` cut the intervals where the quantity itself ends.
    """
    mean, half = over_repetitions(values)
    half = np.nan_to_num(half)  # a single seed has no interval
    low = mean - np.clip(mean - half, *limits)
    high = np.clip(mean + half, *limits) - mean
    axes.errorbar(
        np.arange(mean.size), mean, yerr=(low, high), fmt=line, ms=3.5, elinewidth=0.8, **style
    )
    axes.set_xticks(range(mean.size), [f"{size:g}" for size in data["size"].values])


def _as_drawn(axes: Axes, value: xr.DataArray, circuit: str, colour: Any) -> None:
    """The one size of weights that are not spread, against each rule."""
    for place, rule in enumerate(("bp", "pathway")):
        mean, half = over_repetitions(value.sel(rule=rule).values[:, :1])
        filled = colour if circuit == "corrected" else "none"
        offset = 0.08 if circuit == "plain" else -0.08
        axes.errorbar(
            place + offset, mean[0], yerr=half[0], fmt="o", color=colour, mfc=filled, ms=5
        )
    axes.set_xticks([0, 1], ["back-\npropagation", "GAIT-prop"])
    axes.set_xlim(-0.5, 1.5)


def _legend(axes: Axes, entries: list[tuple[str, Any, str]]) -> None:
    """Colours and styles in words, right of the last panel."""
    draw: Callable[..., object] = axes.plot
    for label, colour, style in entries:
        draw([], [], style, color=colour, lw=1.5, label=label)
    axes.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
