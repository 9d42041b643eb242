"""Pictures of the bench, drawn from `bench.nc`."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.canvas import Drawings, Figure, headline, panels, styled

LEAST = 1e-3  # degrees: smaller angles are drawn there
LABEL, MOST_HEIGHT = 0.21, 2.45  # of a label, and of the highest, in powers of ten
READINGS = {"target": "o", "response": "s", "contrast": "^"}


@styled
def cosines(data: xr.Dataset) -> Figure:
    """Cosine with back-propagation, rule by rule and layer by layer, with its number in the field.

    Wants `bp_cosine` (rule, layer), `settled` (rule).
    """
    values, settled = data["bp_cosine"].values, data["settled"].values
    rules, layers = [str(rule) for rule in data["rule"].values], data["layer"].values
    size = (min(8.6, 2.6 + 0.75 * len(layers)), 1.3 + 0.27 * len(rules))
    figure, ((axes,),) = panels(figsize=size)
    image = axes.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    numbered = len(layers) <= 10
    for row in range(len(rules)):
        for column in range(len(layers) if numbered else 0):
            value = values[row, column]
            if np.isfinite(value):
                dark = value > 0.5
                colour = "black" if dark else "white"
                words = f"{value:.3f}"
                axes.text(column, row, words, ha="center", va="center", fontsize=8, color=colour)
    names = [
        name if part == 1 else f"{name} ({part:.0%} settled)"
        for name, part in zip(rules, settled, strict=True)
    ]
    axes.set_yticks(range(len(rules)), names)
    shown = range(len(layers)) if len(layers) <= 12 else range(0, len(layers), len(layers) // 10)
    axes.set_xticks(list(shown), [str(layers[i]) for i in shown])
    axes.set(xlabel="layer (the last is the output)")
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, label="cosine with back-propagation", pad=0.02)
    headline(figure, "Weight changes of every rule beside back-propagation's")
    return figure


@styled
def prices(data: xr.Dataset) -> Figure:
    """Passes over the layers against the angle to back-propagation in layer 1.

    Wants `bp_cosine` (rule, layer), `passes`, `reading` (rule).
    """
    figure, ((axes,),) = panels(figsize=(8.6, 4.4))
    angle = np.degrees(np.arccos(np.clip(data["bp_cosine"].values[:, 0], -1, 1)))
    passes = data["passes"].values
    shown = np.flatnonzero(np.isfinite(angle))
    heights = np.log10(np.maximum(angle, LEAST))
    places = _apart(passes, heights, shown)
    for i in shown:
        marker = READINGS[str(data["reading"].values[i])]
        axes.plot(passes[i], 10 ** heights[i], marker, color="black", ms=5, mfc="none")
        axes.annotate(
            str(data["rule"].values[i]),
            (passes[i], 10 ** heights[i]),
            xytext=(passes[i] * 1.13, 10 ** places[i]),
            va="center",
            fontsize=8.5,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "0.6"},
        )
    right = 2 * float(np.nanmax(passes, initial=2))
    axes.set(xscale="log", yscale="log", xlim=(0.8, right), ylim=(LEAST / 12, 400))
    axes.set_xlabel("passes over the layers beside the forward pass")
    axes.set_ylabel("angle to back-propagation in layer 1 (degrees)")
    ticks = [1e-3, 1e-2, 0.1, 1, 10, 90]
    axes.set_yticks(ticks, ["0.001 or less", "0.01", "0.1", "1", "10", "90"])
    axes.minorticks_off()
    for reading, marker in READINGS.items():
        axes.plot([], [], marker, color="black", ms=5, mfc="none", label=f"reads a {reading}")
    axes.legend(loc="lower right")
    headline(figure, "Angle to back-propagation in layer 1, and passes over the layers")
    return figure


def _apart(passes: np.ndarray, heights: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Heights of labels (log10), so that those of points with alike passes do not overlap."""
    places = heights.copy()
    columns = np.round(4 * np.log10(passes[shown])) if len(shown) else passes[shown]
    for column in np.unique(columns):
        inside = shown[columns == column]
        inside = inside[np.argsort(heights[inside], kind="stable")]
        # from the top down, each at most where the one above leaves room, then as low as that asks
        ceiling = MOST_HEIGHT
        for i in inside[::-1]:
            places[i] = min(places[i] + 0.5 * LABEL * (len(inside) > 1), ceiling)
            ceiling = places[i] - LABEL
    return places


@styled
def linear_theory(data: xr.Dataset) -> Figure:
    """Cosine of shifts with back-propagation's in the linear network: theory and measurement.

    Wants `linear_measured`, `linear_predicted` (rule, layer).
    """
    known = [i for i in range(data.sizes["rule"]) if np.isfinite(data["linear_predicted"][i]).any()]
    columns = 5
    rows = max(1, -(-len(known) // columns))
    layers = data["layer"].values
    figure, grid = panels(rows, columns, figsize=(8.6, 1.45 * rows + 1.0), sharex=True, sharey=True)
    flat = [axes for line in grid for axes in line]
    for axes, i in zip(flat, known, strict=False):
        axes.plot(layers, data["linear_predicted"].values[i], "-", color="0.6", lw=3)
        axes.plot(layers, data["linear_measured"].values[i], "o", color="black", ms=3.5)
        axes.set_title(str(data["rule"].values[i]), loc="left")
        axes.set_ylim(-0.3, 1.08)
    for axes in flat[len(known) :]:
        axes.set_visible(False)
    for line in grid:
        line[0].set_ylabel("cosine")
    for axes in grid[-1]:
        axes.set_xlabel("layer")
    apart = np.nanmax(np.abs(data["linear_measured"].values - data["linear_predicted"].values))
    headline(
        figure,
        "Shifts beside back-propagation's in the network with linear units\n"
        f"(grey: theory; dots: measured; largest difference {apart:.0e})",
    )
    return figure


BENCH: Drawings = {
    "bench_cosine": (("bp_cosine", "settled"), cosines),
    "bench_price": (("bp_cosine", "passes", "reading"), prices),
    "bench_linear": (("linear_measured", "linear_predicted"), linear_theory),
}
