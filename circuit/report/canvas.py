"""The look of every picture, and the one file that imports matplotlib.

Owns the style, and how a figure is begun and written.

No figure belongs to pyplot: the user's backend, open windows and settings stay as they are, and
what the user's matplotlibrc says does not show in a picture.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib import figure as figures
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from circuit.storage.files import write_atomically

__all__ = [
    "COLOURS",
    "MARKERS",
    "NAMES",
    "Axes",
    "Figure",
    "headline",
    "panels",
    "shades",
    "style",
    "styled",
    "written",
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
}


@contextmanager
def style() -> Iterator[None]:
    """Our style on top of matplotlib's own, whatever a matplotlibrc says: TeX, which may not be
    installed, is not used. Afterwards all is as it was, the backend included.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


class Figure(figures.Figure):
    """A figure that is written in this style too (labels of ticks are made only then), and that a
    notebook shows by itself.
    """

    def savefig(self, *arguments: Any, **options: Any) -> None:
        """As matplotlib's."""
        with style():
            super().savefig(*arguments, **options)

    def write_png(self, file: Path | io.BytesIO) -> None:
        """As `savefig` of a PNG file, to the bit, which draws all once more to find the layout."""
        with style():
            FigureCanvasAgg(self).print_png(file)

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.write_png(picture)
        return picture.getvalue()


Draw = TypeVar("Draw", bound=Callable[..., Figure])


def styled(draw: Draw) -> Draw:
    """A drawing function that draws in this project's style."""

    @functools.wraps(draw)
    def in_style(*arguments: Any, **options: Any) -> Figure:
        with style():
            return draw(*arguments, **options)

    return in_style  # type: ignore[return-value]


def panels(
    rows: int = 1, columns: int = 1, *, figsize: tuple[float, float] | None = None, **options: Any
) -> tuple[Figure, np.ndarray]:
    """A new figure with an array (rows, columns) of axes; `options` as of `Figure.subplots`."""
    figure = Figure(figsize=figsize)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def headline(figure: Figure, text: str) -> None:
    """The message of the figure, at its top left."""
    figure.suptitle(text, fontsize=10, x=0.02, ha="left")


def shades(count: int) -> np.ndarray:
    """`count` colours in order, dark to light, (count, 4)."""
    return mpl.colormaps["cividis"](np.linspace(0.05, 0.9, count))


def written(figure: Figure, folder: Path, name: str, *, pdf: bool = False) -> list[Path]:
    """Write as PNG, and as PDF on request; returns the files."""
    paths = [folder / f"{name}.png"]
    write_atomically(paths[0], figure.write_png)
    if pdf:
        paths.append(folder / f"{name}.pdf")
        write_atomically(paths[1], figure.savefig)
    return paths
