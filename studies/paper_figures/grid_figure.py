"""The picture of the grid search: validation accuracy over learning rate and lambda.

Owns what `run_figures` draws from `grid.nc`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.canvas import Axes, Figure, headline, panels, styled
from analysis.comparison import NAMES, best_of_grid, grid_tables

UNITS = {"leaky_relu": "leaky-ReLU", "linear": "linear"}


@styled
def grid_search(data: xr.Dataset) -> Figure:
    """Validation accuracy over learning rate and lambda, one panel a rule, rows by units."""
    tables, best = grid_tables(data), best_of_grid(data)
    activations = list(dict.fromkeys(activation for activation, _ in tables))
    rules = list(dict.fromkeys(rule for _, rule in tables))
    heights = [
        max(len(table[1]) for key, table in tables.items() if key[0] == activation)
        for activation in activations
    ]
    figure, axes_grid = panels(
        len(activations),
        len(rules),
        figsize=(9.4, 1.7 + 0.42 * sum(heights) + 0.5 * len(heights)),
        gridspec_kw={"height_ratios": [height + 0.3 for height in heights]},
        sharey="row",
    )
    for line, activation in zip(axes_grid, activations, strict=True):
        for axes, rule in zip(line, rules, strict=True):
            table = _with_all(tables[activation, rule], tables[activation, rules[0]][1])
            _heat_map(axes, table, best.get((activation, rule)))
            axes.set_title(NAMES[rule].replace(" hidden", "\nhidden"))
        line[0].set_ylabel(f"{UNITS[activation]}\nlambda")
    for axes in axes_grid[-1]:
        axes.set_xlabel("learning rate")
    seeds = len(np.unique(data["seed"].values))
    headline(
        figure,
        "Validation accuracy (%) by learning rate and lambda; framed: the best of each rule"
        f"\n{size_of(data)}, {seeds} seed{'s' if seeds > 1 else ''}",
    )
    return figure


def _heat_map(
    axes: Axes,
    table: tuple[np.ndarray, np.ndarray, np.ndarray],
    best: tuple[float, float, float] | None,
) -> None:
    """Accuracies as colours and numbers, the best framed."""
    rates, strengths, accuracy = table
    axes.imshow(100 * accuracy, cmap="cividis", vmin=0, vmax=100, aspect="auto", origin="lower")
    for (row, column), value in np.ndenumerate(accuracy):
        if np.isfinite(value):
            colour = "white" if value < 0.55 else "black"
            chosen = best is not None and best[:2] == (float(rates[column]), float(strengths[row]))
            frame = {"boxstyle": "square,pad=0.25", "fc": "none", "ec": colour, "lw": 1.6}
            axes.text(
                column,
                row,
                f"{100 * value:.1f}",
                ha="center",
                va="center",
                fontsize=8,
                color=colour,
                bbox=frame if chosen else None,
            )
    axes.set_xticks(range(len(rates)), [_short(rate) for rate in rates], fontsize=8)
    axes.set_yticks(range(len(strengths)), [_short(strength) for strength in strengths])


def _with_all(
    table: tuple[np.ndarray, np.ndarray, np.ndarray], strengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A table with a row for each of `strengths`, NaN where it had none."""
    rates, own, accuracy = table
    wide = np.full((len(strengths), len(rates)), np.nan)
    wide[np.searchsorted(strengths, own)] = accuracy
    return rates, strengths, wide


def _short(number: float) -> str:
    return f"{number:.0e}".replace("e-0", "e-") if 0 < number < 0.01 else f"{number:g}"


def size_of(data: xr.Dataset) -> str:
    """What was trained on, in a few words."""
    images = data["train_images"].values[0]
    count = "all" if not np.issubdtype(type(images), np.number) or np.isnan(images) else int(images)
    pixels = "/".join(dict.fromkeys(str(one).split("-")[0] for one in data["widths"].values))
    epochs = int(np.max(data["epochs"].values))
    return f"{pixels} pixels, {count} training images, {epochs} epoch{'s' if epochs > 1 else ''}"
