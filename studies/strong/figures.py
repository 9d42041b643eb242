"""Pictures of strong feedback: where equilibria lose stability, and branches on their way there.

Owns what the study `strong` shows, drawn from `strong.nc`.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, Axes, Drawings, Figure, headline, panels, styled
from analysis.selection import cells_with, values_of

INKS = {"asinh": COLOURS["gait"], "tanh": COLOURS["itp"]}
CROSSINGS = {  # what crosses the imaginary axis -> its marker and its words
    "fold": ("o", "fold (real)"),
    "Hopf bifurcation": ("D", "Hopf (complex pair)"),
    "branch point": ("P", "branch point (real)"),
}
NEVER = 0.07  # above the largest strength, where branches that never lose stability stand
WIDEST = 4  # panels in a row
RESAMPLES = 2000  # of the bootstrap; its quantiles then wander by less than a line's width


@styled
def critical_strength(data: xr.Dataset) -> Figure:
    """Critical gamma against depth, one panel for each pathway and initialisation.

    Wants `critical_gamma`, `status` (cell) with the coordinates pathway, init, activation, depth,
    seed. Lines are medians over images, with a 95 % bootstrap interval over seeds; a branch that
    never loses stability counts as infinite.
    """
    circuits = _circuits(data)
    activations = values_of(data, "activation")
    depths = np.unique(data["depth"].values)
    largest = float(np.nanmax(data["largest_gamma"].values))
    rows = 1 + (len(circuits) > WIDEST)
    columns = math.ceil(len(circuits) / rows)
    size = (9.0, 0.7 + 2.9 * rows)
    figure, grid = panels(rows, columns, figsize=size, sharex=True, sharey=True)
    for axes in grid.ravel()[len(circuits) :]:
        axes.set_axis_off()
    for axes, (pathway, init) in zip(grid.ravel(), circuits, strict=False):
        for offset, activation in zip((-0.16, 0.16), activations, strict=False):
            for depth in depths:
                part = cells_with(
                    data, pathway=pathway, init=init, activation=activation, depth=depth
                )
                if part.sizes["cell"]:
                    _column(axes, part, float(depth) + offset, INKS[activation], largest)
        axes.axhline(largest, color=COLOURS["grey"], lw=0.8)
        axes.set_title(_named(pathway, init))
        axes.set_xticks(depths)
        axes.set_xlim(float(depths[0]) - 0.6, float(depths[-1]) + 0.6)
    for axes in grid[-1]:
        axes.set_xlabel("hidden layers")
    for axes in grid[:, 0]:
        axes.set_ylabel("critical feedback strength $\\gamma$")
    grid[0][0].set_ylim(0, largest + 2 * NEVER)
    ticks = [0, 0.2, 0.4, 0.6, 0.8]
    grid[0][0].set_yticks([*ticks, largest + NEVER], [*map(str, ticks), "none"])
    _legend(grid[0][-1], activations, sorted(set(data["status"].values.tolist()) & set(CROSSINGS)))
    headline(
        figure,
        "The feedback strength at which the equilibrium is lost, by depth\n(points: images; bars: "
        f"median, 95 % bootstrap interval over seeds; none: stable up to {largest:g})",
    )
    return figure


@styled
def example_branches(data: xr.Dataset) -> Figure:
    """Branches of one image: size of the shift, and leading eigenvalue, against gamma.

    Wants `branch_gamma`, `branch_shift`, `branch_abscissa` (cell, point), NaN in cells that are no
    examples; `linear_gamma`, `linear_abscissa` (cell, strength) of linear units; `critical_gamma`,
    `status` (cell).
    """
    shown = data.isel(cell=np.isfinite(data["branch_gamma"].values).any(axis=1))
    columns = _circuits(shown)
    figure, grid = panels(2, len(columns), figsize=(9.6, 4.8), sharex=True, sharey="row")
    depth = int(shown["depth"].values[0])
    for column, (pathway, init) in enumerate(columns):
        top, bottom = grid[0][column], grid[1][column]
        for activation in values_of(shown, "activation"):
            part = cells_with(shown, pathway=pathway, init=init, activation=activation)
            for cell in range(part.sizes["cell"]):
                _branch(top, bottom, part.isel(cell=cell), INKS[activation])
        linear = cells_with(shown, pathway=pathway, init=init).isel(cell=0)
        bottom.plot(linear["linear_gamma"], linear["linear_abscissa"], ":", color="black", lw=1.2)
        bottom.axhline(0, color=COLOURS["grey"], lw=0.8)
        top.set_yscale("log")
        top.set_title(_named(pathway, init).replace(", ", "\n"))
        bottom.set_ylim(-1.05, 0.5)
        bottom.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", "0.5", "1"])
        bottom.set_xlabel("feedback $\\gamma$")
    grid[0][0].set_ylabel("shift (rate, r.m.s.)")
    grid[1][0].set_ylabel("leading eigenvalue,\nreal part (1/$\\tau$)")
    statuses = sorted(set(shown["status"].values.tolist()) & set(CROSSINGS))
    _legend(grid[0][-1], values_of(shown, "activation"), statuses, lines=True)
    headline(
        figure,
        "Branches of equilibria by feedback strength, and their stability\n"
        f"(one image each, {depth} hidden layers; solid: stable, dashed: unstable, dotted: linear "
        "units)",
    )
    return figure


FIGURES: Drawings = {
    "strong_critical": (("critical_gamma",), critical_strength),
    "strong_branches": (("branch_gamma",), example_branches),
}


def _circuits(data: xr.Dataset) -> list[tuple[str, str]]:
    """Which (pathway, initialisation) there are, in the order of the cells."""
    pairs = zip(data["pathway"].values.tolist(), data["init"].values.tolist(), strict=True)
    return list(dict.fromkeys(pairs))


def _named(pathway: str, init: str) -> str:
    return f"{pathway.upper()}, {init.replace('_', ' ')}"


def _column(axes: Axes, part: xr.Dataset, x: float, ink: str, largest: float) -> None:
    """All images at one depth, with their median."""
    critical, statuses = part["critical_gamma"].values, part["status"].values
    seeds = part["seed"].values
    spread = np.linspace(-0.1, 0.1, len(critical)) if len(critical) > 1 else np.zeros(1)
    for status, (marker, _) in CROSSINGS.items():
        one = statuses == status
        axes.plot(
            x + spread[one], critical[one], marker, ms=4, mfc="none", mew=0.9, color=ink, alpha=0.7
        )
    followed = np.isfinite(critical) | (statuses == "stable to the largest parameter")
    never = followed & ~np.isfinite(critical)
    if never.any():
        axes.plot(x, largest + NEVER, "^", ms=2 + 5 * never.sum() / followed.sum(), color=ink)
    if followed.any():
        value = np.where(np.isfinite(critical), critical, np.inf)[followed]
        middle, low, high = _median(value, seeds[followed])
        if math.isfinite(middle):
            axes.plot([x - 0.16, x + 0.16], [middle] * 2, "-", color=ink, lw=2)
            axes.plot([x, x], [low, min(high, largest)], "-", color=ink, lw=1.2)


def _median(values: np.ndarray, seeds: np.ndarray) -> tuple[float, float, float]:
    """The median and its 95 % interval when seeds, with all their images, are drawn anew."""
    groups = [values[seeds == seed] for seed in np.unique(seeds)]
    generator = np.random.default_rng(0)
    draws = generator.integers(0, len(groups), (RESAMPLES, len(groups)))
    medians = [_middle(np.concatenate([groups[i] for i in draw])) for draw in draws]
    low, high = np.quantile(medians, [0.025, 0.975], method="inverted_cdf")
    return _middle(values), float(low), float(high)


def _middle(values: np.ndarray) -> float:
    """The lower median: a value that occurs, also where the upper half is infinite."""
    return float(np.sort(values)[(len(values) - 1) // 2])


def _branch(top: Axes, bottom: Axes, cell: xr.Dataset, ink: str) -> None:
    """One branch in both panels, its unstable part dashed, its loss of stability marked."""
    there = np.isfinite(cell["branch_gamma"].values)
    gamma, shift, abscissa = (
        cell[name].values[there] for name in ("branch_gamma", "branch_shift", "branch_abscissa")
    )
    stable = abscissa < 0
    for axes, value in ((top, shift), (bottom, abscissa)):
        for piece, style in ((stable, "-"), (~stable, "--")):
            # a piece keeps the point at which it meets the other
            wide = piece | np.roll(piece, 1) & (np.arange(len(piece)) > 0)
            axes.plot(
                np.where(wide, gamma, np.nan),
                np.where(wide, value, np.nan),
                style,
                color=ink,
                lw=1.4,
            )
    critical, status = float(cell["critical_gamma"].values), str(cell["status"].values)
    if math.isfinite(critical):
        marker, first = CROSSINGS[status][0], int(np.argmin(stable))
        height = math.sqrt(shift[first - 1] * shift[first])
        top.plot(critical, height, marker, ms=6, color=ink)
        bottom.plot(critical, 0, marker, ms=6, color=ink)


def _legend(
    axes: Axes, activations: list[str], statuses: list[str], *, lines: bool = False
) -> None:
    """Colours and markers in words, right of the last panel."""
    for activation in activations:
        axes.plot([], [], "-", lw=2, color=INKS[activation], label=activation)
    for status in statuses:
        marker, words = CROSSINGS[status]
        axes.plot([], [], marker, ms=5, mfc="none", color="black", label=words)
    if not lines:
        axes.plot([], [], "^", ms=5, color="black", label="never lost (size:\nfraction of images)")
    axes.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
