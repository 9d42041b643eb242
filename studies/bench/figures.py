"""The pictures of study `bench`: cosine with back-propagation in layer 1, rule by rule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import xarray as xr

from analysis.canvas import Axes, Drawings, Figure, headline, panels, styled
from studies.bench.findings import UNITS, combinations, first_layer, of_axis, rules_of

BOTTOM = -0.2  # of the colour scale; nothing that was measured lies below by more than chance


@styled
def fields(data: xr.Dataset, axis: str, label: str, title: str) -> Figure:
    """A field for every rule (rows) and value of the axis (columns), by units and weights; its
    colour and number are means over seeds.

    Wants `bp_cosine` (cell, rule, layer), and the cells' `axis`, `activation`, `init` and values.
    """
    found = of_axis(data, axis)
    rules, pairs = rules_of(found, axis), combinations(found)
    values = np.unique(found[axis].values)
    rows = -(-len(pairs) // 2)
    columns = min(2, len(pairs))
    size = (8.6, rows * (0.75 + 0.21 * len(rules)) + 0.8)
    figure, grid = panels(rows, columns, figsize=size, sharey=True)
    flat = [axes for line in grid for axes in line]
    for axes, (unit, init) in zip(flat, pairs, strict=False):
        chosen = found.isel(
            cell=(found["activation"].values == unit) & (found["init"].values == init)
        )
        means = np.array(
            [
                [_mean(first_layer(chosen, rule, chosen[axis].values == value)) for value in values]
                for rule in rules
            ]
        )
        image = _field(axes, means)
        axes.set_title(f"{UNITS.get(unit, unit)}, {init.replace('_', ' ')} weights", loc="left")
        axes.set_yticks(range(len(rules)), rules)
        axes.set_xticks(range(len(values)), [f"{value:g}" for value in values])
        axes.set_xlabel(label)
    for axes in flat[len(pairs) :]:
        axes.set_visible(False)
    figure.colorbar(image, ax=flat, label="cosine with back-propagation, layer 1", pad=0.02)
    headline(figure, title)
    return figure


def _field(axes: Axes, means: np.ndarray):  # type: ignore[no-untyped-def]  # an image of matplotlib
    image = axes.imshow(means, cmap="cividis", vmin=BOTTOM, vmax=1, aspect="auto")
    for row, column in np.ndindex(*means.shape):
        value = means[row, column]
        if np.isfinite(value):
            colour = "black" if value > 0.45 else "white"
            axes.text(
                column, row, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=colour
            )
    axes.grid(visible=False)
    return image


def _mean(values: np.ndarray) -> float:
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")


def _of(axis: str, label: str, title: str) -> Callable[[xr.Dataset], Figure]:
    return partial(fields, axis=axis, label=label, title=title)


NEEDED = ("bp_cosine",)
FIGURES: Drawings = {
    "bench_layers": (
        NEEDED,
        _of("layers", "layers of the network", "Layer 1 of networks of different depth"),
    ),
    "bench_strength": (
        NEEDED,
        _of(
            "strength",
            "what the theory has to make small (feedback, nudge, loss)",
            "Layer 1 of four, by the strength of feedback, nudge or loss",
        ),
    ),
    "bench_noise": (
        NEEDED,
        _of(
            "noise",
            "standard deviation of rates that are read",
            "Layer 1 of four where rates are read with noise",
        ),
    ),
}
