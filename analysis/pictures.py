"""The pictures of a command, drawn after all its files are written: one that cannot be drawn costs
neither a result nor another picture.

Owns the warning, one line for each that fails, whatever the reason: a matplotlibrc that asks for
what is not installed, a full disk, a value that a drawing function did not expect. Does not own the
pictures, nor how each is drawn (`analysis.canvas`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

    from analysis.canvas import Drawings

MOST_WORDS = 200  # characters of a reason


@dataclass(frozen=True)
class Drawn:
    """What came of the pictures: the files, and the names of those that could not be drawn."""

    files: tuple[Path, ...]
    failed: tuple[str, ...]


def draw(
    program: str,
    drawings: Callable[[], Drawings],
    data: xr.Dataset,
    folder: Path,
    *,
    pdf: bool = False,
) -> Drawn:
    """Draw those that `data` has the variables for.

    Parameters
    ----------
    program : which begins every warning
    drawings : imports the drawing functions, and with them matplotlib, which may fail too
    """
    failed: list[str] = []

    def warn(name: str, error: Exception) -> None:
        failed.append(name)
        words = " ".join(str(error).split())
        if len(words) > MOST_WORDS:
            words = f"{words[:MOST_WORDS]} ..."
        print(
            f"{program}: warning: {name} could not be drawn ({type(error).__name__}: {words})",
            file=sys.stderr,
        )

    try:
        from analysis import canvas

        wanted = drawings()
    except Exception as error:
        warn("pictures", error)
        return Drawn((), tuple(failed))
    files = canvas.draw(wanted, data, folder, pdf=pdf, warn=warn)
    return Drawn(tuple(files), tuple(failed))
