"""One figure of a settled circuit: how large its shifts are, and whose weight change it carries.

Owns what is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from circuit.report.canvas import (
    COLOURS,
    MARKERS,
    NAMES,
    Axes,
    Figure,
    headline,
    panels,
    styled,
)
from circuit.report.comparison import LayerReport, Report

MOST_TICKS = 12  # layers that are numbered one by one


@styled
def picture(found: Report) -> Figure:
    """Sizes of the shifts; cosine and relative error of the update against each rule's."""
    layers = [layer.layer for layer in found.layers]
    figure, ((sizes, cosines, errors),) = panels(1, 3, figsize=(11.4, 3.6))

    def values(of: Callable[[LayerReport], float]) -> np.ndarray:
        each = np.array([of(layer) for layer in found.layers], dtype=float)
        return np.where(np.isfinite(each), each, np.nan)

    sizes.plot(
        layers,
        values(lambda layer: layer.log10_prediction),
        "o",
        ms=11,
        markerfacecolor="none",
        color=COLOURS[found.pathway],
        label="predicted",
    )
    sizes.plot(layers, values(lambda layer: layer.log10_shift), "k.-", label="in the circuit")
    floor = values(lambda layer: layer.log10_floor)
    sizes.plot(layers, floor, "--", color=COLOURS["grey"], label="rounding of a rate")
    for row, (rule, wide) in enumerate(_rules(found)):
        style: Any = {
            "color": COLOURS[rule],
            "marker": MARKERS[rule],
            "label": NAMES[rule],
            "markerfacecolor": "none" if row % 2 else COLOURS[rule],
            "markersize": 5 + 3 * (row % 2),  # ring upon ring, so that rules that agree are seen
        }
        cosines.plot(layers, wide[:, 0], **style)
        errors.plot(layers, wide[:, 1], **style)
    bound = values(lambda layer: layer.bound)
    errors.plot(layers, bound, "--", color=COLOURS["grey"], label="bound for its own rule")
    errors.set_yscale("log")
    for axes, words in zip(
        (sizes, cosines, errors),
        ("$\\log_{10}$ of the shift's norm", "cosine with the rule's update", "relative error"),
        strict=True,
    ):
        _labelled(axes, layers, words)
    sizes.legend(fontsize=8.5)
    errors.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    record = found.record
    headline(
        figure, f"{', '.join(record._words()[:2])}; {', '.join(record.trial.circuit._words())}"
    )
    return figure


def _rules(found: Report) -> list[tuple[str, np.ndarray]]:
    """Rules that have an update, each with (layer, [cosine, relative error])."""
    chosen = []
    for rule in found.layers[0].updates:
        each = [layer.updates[rule] for layer in found.layers]
        if rule in NAMES and all(entry is not None for entry in each):
            pairs = [(entry.cosine, entry.relative_error) for entry in each if entry is not None]
            chosen.append((rule, np.array(pairs)))
    return chosen


def _labelled(axes: Axes, layers: list[int], words: str) -> None:
    axes.set_xlabel("layer (the last is the output)")
    axes.set_ylabel(words)
    if len(layers) <= MOST_TICKS:
        axes.set_xticks(layers)
