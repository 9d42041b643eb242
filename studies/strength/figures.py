"""Pictures of the circuit from very weak to strong feedback.

Owns what the study `strength` shows, drawn from `strength.nc`.

Every variable lies along `cell`; a cell is one feedback strength of one circuit. Lines are means
over seeds, bands their 95 % intervals (Student's t) where three seeds or more are there. Networks
of the largest width are shown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, Axes, Drawings, Figure, headline, panels, styled
from analysis.selection import cells_with, measured, values_of
from studies.strength.lines import (
    INITS,
    STYLES,
    UNEQUAL,
    UNITS,
    by_weights_and_depth,
    draw_legend,
    draw_line,
    finish,
    first_units,
    grid_of,
    in_words,
    look_of,
    widest,
    widest_measured,
)

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
GAIN_SHOWN = 2.0  # of the measured gain over the predicted one; what is more leaves the axis


@styled
def alignment(data: xr.Dataset) -> Figure:
    """Cosine of the first layer's update with back-propagation's against gamma.

    Wants `cosine` (cell, readout, rule, layer) and `settled_fraction` (cell).
    """
    data = widest(data, lengths=True)

    def draw(axes: Axes, part: xr.Dataset) -> None:
        cosine = part["cosine"].sel(rule="bp", layer=1)  # of the layer furthest from the target
        for (pathway, readout), style in SIGNALS.items():
            draw_line(axes, part, cosine.sel(readout=readout).values, style, pathway=pathway)
        axes.axhline(0, color=COLOURS["grey"], lw=0.6)
        axes.set_ylim(-0.55, 1.08)
        axes.text(0.03, 0.02, _settled(part), transform=axes.transAxes, fontsize=7.5, va="bottom")

    figure = by_weights_and_depth(data, "cosine with BP", draw)
    headline(
        figure,
        "Cosine of the first layer's weight change with back-propagation's, by feedback strength, "
        f"over the images that settled\n({in_words(data)}; means over seeds, 95 % intervals)",
    )
    return figure


def _settled(part: xr.Dataset) -> str:
    """Which share of the images settled at the strongest gamma, over pathways, in words."""
    part = measured(part, "settled_fraction")
    gamma, pathway = part["gamma"].values, part["pathway"].values
    strongest = gamma.max() if gamma.size else np.nan
    means = [
        float(np.mean(part["settled_fraction"].values[(gamma == strongest) & (pathway == one)]))
        for one in dict.fromkeys(pathway[gamma == strongest].tolist())
    ]
    ends = dict.fromkeys(f"{100 * one:.0f}" for one in (min(means), max(means))) if means else ()
    return f"settled at $\\gamma$ = {strongest:g}:\n{' to '.join(ends)} %" if means else ""


@styled
def error(data: xr.Dataset) -> Figure:
    """Relative error of the update against the pathway's own rule, the worst layer, against gamma.

    Wants `relative_error` (cell, readout, rule, layer). A line for every seed: one kink that is
    crossed makes an error of rounding one of a hundredth, and a mean of these says nothing.
    """
    data = widest(data)
    gammas = np.unique(data["gamma"].values)

    def draw(axes: Axes, part: xr.Dataset) -> None:
        for (pathway, readout), style in SIGNALS.items():
            found = part["relative_error"].sel(readout=readout, rule=pathway).values
            worst = np.where(np.isnan(found).all(axis=1), np.nan, _largest(found))
            look = style | {"ms": 2.5, "lw": 0.9}
            for seed in values_of(part, "seed"):
                one = part["seed"].values == seed
                draw_line(axes, part.isel(cell=one), worst[one], look, pathway=pathway)
        axes.plot(gammas, gammas, "-", color=COLOURS["grey"], lw=0.7, label="gamma")
        axes.plot(gammas, gammas**2, ":", color=COLOURS["grey"], lw=1, label="gamma squared")
        axes.set_yscale("log")
        axes.set_ylim(1e-11, 30)

    figure = by_weights_and_depth(data, "relative error", draw)
    headline(
        figure,
        "Relative error of the weight change against that of its pathway's rule, by feedback "
        f"strength\n(worst layer, {in_words(data)}; one line a seed)",
    )
    return figure


@styled
def gain(data: xr.Dataset) -> Figure:
    """Measured gain of the first layer's shift over the predicted one, against gamma.

    Wants `gain_ratio` (cell, layer).
    """
    data = widest(data)
    depths, pathways = values_of(data, "depth"), ["itp", "gait"]
    figure, grid = grid_of(pathways, depths)
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
                    draw_line(axes, part, ratio, look, pathway=pathway, top=GAIN_SHOWN)
            axes.axhline(1, color=COLOURS["grey"], lw=0.6)
            axes.set_ylim(0, GAIN_SHOWN)
            if column == 0:
                axes.set_ylabel(f"{pathway.upper()} pathway\nmeasured / predicted")
    finish(grid, depths)
    draw_legend(grid, -1)
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
    data = widest(data)
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
                    look = look_of(
                        pathway, f"{pathway.upper()}, {UNITS.get(str(units), str(units))}"
                    )
                    look |= {"ls": style}
                    draw_line(axes, part, part["settled_fraction"].values, look, pathway=pathway)
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
                look = look_of(pathway, f"{pathway.upper()}, {init}") | {"ls": style}
                draw_line(
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
    finish(grid, depths)
    for row in (0, -1):
        draw_legend(grid[row : row + 1 or None], 0)
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
    data = widest_measured(data.isel(cell=data["init"].values != UNEQUAL))
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
                        data, init=init, depth=depth, activation=first_units(data, init)
                    )
                    if not part.sizes["cell"]:  # trained weights have one depth and their units
                        continue
                    part = cells_with(part, width=part["width"].values.max())
                    values = part[name].sel(layer=1) if row == 0 else part[name]
                    look = look_of(pathway, f"{pathway.upper()}, {init}") | {"ls": style}
                    draw_line(axes, part, values.values, look, pathway=pathway, logarithm=row < 2)
            if row < 2:
                axes.set_yscale("log")
            else:
                axes.set_ylim(0, 2.1)
            if column == 0:
                axes.set_ylabel(words[row])
    for row, bottom in ((0, 5), (1, 0.5)):  # once all is drawn: it fixes the top as well
        grid[row][0].set_ylim(bottom=bottom)
    finish(grid, depths)
    draw_legend(grid, 0)
    headline(
        figure,
        "Settling time, growth of a perturbation, and largest stable step, by feedback strength\n"
        f"({in_words(data)};\nmeans over seeds, the upper two geometric, 95 % intervals)",
    )
    return figure


def _largest(values: np.ndarray) -> np.ndarray:
    return np.max(np.where(np.isnan(values), -np.inf, values), axis=1)


FIGURES: Drawings = {
    # name -> (variables it needs, function)
    "strength_alignment": (("cosine", "settled_fraction"), alignment),
    "strength_error": (("relative_error",), error),
    "strength_gain": (("gain_ratio",), gain),
    "strength_equilibria": (("settled_fraction",), equilibria),
    "strength_stability": (("settling_time",), time_and_stability),
}
