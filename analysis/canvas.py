"""The pictures of a study: which there are, from what data, and how they are drawn one by one.

Owns the table of drawings and their drawing. The look is `circuit.report.canvas`'s, and is offered
here to all that draw. Does not own what is shown: each study has a file `figures.py`, whose
functions take the labelled dataset that its command saves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from analysis.controls import CONTROLS, FROZEN, NO_HIDDEN
from circuit.report.canvas import (
    COLOURS as OF_RULES,
)
from circuit.report.canvas import (
    MARKERS,
    NAMES,
    Axes,
    Figure,
    headline,
    panels,
    shades,
    styled,
)
from circuit.report.canvas import written as save

__all__ = [
    "COLOURS",
    "CONTROL_LOOKS",
    "MARKERS",
    "NAMES",
    "Axes",
    "Drawings",
    "Figure",
    "control_lines",
    "draw",
    "headline",
    "panels",
    "save",
    "shades",
    "styled",
]

COLOURS = OF_RULES | dict.fromkeys(CONTROLS, "#5F5F5F")
CONTROL_LOOKS: dict[str, dict[str, Any]] = {
    NO_HIDDEN: {"color": COLOURS[NO_HIDDEN], "ls": (0, (1, 1.2)), "lw": 1.6},
    FROZEN: {"color": COLOURS[FROZEN], "ls": (0, (5, 1.5)), "lw": 1.3},
}

Drawings = Mapping[str, tuple[Sequence[str], Callable[[xr.Dataset], Figure]]]


def control_lines(axes: Axes, levels: Mapping[str, float], *, upright: bool = False) -> None:
    """A labelled line across the axes for what each control comes to; none where it is NaN."""
    for name, level in levels.items():
        if math.isfinite(level):
            line = axes.axvline if upright else axes.axhline
            line(level, label=CONTROLS[name], zorder=0, **CONTROL_LOOKS[name])


def draw(
    drawings: Drawings,
    data: xr.Dataset,
    folder: Path,
    *,
    pdf: bool = False,
    warn: Callable[[str, Exception], object] | None = None,
) -> list[Path]:
    """Draw every figure that `data` has the variables for; returns the files.

    Parameters
    ----------
    drawings : name of a figure -> the variables that it needs, and the drawing function
    warn
        Given the name of a figure that cannot be drawn, and why; the others are drawn all the same.
        Without it such a figure raises.
    """
    paths: list[Path] = []
    for name, (needed, function) in drawings.items():
        if not all(variable in data for variable in needed):
            continue
        try:
            paths += save(function(data), folder, name, pdf=pdf)
        except Exception as error:
            if warn is None:
                raise
            warn(name, error)
    return paths
