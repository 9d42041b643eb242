"""What is measured, on disk: a file for each cell, and all of them as one labelled dataset.

Owns the files of cells and how their results are joined. Does not own what a cell is, nor its key
(`analysis.sweep.study`).

A result is kept in FOLDER/STUDY/cells/KEY.nc. The file holds a digest of all its bytes: what is
damaged, cut short or left empty is never taken for a result.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from analysis import records
from analysis.sweep.parameters import column
from analysis.sweep.study import Cell, Study
from circuit.errors import CircuitError

MISSING = "missing"  # status of a cell that is not on disk

SEAL = b"sha256:"
# as NetCDF 3 writes an attribute: length and name, type (2, letters), length and value
SEALED = re.compile(
    rb"\0\0\0\x06digest\0\0\0\0\0\x02\0\0\0\x47" + SEAL + rb"([0-9a-f]{64})", re.DOTALL
)
UNSEALED = "0" * 64


def store(study: Study, cell: Cell, folder: Path, result: xr.Dataset) -> None:
    """Write the `storable` result of a cell, whole or not at all.

    Raises `CircuitError` where that cannot be.
    """
    result = result.assign_attrs(
        study=study.name,
        study_version=study.version,
        parameters=study.identity(cell),
        packages=_versions(),
        digest=SEAL.decode() + UNSEALED,
    )

    def write(name: Path) -> None:
        records.dump(result, name)
        name.write_bytes(_sealed(name.read_bytes()))

    remedy = "make room, then run again to go on"
    records.write_atomically(study.path(cell, folder), write, remedy=remedy)


def _sealed(content: bytes) -> bytes:
    """The bytes of a file, its digest filled in: that of the bytes with 64 zeros in its place."""
    (found,) = SEALED.finditer(content)
    at, end = found.span(1)
    blank = content[:at] + UNSEALED.encode() + content[end:]
    return content[:at] + hashlib.sha256(blank).hexdigest().encode() + content[end:]


def _is_whole(content: bytes) -> bool:
    """Whether every byte of a file is as it was written."""
    return len(SEALED.findall(content)) == 1 and _sealed(content) == content


@cache
def _versions() -> str:
    return json.dumps(records.versions())


def stored(study: Study, cell: Cell, folder: Path) -> xr.Dataset | None:
    """The result of a cell, or None if it is not on disk, or not whole, or not of this cell."""
    path = study.path(cell, folder)
    try:
        content = path.read_bytes()
        result = records.read_dataset(path)
        about = result.attrs
        if about["parameters"] != study.identity(cell):
            return None
        if _is_whole(content) or _was_whole(result):
            return result
    except FileNotFoundError:
        return None
    except Exception:  # damage can mislead the reader into any exception
        return None
    return None


def _was_whole(result: xr.Dataset) -> bool:
    """The same of a file from before the digest was that of all bytes: it covered what is measured,
    and of the rest what is read must be readable.
    """
    packages = json.loads(result.attrs["packages"])
    return bool(result.attrs["digest"] == _digest(result)) and isinstance(packages, dict)


def storable(study: Study, result: xr.Dataset) -> xr.Dataset:
    """`result` with integers as int32 or, where they do not fit, float64: all that NetCDF 3 has.

    Raises `CircuitError` for what cannot be stored or joined to the study's other cells.
    """
    if not isinstance(result, xr.Dataset):
        raise CircuitError(f"a measure returned {type(result).__name__}; return an xarray.Dataset")
    status = result.get("status")
    if status is None or status.ndim != 0 or not isinstance(status.item(), str):
        raise CircuitError("a measure returned no status; add a scalar string variable `status`")
    clash = ({str(name) for name in result.variables} | {str(dim) for dim in result.dims}) & {
        "cell",
        *study.cells[0],
    }
    if clash:
        raise CircuitError(
            f"a measure returned {', '.join(sorted(clash))}, the name of a parameter; rename it"
        )
    return result.map(_plain).assign_coords(
        {name: _plain(values) for name, values in result.coords.items()}
    )


def _plain(values: xr.DataArray) -> xr.DataArray:
    kind = values.dtype.kind
    if kind in "bU" or values.dtype == np.float64:
        return values
    if kind == "f":
        return values.astype(np.float64)
    if kind == "O" and all(isinstance(word, str) for word in values.values.flat):
        return values.astype(str)
    if kind in "iu":
        fits = bool((values.values.astype(np.int32) == values.values).all())
        return values.astype(np.int32 if fits else np.float64)
    raise CircuitError(f"variable {values.name} has dtype {values.dtype}; use numbers or words")


def _digest(result: xr.Dataset) -> str:
    """A hash of all labels and values: the digest of files of an earlier form."""
    content = hashlib.sha256()
    for name in sorted(map(str, result.variables)):
        values = result[name].values
        if values.dtype.kind in "OU":
            data = "\0".join(map(str, values.flat)).encode()
        else:
            data = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
        content.update(f"{name}{result[name].dims}{values.shape}".encode())
        content.update(data)
    return content.hexdigest()


def collect(
    study: Study, folder: Path, known: Sequence[xr.Dataset | None] | None = None
) -> xr.Dataset:
    """The results of all cells in long form, whatever of them is on disk.

    Parameters
    ----------
    known : of each cell what has been read already, which is not read again

    Returns
    -------
    xr.Dataset
        Dimension `cell`, with every parameter as a coordinate along it (None is NaN among numbers
        and "" among words). Every variable of the measures, along `cell` first: numbers and truth
        values as float64, NaN where a cell has none; words, "" where a cell has none. Labels of the
        other dimensions are those of all cells together. `status` is "missing" for a cell that is
        not on disk. Attributes: study, study_version, cells (how many by status), and the version
        of every package that took part.

    Raises
    ------
    CircuitError
        Where cells disagree about the dimensions of a variable.
    """
    before = [None] * len(study.cells) if known is None else known
    results = [
        stored(study, cell, folder) if one is None else one
        for cell, one in zip(study.cells, before, strict=True)
    ]
    there = [result for result in results if result is not None]
    labels = _labels(there)
    sizes = {dim: len(values) for dim, values in labels.items()}
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name in dict.fromkeys(str(name) for result in there for name in result.data_vars):
        variables[name] = _joined(name, results, labels, sizes)
    words = [MISSING if result is None else str(result["status"].item()) for result in results]
    variables["status"] = (("cell",), np.array(words))
    coordinates: dict[str, Any] = {
        name: ("cell", column([cell[name] for cell in study.cells])) for name in study.cells[0]
    }
    for dim, values in labels.items():
        if any(dim in result.coords for result in there):
            coordinates[dim] = (dim, values)
    counts = {word: len(list(same)) for word, same in groupby(sorted(map(summary, words)))}
    about = {
        "study": study.name,
        "study_version": study.version,
        "cells": ", ".join(f"{count} {word}" for word, count in counts.items()),
    }
    packages = [json.loads(result.attrs["packages"]) for result in there] or [records.versions()]
    for name in packages[0]:
        about[f"version_{name}"] = ", ".join(sorted({str(one.get(name)) for one in packages}))
    return xr.Dataset(variables, coordinates, about)


def summary(status: str) -> str:
    """A status without its particulars."""
    return status.split(":", maxsplit=1)[0]


def _labels(results: Sequence[xr.Dataset]) -> dict[str, np.ndarray]:
    """For every dimension the labels of all results, numbers ascending; counted where none."""
    found: dict[str, list[Any]] = {}
    for result in results:
        for dim in map(str, result.sizes):
            values = result[dim].values.tolist()  # xarray counts where there are no labels
            found.setdefault(dim, []).extend(values)
    labels = {}
    for dim, values in found.items():
        distinct = list(dict.fromkeys(values))
        if not all(isinstance(value, str) for value in distinct):
            distinct.sort()
        labels[dim] = column(distinct)
    return labels


def _joined(
    name: str,
    results: Sequence[xr.Dataset | None],
    labels: dict[str, np.ndarray],
    sizes: dict[str, int],
) -> tuple[tuple[str, ...], np.ndarray]:
    """One variable of all cells, (cell, ...)."""
    having = [
        (at, result[name])
        for at, result in enumerate(results)
        if result is not None and name in result.data_vars
    ]
    dims = having[0][1].dims
    wordy = having[0][1].dtype.kind in "OU"
    shape = (len(results), *(sizes[str(dim)] for dim in dims))
    joined = np.full(shape, "", dtype=object) if wordy else np.full(shape, np.nan)
    places = {
        str(dim): {label: place for place, label in enumerate(labels[str(dim)].tolist())}
        for dim in dims
    }
    for at, values in having:
        if values.dims != dims or (values.dtype.kind in "OU") != wordy:
            raise CircuitError(
                f"variable {name} is {values.dtype} along {values.dims} in one cell and "
                f"{having[0][1].dtype} along {dims} in another; let the measure give it one form"
            )
        where = [[places[str(dim)][label] for label in values[dim].values.tolist()] for dim in dims]
        joined[np.ix_([at], *where)] = values.values
    return ("cell", *map(str, dims)), joined.astype(str) if wordy else joined
