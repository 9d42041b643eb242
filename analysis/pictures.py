"""The pictures of a command, drawn after all its files are written: one that cannot be drawn costs
neither a result nor another picture.

Owns that none of an earlier run is left beside other numbers, and the warning, one line for each
that fails, whatever the reason: a matplotlibrc that asks for what is not installed, a full disk, a
value that a drawing function did not expect.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
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


def put_away(folder: Path, names: Iterable[str]) -> tuple[Path, ...]:
    """Remove the pictures of these names that an earlier run has left, so that they never stand
    beside numbers that are not theirs; returns the files that are gone.
    """
    files = [folder / f"{name}.{kind}" for name in names for kind in ("png", "pdf")]
    gone = tuple(path for path in files if path.is_file())
    for path in gone:
        path.unlink(missing_ok=True)
    return gone


def tell(program: str, gone: Iterable[Path], drawn: Iterable[Path] = ()) -> None:
    """Say which pictures of an earlier run are gone and were not `drawn` anew."""
    lost = [path.name for path in gone if path not in set(drawn)]
    if lost:
        words = f"{', '.join(lost)} of an earlier run {'was' if len(lost) == 1 else 'were'} removed"
        print(f"{program}: {words}", file=sys.stderr)


def draw(
    program: str,
    drawings: Callable[[], Drawings],
    data: xr.Dataset,
    folder: Path,
    *,
    pdf: bool = False,
    gone: Iterable[Path] = (),
) -> Drawn:
    """Draw those that `data` has the variables for; those of an earlier run go.

    Parameters
    ----------
    program : which begins every warning
    drawings : imports the drawing functions, and with them matplotlib, which may fail too
    gone : what was `put_away` before the numbers were written
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
        tell(program, gone)
        return Drawn((), tuple(failed))
    gone = (*gone, *put_away(folder, wanted))
    files = canvas.draw(wanted, data, folder, pdf=pdf, warn=warn)
    tell(program, gone, files)
    return Drawn(tuple(files), tuple(failed))
