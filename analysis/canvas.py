"""The look of every picture, and the one file that imports matplotlib.

Owns colours, style, and how a figure is begun and saved. Does not own what is shown: each study has
a file of its own in this folder, whose functions take the labelled dataset that its command saves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from circuit.storage.files import write_atomically

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

# Okabe and Ito (2008): told apart also by colour-blind readers
COLOURS = {
    "circuit": "#000000",
    "grait": "#56B4E9",
    "gait": "#0072B2",
    "itp": "#D55E00",
    "tp": "#E69F00",
    "bp": "#009E73",
    "brian2": "#CC79A7",
    "grey": "#8C8C8C",
}
MARKERS = {"grait": "P", "gait": "o", "itp": "s", "tp": "^", "bp": "D", "brian2": "v"}
NAMES = {
    "grait": "GRAIT-prop",
    "gait": "GAIT-prop",
    "itp": "ITP",
    "tp": "target propagation",
    "bp": "back-propagation",
}
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 130,
    "text.usetex": False,  # words are no TeX, and it may not be installed
}


def save(figure: Figure, folder: Path, name: str, *, pdf: bool = False) -> list[Path]:
    """Save as PNG, and as PDF on request; returns the files."""
    paths = [folder / f"{name}.{kind}" for kind in (("png", "pdf") if pdf else ("png",))]
    for path in paths:
        with plt.rc_context({"text.usetex": False}):  # labels of ticks are made only now
            write_atomically(path, figure.savefig)
    plt.close(figure)
    return paths


Draw = TypeVar("Draw", bound=Callable[..., Figure])


def styled(draw: Draw) -> Draw:
    """A drawing function that draws in this project's style."""

    @functools.wraps(draw)
    def in_style(*arguments: Any, **options: Any) -> Figure:
        with plt.rc_context(STYLE):
            return draw(*arguments, **options)

    return in_style  # type: ignore[return-value]


def panels(rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, np.ndarray]:
    """A new figure with an array (rows, columns) of axes; `options` as of `plt.subplots`."""
    return plt.subplots(rows, columns, squeeze=False, **options)


def headline(figure: Figure, text: str) -> None:
    """The message of the figure, at its top left."""
    figure.suptitle(text, fontsize=10, x=0.02, ha="left")


def shades(count: int) -> np.ndarray:
    """`count` colours in order, dark to light, (count, 4)."""
    return plt.get_cmap("cividis")(np.linspace(0.05, 0.9, count))


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
        open_figures = plt.get_fignums()
        try:
            paths += save(function(data), folder, name, pdf=pdf)
        except Exception as error:
            for number in set(plt.get_fignums()).difference(open_figures):
                plt.close(number)
            if warn is None:
                raise
            warn(name, error)
    return paths
