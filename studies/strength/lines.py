"""How the pictures of the study `strength` are laid out, and how one line of them is drawn."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, MARKERS, Axes, Figure, panels
from analysis.selection import cells_with, values_of
from analysis.statistics import over_repetitions

UNEQUAL = "unequal_rows"  # weights that show what lengths do to alignment, and nothing else
WEIGHTS = {UNEQUAL: "unequal-row"}  # in words
INITS: dict[str, dict[str, Any]] = {  # how lines that tell networks apart look
    "orthogonal": {"color": COLOURS["gait"], "marker": "o"},
    "gaussian": {"color": COLOURS["itp"], "marker": "s"},
    "trained": {"color": COLOURS["bp"], "marker": "^"},
}
STYLES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))  # of units
UNITS = {"leaky_relu": "leaky-ReLU", "asinh": "asinh", "tanh": "tanh", "linear": "linear"}


def widest(data: xr.Dataset, *, lengths: bool = False) -> xr.Dataset:
    """Networks of the largest width, and the trained one whatever its width; rows of one length."""
    data = data.isel(cell=data["init"].values != UNEQUAL) if not lengths else data
    trained = data["init"].values == "trained"
    most = data["width"].values[~trained].max(initial=0)
    return data.isel(cell=trained | (data["width"].values == most))


def widest_measured(data: xr.Dataset) -> xr.Dataset:
    """The largest width of each kind and depth at which stability was measured at all."""
    keep = np.zeros(data.sizes["cell"], dtype=bool)
    measured = data["stability"].values == "measured"
    for init, depth in product(values_of(data, "init"), values_of(data, "depth")):
        here = (data["depth"].values == depth) & (data["init"].values == init)
        if np.any(here & measured):
            keep |= here & (data["width"].values == data["width"].values[here & measured].max())
    return data.isel(cell=keep)


def first_units(data: xr.Dataset, init: str) -> str:
    """The activation function of networks of this kind that is shown where there is room for one:
    of a trained network its own.
    """
    units = values_of(cells_with(data, init=init), "activation")
    return "leaky_relu" if "leaky_relu" in units else str(units[0])


def in_words(data: xr.Dataset) -> str:
    """Which networks are shown: their units, by kind where these differ, and widths."""
    inits = [init for init in values_of(data, "init") if init != UNEQUAL]  # units as the others'
    units = {init: first_units(data, init) for init in inits}
    named = {init: "+".join(UNITS.get(u, u) for u in one.split("+")) for init, one in units.items()}
    if len(set(named.values())) == 1:
        words = next(iter(named.values()))
    else:
        words = ", ".join(f"{init} {one}" for init, one in named.items())
    widths = sorted(set(values_of(data, "width")))
    return f"{words}, {' or '.join(map(str, widths))} units a layer"


def look_of(pathway: str, label: str) -> dict[str, Any]:
    """Colour and marker of a pathway."""
    return {"color": COLOURS[pathway], "marker": MARKERS[pathway], "label": label}


def by_weights_and_depth(
    data: xr.Dataset, quantity: str, draw: Callable[[Axes, xr.Dataset], None]
) -> Figure:
    """A panel for every initialisation and depth, drawn from its cells with the first units."""
    inits, depths = values_of(data, "init"), values_of(data, "depth")
    figure, grid = grid_of(inits, depths)
    for row, init in enumerate(inits):
        for axes, depth in zip(grid[row], depths, strict=True):
            units = first_units(data, init)
            draw(axes, cells_with(data, init=init, depth=depth, activation=units))
        grid[row][0].set_ylabel(f"{WEIGHTS.get(init, init)} weights\n{quantity}")
    finish(grid, depths)
    draw_legend(grid, -1)
    return figure


def grid_of(rows: list[Any], columns: list[Any]) -> tuple[Figure, np.ndarray]:
    """Panels with one scale, a row and a column for each of these."""
    return panels(
        len(rows), len(columns), figsize=(9.4, 2.3 * len(rows) + 1.0), sharex=True, sharey=True
    )


def finish(grid: np.ndarray, depths: list[Any]) -> None:
    """Words and scale of the horizontal axis, and the depths on top."""
    for axes, depth in zip(grid[0], depths, strict=True):
        axes.set_title(f"{depth} hidden layer{'s' if depth > 1 else ''}", loc="left")
    for axes in grid.ravel():
        axes.set_xscale("log")
    for axes in grid[-1]:
        axes.set_xlabel("feedback strength $\\gamma$")


def draw_legend(grid: np.ndarray, row: int) -> None:
    """All lines of the axes in `grid`, explained beside the last of one row."""
    lines: dict[str, Any] = {}
    for axes in grid.ravel():
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            lines.setdefault(label, handle)
    grid[row][-1].legend(
        lines.values(), lines.keys(), fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0)
    )


def draw_line(
    axes: Axes,
    part: xr.Dataset,
    values: np.ndarray,
    style: dict[str, Any],
    *,
    pathway: str,
    logarithm: bool = False,
    top: float = np.inf,
) -> None:
    """Mean over seeds against gamma with its interval, for the cells of one pathway; a triangle at
    the edge for a mean beyond `top`, where the axis ends.
    """
    chosen = part["pathway"].values == pathway
    if not chosen.any():
        return
    gamma, seed = part["gamma"].values[chosen], part["seed"].values[chosen]
    gammas, seeds = np.unique(gamma), np.unique(seed)
    table = np.full((len(seeds), len(gammas)), np.nan)
    table[np.searchsorted(seeds, seed), np.searchsorted(gammas, gamma)] = values[chosen]
    mean, half = over_repetitions(np.log(table) if logarithm else table)
    low, high = mean - half, mean + half
    if logarithm:
        mean, low, high = np.exp(mean), np.exp(low), np.exp(high)
    axes.plot(gammas, mean, **({"ms": 3.5, "lw": 1.2} | style))
    if (beyond := mean > top).any():
        edge = np.full(int(beyond.sum()), top)
        axes.plot(gammas[beyond], edge, "^", ms=5, color=style["color"], clip_on=False)
    axes.fill_between(gammas, low, high, color=style["color"], alpha=0.15, lw=0)
