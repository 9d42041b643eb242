"""Results on disk: labelled arrays as NetCDF, summaries as JSON, each written whole or not at all.

Owns file formats and the atomic replacement of files.
"""

from __future__ import annotations

import json
import math
import platform
import tempfile
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from circuit.errors import CircuitError
from circuit.storage.files import REMEDY, write_atomically
from circuit.storage.results import read_dataset

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["dump", "output_folder", "read_dataset", "versions", "write_dataset", "write_json"]

PACKAGES = ("gait-circuit", "brian2", "numpy", "scipy", "matplotlib", "xarray", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def output_folder(path: Path) -> Path:
    """`path` as a folder that can be written to, made if need be.

    Raises `CircuitError` naming the folder where that cannot be.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, ValueError) as error:  # a ValueError of a name that no folder can have
        words = error.strerror if isinstance(error, OSError) else error
        raise CircuitError(
            f"output folder {path} cannot be written to ({words}); give another --output"
        ) from None
    return path


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content`; NaN and infinities, which JSON lacks, become null."""
    text = json.dumps(_plain(content), indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda name: name.write_text(text, encoding="utf-8"))


def write_dataset(path: Path, dataset: xr.Dataset, *, remedy: str = REMEDY) -> None:
    """Write a NetCDF file (version 3, through SciPy) that xarray opens without further packages."""
    write_atomically(path, lambda name: dump(dataset, name), remedy=remedy)


def dump(dataset: xr.Dataset, path: Path) -> None:
    """The bytes of `to_netcdf(engine="scipy")`, which loads Dask to ask whether it runs.

    (A quarter of a second.)
    """
    from xarray.backends import ScipyDataStore

    store = ScipyDataStore(str(path), mode="w", lock=False)  # nobody else knows the name
    try:
        dataset.dump_to_store(store)
    finally:
        store.close()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value
