"""The folder that a command has written, opened in a session.

Owns which files belong to it. Does not own what is in them, which each command documents.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuit.errors import CircuitError
from circuit.records.brief import Brief, Rows, counted

if TYPE_CHECKING:
    import xarray as xr

MOST_WORDS = 60


@dataclass(frozen=True, eq=False, repr=False)
class Results(Brief):
    """What a command has written.

    Attributes
    ----------
    folder : where
    summary : of `summary.json`; empty where there is none
    pictures : the figures, by name

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from circuit.storage import open_results
    >>> with TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "summary.json").write_text('{"gamma": 0.01}')
    ...     found = open_results(folder)
    >>> found.summary["gamma"], dict(found.pictures)
    (0.01, {})
    """

    folder: Path
    summary: Mapping[str, Any]
    pictures: Mapping[str, Path]

    @cached_property
    def data(self) -> Mapping[str, xr.Dataset]:
        """The labelled arrays by name, such as `data["equilibrium"]`, read when first asked for."""
        return {path.stem: read_dataset(path) for path in _files(self.folder, ".nc")}

    def _words(self) -> list[str]:
        names = [path.stem for path in _files(self.folder, ".nc")]
        verdict = self.summary.get("verdict")
        said = [] if verdict is None else [_start(verdict)]
        return [self.folder.name, *names, counted(len(self.pictures), "picture"), *said]

    def _rows(self) -> Rows:
        plain = [(key, value) for key, value in self.summary.items() if not isinstance(value, dict)]
        return [("", ""), *((key, _start(value)) for key, value in plain)] if plain else []


def open_results(folder: str | os.PathLike[str]) -> Results:
    """What a command has written to its `--output`.

    Raises `CircuitError` for a folder that is not there, has no results, or whose summary is
    damaged.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from circuit import open_results
    >>> with TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "summary.json").write_text('{"converged": true}')
    ...     print(open_results(folder).summary)
    {'converged': True}
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise CircuitError(f"results {path}: no such folder; give the --output of a command")
    summary, arrays = path / "summary.json", _files(path, ".nc")
    if not (summary.exists() or arrays):
        raise CircuitError(f"results {path}: it holds none; give the --output of a command")
    content: Any = {}
    if summary.exists():
        try:
            content = json.loads(summary.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            words = " ".join(str(error).split())
            raise CircuitError(
                f"{summary} cannot be read ({words}); run the command anew"
            ) from None
        if not isinstance(content, dict):
            raise CircuitError(f"{summary} is no summary of a command; run the command anew")
    pictures = {one.stem: one for one in _files(path, ".png")}
    return Results(path, content, pictures)


def read_dataset(path: Path) -> xr.Dataset:
    """A NetCDF file (version 3) in memory. Raises `CircuitError` where it is none."""
    import xarray as xr

    try:
        # SciPy would map the file into memory, and warn where an array outlives it
        with xr.open_dataset(path, engine="scipy", mmap=False) as dataset:
            return dataset.load()
    except Exception as error:  # a damaged header can mislead the reader into any exception
        words = " ".join(str(error).split())
        raise CircuitError(
            f"{path} is no NetCDF file of this project, or damaged ({type(error).__name__}: "
            f"{words}); remove it and make it again"
        ) from None


def _files(folder: Path, ending: str) -> list[Path]:
    """The finished files of a folder: those half written begin with a dot."""
    names = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in names if path.suffix == ending and not path.name.startswith(".")]


def _start(value: object) -> str:
    words = " ".join(str(value).split())
    return words if len(words) <= MOST_WORDS else f"{words[:MOST_WORDS]}..."
