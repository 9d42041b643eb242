"""Pictures of the circuit from very weak to strong feedback.

Owns what the study `strength` shows, drawn from `strength.nc`.

Every variable lies along `cell`; a cell is one feedback strength of one circuit. Lines are means
over seeds, bands their 95 % intervals (Student's t) where three seeds or more are there. Networks
of the largest width are shown.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, MARKERS, Axes, Drawings, Figure, headline, panels, styled
from analysis.selection import cells_with, values_of
from analysis.statistics import over_repetitions

# pathway and read-out -> how its lines look
SIGNALS: dict[tuple[str, str], dict[str, Any]] = {
    ("gait", "shift"): {
        "color": COLOURS["gait"],
        "marker": "o",
        "ms": 6,
        "lw": 2.4,
        "label": "GAIT pathway, shift",
    },
    ("gait", "mismatch"): {
        "color": COLOURS["tp"],
        "marker": "D",
        "ls": "--",
        "ms": 2.5,
        "label": "GAIT pathway, mismatch",
    },
    ("itp", "shift"): {"color": COLOURS["itp"], "marker": "s", "label": "ITP pathway, shift"},
    ("grait", "shift"): {
        "color": COLOURS["grait"],
        "marker": "P",
        "ms": 5,
        "lw": 1.8,
        "label": "GRAIT pathway, shift",
    },
}
UNEQUAL = "unequal_rows"  # weights that show what lengths do to alignment, and nothing else
WEIGHTS = {UNEQUAL: "unequal rows,"}  # in words
INITS: dict[str, dict[str, Any]] = {  # how lines that tell networks apart look
    "orthogonal": {"color": COLOURS["gait"], "marker": "o"},
    "gaussian": {"color": COLOURS["itp"], "marker": "s"},
    "trained": {"color": COLOURS["bp"], "marker": "^"},
}
STYLES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))  # of units
UNITS = {"leaky_relu": "leaky-ReLU", "asinh": "asinh", "tanh": "tanh", "linear": "linear"}

GAIN_SHOWN = 2.0  # of the measured gain over the predicted one; what is more leaves the axis


@styled
def alignment(data: xr.Dataset) -> Figure:
    """Cosine of the first layer's update with back-propagation's against gamma.

    Wants `cosine` (cell, readout, rule, layer) and `settled_fraction` (cell).
    """
    data = _shown(data, lengths=True)

    def draw(axes: Axes, part: xr.Dataset) -> None:
        cosine = part["cosine"].sel(rule="bp", layer=1)  # of the layer furthest from the target
        for (pathway, readout), style in SIGNALS.items():
            _line(axes, part, cosine.sel(readout=readout).values, style, pathway=pathway)
        axes.axhline(0, color=COLOURS["grey"], lw=0.6)
        axes.set_ylim(-0.55, 1.08)
        axes.text(0.03, 0.02, _settled(part), transform=axes.transAxes, fontsize=7.5, va="bottom")

    figure = _by_weights_and_depth(data, "cosine with BP", draw)
    headline(
        figure,
        "Cosine of the first layer's weight change with back-propagation's, by feedback strength, "
        f"over the images that settled\n({_words(data)}; means over seeds, 95 % intervals)",
    )
    return figure


def _settled(part: xr.Dataset) -> str:
    """Which share of the images settled at the strongest gamma, over pathways, in words."""
    gamma, pathway = part["gamma"].values, part["pathway"].values
    strongest = gamma.max() if gamma.size else np.nan
    means = [
        float(np.nanmean(part["settled_fraction"].values[(gamma == strongest) & (pathway == one)]))
        for one in dict.fromkeys(pathway.tolist())
    ]
    ends = dict.fromkeys(f"{100 * one:.0f}" for one in (min(means), max(means))) if means else ()
    return f"settled at $\\gamma$ = {strongest:g}:\n{' to '.join(ends)} %" if means else ""


@styled
def error(data: xr.Dataset) -> Figure:
    """Relative error of the update against the pathway's own rule, the worst layer, against gamma.

    Wants `relative_error` (cell, readout, rule, layer). A line for every seed: one kink that is
    crossed makes an error of rounding one of a hundredth, and a mean of these says nothing.
    """
    data = _shown(data)
    gammas = np.unique(data["gamma"].values)

    def draw(axes: Axes, part: xr.Dataset) -> None:
        for (pathway, readout), style in SIGNALS.items():
            found = part["relative_error"].sel(readout=readout, rule=pathway).values
            worst = np.where(np.isnan(found).all(axis=1), np.nan, _largest(found))
            look = style | {"ms": 2.5, "lw": 0.9}
            for seed in values_of(part, "seed"):
                one = part["seed"].values == seed
                _line(axes, part.isel(cell=one), worst[one], look, pathway=pathway)
        axes.plot(gammas, gammas, "-", color=COLOURS["grey"], lw=0.7, label="gamma")
        axes.plot(gammas, gammas**2, ":", color=COLOURS["grey"], lw=1, label="gamma squared")
        axes.set_yscale("log")
        axes.set_ylim(1e-11, 30)

    figure = _by_weights_and_depth(data, "relative error", draw)
    headline(
        figure,
        "Relative error of the weight change against that of its pathway's rule, by feedback "
        f"strength\n(worst layer, {_words(data)}; one line a seed)",
    )
    return figure


@styled
def gain(data: xr.Dataset) -> Figure:
    """Measured gain of the first layer's shift over the predicted one, against gamma.

    Wants `gain_ratio` (cell, layer).
    """
    data = _shown(data)
    depths, pathways = values_of(data, "depth"), ["itp", "gait"]
    figure, grid = _grid(pathways, depths)
    for row, pathway in enumerate(pathways):
        for column, depth in enumerate(depths):
            axes: Axes = grid[row][column]
            for init in values_of(data, "init"):
                for units, style in zip(values_of(data, "activation"), STYLES, strict=False):
                    part = cells_with(data, init=init, depth=depth, activation=units)
                    look = {
                        **INITS.get(init, INITS["trained"]),
                        "ls": style,
                        "label": f"{init}, {UNITS.get(str(units), str(units))}",
                    }
                    ratio = part["gain_ratio"].sel(layer=1).values
                    _line(axes, part, ratio, look, pathway=pathway, top=GAIN_SHOWN)
            axes.axhline(1, color=COLOURS["grey"], lw=0.6)
            axes.set_ylim(0, GAIN_SHOWN)
            if column == 0:
                axes.set_ylabel(f"{pathway.upper()} pathway\nmeasured / predicted")
    _finish(grid, depths)
    _legend(grid, -1)
    headline(
        figure,
        "Size of the first layer's shift over the predicted one, by feedback strength\n"
        f"(means over seeds, 95 % intervals; triangles: means over {GAIN_SHOWN:g}; where a line "
        "ends no image settled)",
    )
    return figure


@styled
def equilibria(data: xr.Dataset) -> Figure:
    """Fraction of images that settled, and of units that crossed their kink, against gamma.

    Wants `settled_fraction` (cell) and `crossed_fraction` (cell, layer).
    """
    data = _shown(data)
    inits, depths = values_of(data, "init"), values_of(data, "depth")
    figure, grid = panels(
        len(inits) + 1,
        len(depths),
        figsize=(9.4, 2.1 * len(inits) + 2.6),
        sharex=True,
        sharey="row",
    )
    for column, depth in enumerate(depths):
        for row, init in enumerate(inits):
            axes: Axes = grid[row][column]
            for pathway in ("itp", "gait"):
                for units, style in zip(values_of(data, "activation"), STYLES, strict=False):
                    part = cells_with(data, init=init, depth=depth, activation=units)
                    look = _look(pathway, f"{pathway.upper()}, {UNITS.get(str(units), str(units))}")
                    look |= {"ls": style}
                    _line(axes, part, part["settled_fraction"].values, look, pathway=pathway)
            axes.set_ylim(-0.05, 1.08)
            if column == 0:
                axes.set_ylabel(f"{init} weights\nimages that settled")
        axes = grid[-1][column]
        for pathway in ("itp", "gait"):
            for init, style in zip(inits, ("-", "--", ":"), strict=False):
                part = cells_with(data, init=init, depth=depth)
                part = part.isel(cell=["leaky_relu" in one for one in part["activation"].values])
                crossed = part["crossed_fraction"].values
                empty = np.isnan(crossed).all(axis=1)
                crossed = np.where(empty, np.nan, np.nansum(crossed, axis=1) / (float(depth) + 1))
                look = _look(pathway, f"{pathway.upper()}, {init}") | {"ls": style}
                _line(
                    axes,
                    part,
                    np.where(crossed > 0, crossed, np.nan),
                    look,
                    pathway=pathway,
                    logarithm=True,
                )
        axes.set_yscale("log")
        axes.set_ylim(1e-5, 1)
        if column == 0:
            axes.set_ylabel("leaky-ReLU units\nacross their kink")
    _finish(grid, depths)
    for row in (0, -1):
        _legend(grid[row : row + 1 or None], 0)
    headline(
        figure,
        "Images that settled, and units across their kink in those that did, by feedback strength\n"
        "(means over seeds, 95 % intervals)",
    )
    return figure


@styled
def time_and_stability(data: xr.Dataset) -> Figure:
    """Settling time, transient growth and the largest Euler step against gamma.

    Wants `settling_time` (cell, layer), `transient_growth` and `euler_step` (cell).
    """
    data = _measured(data.isel(cell=data["init"].values != UNEQUAL))
    inits, depths = values_of(data, "init"), values_of(data, "depth")
    rows = ("settling_time", "transient_growth", "euler_step")
    words = (
        "settling time\nof layer 1 ($\\tau$)",
        "largest growth of\na perturbation",
        "largest stable\nEuler step ($\\tau$)",
    )
    figure, grid = panels(3, len(depths), figsize=(9.4, 6.4), sharex=True, sharey="row")
    for column, depth in enumerate(depths):
        for row, name in enumerate(rows):
            axes: Axes = grid[row][column]
            for pathway in ("itp", "gait"):
                for init, style in zip(inits, ("-", "--", ":"), strict=False):
                    part = cells_with(
                        data, init=init, depth=depth, activation=_first_units(data, init)
                    )
                    if not part.sizes["cell"]:  # trained weights have one depth and their units
                        continue
                    part = cells_with(part, width=part["width"].values.max())
                    values = part[name].sel(layer=1) if row == 0 else part[name]
                    look = _look(pathway, f"{pathway.upper()}, {init}") | {"ls": style}
                    _line(axes, part, values.values, look, pathway=pathway, logarithm=row < 2)
            if row < 2:
                axes.set_yscale("log")
            else:
                axes.set_ylim(0, 2.1)
            if column == 0:
                axes.set_ylabel(words[row])
    for row, bottom in ((0, 5), (1, 0.5)):  # once all is drawn: it fixes the top as well
        grid[row][0].set_ylim(bottom=bottom)
    _finish(grid, depths)
    _legend(grid, 0)
    headline(
        figure,
        "Settling time, growth of a perturbation, and largest stable step, by feedback strength\n"
        f"({_words(data)};\nmeans over seeds, the upper two geometric, 95 % intervals)",
    )
    return figure


FIGURES: Drawings = {
    # name -> (variables it needs, function)
    "strength_alignment": (("cosine", "settled_fraction"), alignment),
    "strength_error": (("relative_error",), error),
    "strength_gain": (("gain_ratio",), gain),
    "strength_equilibria": (("settled_fraction",), equilibria),
    "strength_stability": (("settling_time",), time_and_stability),
}


def _shown(data: xr.Dataset, *, lengths: bool = False) -> xr.Dataset:
    """Networks of the largest width, and the trained one whatever its width; rows of one length."""
    data = data.isel(cell=data["init"].values != UNEQUAL) if not lengths else data
    trained = data["init"].values == "trained"
    widest = data["width"].values[~trained].max(initial=0)
    return data.isel(cell=trained | (data["width"].values == widest))


def _measured(data: xr.Dataset) -> xr.Dataset:
    """The largest width of each kind and depth at which stability was measured at all."""
    keep = np.zeros(data.sizes["cell"], dtype=bool)
    measured = data["stability"].values == "measured"
    for init, depth in product(values_of(data, "init"), values_of(data, "depth")):
        here = (data["depth"].values == depth) & (data["init"].values == init)
        if np.any(here & measured):
            keep |= here & (data["width"].values == data["width"].values[here & measured].max())
    return data.isel(cell=keep)


def _first_units(data: xr.Dataset, init: str) -> str:
    """The activation function of networks of this kind that is shown where there is room for one:
    of a trained network its own.
    """
    units = values_of(cells_with(data, init=init), "activation")
    return "leaky_relu" if "leaky_relu" in units else str(units[0])


def _words(data: xr.Dataset) -> str:
    """Which networks are shown: their units, by kind where these differ, and widths."""
    inits = [init for init in values_of(data, "init") if init != UNEQUAL]  # units as the others'
    units = {init: _first_units(data, init) for init in inits}
    named = {init: "+".join(UNITS.get(u, u) for u in one.split("+")) for init, one in units.items()}
    if len(set(named.values())) == 1:
        words = next(iter(named.values()))
    else:
        words = ", ".join(f"{init} {one}" for init, one in named.items())
    widths = sorted(set(values_of(data, "width")))
    return f"{words}, {' or '.join(map(str, widths))} units a layer"


def _look(pathway: str, label: str) -> dict[str, Any]:
    return {"color": COLOURS[pathway], "marker": MARKERS[pathway], "label": label}


def _largest(values: np.ndarray) -> np.ndarray:
    return np.max(np.where(np.isnan(values), -np.inf, values), axis=1)


def _by_weights_and_depth(
    data: xr.Dataset, quantity: str, draw: Callable[[Axes, xr.Dataset], None]
) -> Figure:
    """A panel for every initialisation and depth, drawn from its cells with the first units."""
    inits, depths = values_of(data, "init"), values_of(data, "depth")
    figure, grid = _grid(inits, depths)
    for row, init in enumerate(inits):
        for axes, depth in zip(grid[row], depths, strict=True):
            units = _first_units(data, init)
            draw(axes, cells_with(data, init=init, depth=depth, activation=units))
        grid[row][0].set_ylabel(f"{WEIGHTS.get(init, init)} weights\n{quantity}")
    _finish(grid, depths)
    _legend(grid, -1)
    return figure


def _grid(rows: list[Any], columns: list[Any]) -> tuple[Figure, np.ndarray]:
    return panels(
        len(rows), len(columns), figsize=(9.4, 2.3 * len(rows) + 1.0), sharex=True, sharey=True
    )


def _finish(grid: np.ndarray, depths: list[Any]) -> None:
    """Words and scale of the horizontal axis, and the depths on top."""
    for axes, depth in zip(grid[0], depths, strict=True):
        axes.set_title(f"{depth} hidden layer{'s' if depth > 1 else ''}", loc="left")
    for axes in grid.ravel():
        axes.set_xscale("log")
    for axes in grid[-1]:
        axes.set_xlabel("feedback strength $\\gamma$")


def _legend(grid: np.ndarray, row: int) -> None:
    """All lines of the axes in `grid`, explained beside the last of one row."""
    lines: dict[str, Any] = {}
    for axes in grid.ravel():
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            lines.setdefault(label, handle)
    grid[row][-1].legend(
        lines.values(), lines.keys(), fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0)
    )


def _line(
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
