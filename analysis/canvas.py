"""The pictures of a study: which there are, from what data, and how they are drawn one by one.

Owns the table of drawings and their drawing. The look is `circuit.report.canvas`'s, and is offered
here to all that draw. Does not own what is shown: each study has a file `figures.py`, whose
functions take the labelled dataset that its command saves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import xarray as xr

from circuit.report.canvas import (
    COLOURS,
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
    "MARKERS",
    "NAMES",
    "Axes",
    "Drawings",
    "Figure",
    "draw",
    "headline",
    "panels",
    "save",
    "shades",
    "styled",
]

Drawings = Mapping[str, tuple[Sequence[str], Callable[[xr.Dataset], Figure]]]


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
