"""The files that the cells of a study are made from: where they lie, and what is in them.

Owns the word for their content that goes into the key of a cell, and results that are kept in
memory only as long as these files are the same.

What a file holds is told by a digest of its bytes, so that a result is found again when the file is
moved, and measured anew when another is put in its place. The digest is found again whenever the
file was touched.
"""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from analysis.sweep.study import Cell, Outside
from circuit.errors import CircuitError
from training import images
from training.own_images import apart

P = ParamSpec("P")
T = TypeVar("T")

Stamp = tuple[str, int, int, int, int]


def content(cell: Cell) -> str:
    """The digests of the images and weights that a cell is made from; "" if of none in a file.

    Data sets that ship with scikit-learn, or that it fetches and verifies, are known by their name.

    Raises `CircuitError` for a file that cannot be read.
    """
    return " ".join(f"{what} {_digest(_stamp(path))}" for what, path in _files(cell).items())


OUTSIDE = Outside(places=("data_dir", "weights", "rule_file"), content=content)


def kept(maxsize: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Keep the last `maxsize` results of a function of a cell's parameters, by these parameters
    and by the state of the files that they name.
    """

    def keeping(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        remembered: Callable[..., T] = lru_cache(maxsize=maxsize)(
            lambda _, *positional, **named: function(*positional, **named)
        )

        @wraps(function)
        def call(*positional: P.args, **named: P.kwargs) -> T:
            given = signature.bind(*positional, **named)
            given.apply_defaults()
            values: dict[str, Any] = {}
            for name, value in given.arguments.items():
                together = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
                values |= value if together else {name: value}
            stamps = tuple(_stamp(path) for path in _files(values).values())
            return remembered(stamps, *positional, **named)

        return call

    return keeping


def _files(cell: Mapping[str, Any]) -> dict[str, Path]:
    """The files that a cell is made from, by what they hold."""
    found = {}
    if cell.get("dataset") is not None:
        folder = cell.get("data_dir")
        path = images.file_of(str(cell["dataset"]), None if folder is None else Path(folder))
        if path is not None and cell["dataset"] == images.OWN:
            found["images"], targets = apart(path)
            if targets is not None:
                found["targets"] = targets
        elif path is not None:
            found["images"] = path
    for what in ("weights", "rule_file"):
        if cell.get(what) is not None:
            found[what] = Path(cell[what])
    return found


def _stamp(path: Path) -> Stamp:
    """What changes when a file is written to or another takes its place; in a folder, any file."""
    try:
        if path.is_dir():
            every = (path, *path.rglob("*"))  # folders tell of renaming
            states = [one.stat() for one in every if one.exists()]
            newest = (max(s.st_mtime_ns for s in states), max(s.st_ctime_ns for s in states))
            size = sum(state.st_size for state in states)
            return (os.path.abspath(path), *newest, size, len(states))
        state = path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    times = (state.st_mtime_ns, state.st_ctime_ns)
    return (os.path.abspath(path), *times, state.st_size, state.st_ino)


@lru_cache(maxsize=16)
def _digest(stamp: Stamp) -> str:
    try:
        if os.path.isdir(stamp[0]):
            digest = hashlib.sha256()
            for one in _inside(Path(stamp[0])):
                digest.update(one.relative_to(stamp[0]).as_posix().encode() + b"\0")
                digest.update(hashlib.sha256(one.read_bytes()).digest())
            return digest.hexdigest()[:24]
        with Path(stamp[0]).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:24]
    except OSError as error:
        raise _unreadable(Path(stamp[0]), error) from None


def _inside(folder: Path) -> list[Path]:
    """The files of a folder and of those in it, in order."""
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _unreadable(path: Path, error: Exception) -> CircuitError:
    words = error.strerror if isinstance(error, OSError) else error
    return CircuitError(f"{path} cannot be read ({words}); put it there, or name another")
