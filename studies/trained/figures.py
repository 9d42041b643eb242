"""Pictures of the study `trained`: alignment and stability before and after training.

Lines are means over seeds, bands their 95 % intervals (Student's t) where three seeds or more are
there. A line ends where no image settled.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, MARKERS, Axes, Drawings, Figure, headline, panels, styled
from analysis.selection import cells_with, values_of
from analysis.statistics import FEWEST, over_repetitions
from studies.trained.findings import by_gamma, first_cosine, teachers

DASHES = {True: "-", False: ":"}  # with a lambda, and without


@styled
def alignment(data: xr.Dataset) -> Figure:
    """Cosine of the first layer's weight change with back-propagation's, by feedback strength."""
    figure, grid = _by_pathway(data, {"cosine with BP, layer 1": first_cosine})
    for axes in grid[0]:
        axes.axhline(1, color=COLOURS["grey"], lw=0.6)
    headline(
        figure,
        "Cosine of the first layer's weight change with back-propagation's, before and after "
        f"training\n({_words(data)})",
    )
    return figure


@styled
def stability(data: xr.Dataset) -> Figure:
    """Images that settled, and the leading eigenvalue, by feedback strength."""
    rows = {
        "images that settled": lambda part: np.asarray(part["settled_fraction"].values),
        "spectral abscissa (1/tau)": lambda part: np.asarray(part["spectral_abscissa"].values),
    }
    figure, grid = _by_pathway(data, rows)
    for axes in grid[1]:
        axes.axhline(0, color=COLOURS["grey"], lw=0.6)
    headline(
        figure,
        "Images whose circuit settles, and the leading eigenvalue there, before and after "
        f"training\n({_words(data)})",
    )
    return figure


FIGURES: Drawings = {
    "trained_alignment": (("cosine",), alignment),
    "trained_stability": (("settled_fraction", "spectral_abscissa"), stability),
}


def _by_pathway(
    data: xr.Dataset, rows: dict[str, Callable[[xr.Dataset], np.ndarray]]
) -> tuple[Figure, np.ndarray]:
    """A row for each quantity, a column for each pathway, a line for each kind of network."""
    pathways = values_of(data, "pathway")
    figure, grid = panels(
        len(rows),
        len(pathways),
        figsize=(8.6, 1.0 + 2.6 * len(rows)),
        sharex=True,
        sharey="row",
    )
    for line, (words, quantity) in zip(grid, rows.items(), strict=True):
        line[0].set_ylabel(words)
        for axes, pathway in zip(line, pathways, strict=True):
            for name, teacher, cells in teachers(data):
                part = cells_with(cells, pathway=pathway)
                _line(axes, part, quantity(part), name, teacher)
            axes.set_xscale("log")
    for axes, pathway in zip(grid[0], pathways, strict=True):
        axes.set_title(f"{pathway.upper()} pathway")
    for axes in grid[-1]:
        axes.set_xlabel("feedback strength gamma")
    grid[0][-1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure, grid


def _line(axes: Axes, part: xr.Dataset, values: np.ndarray, name: str, teacher: str) -> None:
    gammas, table = by_gamma(part, values)
    mean, half = over_repetitions(table)
    colour = COLOURS.get(teacher, COLOURS["grey"])
    dashes = DASHES[bool((part["orthogonality"].values > 0).all())]
    axes.plot(
        gammas, mean, dashes, color=colour, marker=MARKERS.get(teacher, "x"), ms=4, label=name
    )
    if len(table) >= FEWEST:
        axes.fill_between(gammas, mean - half, mean + half, color=colour, alpha=0.15, lw=0)


def _words(data: xr.Dataset) -> str:
    seeds = len(values_of(data, "seed"))
    return (
        f"{data['dataset'].values[0]}, {int(data['depth'].values[0])} hidden layers of "
        f"{int(data['width'].values[0])} units, {int(data['epochs'].values[0])} epochs; "
        f"{seeds} seeds, 95 % intervals"
    )
