"""A folder for a cell that takes long, so that a sweep that was ended goes on within the cell.

Owns which folder that is while a cell is measured. A measure that takes minutes may keep there from
time to time what it has, and begin with it; what that is, is the measure's affair. The folder goes
when the cell has a result.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

SUFFIX = ".unfinished"
_place: ContextVar[Path | None] = ContextVar("place", default=None)


def place() -> Path | None:
    """The folder of the cell that is measured, which may not exist yet; None outside a sweep."""
    return _place.get()


@contextmanager
def kept_beside(path: Path) -> Iterator[None]:
    """Within, the cell whose result goes to `path` has a folder beside it.

    It is taken away at the end of the block, but not where an exception ends the block.
    """
    token = _place.set(_beside(path))
    try:
        yield
    finally:
        _place.reset(token)
    forget(path)


def forget(path: Path) -> None:
    """Take away the folder of the cell whose result is in `path`, if it has one."""
    shutil.rmtree(_beside(path), ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_suffix(SUFFIX)
