"""The cells of a study: what they are, where each is kept, and all of them as one labelled dataset.

Owns `Study`, lists of cells (`grid`), their keys and files, and how their results are joined. Does
not own the running of them (`analysis.sweep.run`).

A cell is one set of plain parameters; its result is a labelled dataset with a word in `status`. It
is kept in FOLDER/STUDY/cells/KEY.nc, KEY being a hash of study, version, parameters, and of the
files outside that it is made from. The file holds a digest of all its bytes: what is damaged, cut
short or left empty is never taken for a result.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby, product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from analysis import records
from analysis.sweep.parameters import column, require_storable
from circuit.checks.given import is_sequence, require_count, shown
from circuit.errors import CircuitError

Cell = dict[str, str | int | float | None]
Seeds = Sequence[int] | None  # that were asked for; None for those of the study
MISSING = "missing"  # status of a cell that is not on disk


SEAL = b"sha256:"
# as NetCDF 3 writes an attribute: length and name, type (2, letters), length and value
SEALED = re.compile(
    rb"\0\0\0\x06digest\0\0\0\0\0\x02\0\0\0\x47" + SEAL + rb"([0-9a-f]{64})", re.DOTALL
)
UNSEALED = "0" * 64


@dataclass(frozen=True)
class Outside:
    """What decides the result of a cell and does not stand in its parameters.

    Attributes
    ----------
    places
        Parameters that only say where files are: no part of a key, so that files can be moved.
    content
        Called with a cell; a word for what is in the files that it is made from, "" for a cell that
        is made from none. Defined at the top of a module. Every process calls it for itself, and
        again for every key: a result is kept under what its own process reads.
    """

    places: tuple[str, ...]
    content: Callable[[Cell], str]


@dataclass(frozen=True, eq=False)
class Study:
    """A question, as the list of cells to measure.

    Attributes
    ----------
    name : of its folder and its file NAME.nc
    cells : plain parameters, one dict a cell, all with the same keys and no two alike
    measure
        Called as `measure(**cell)`; deterministic, and defined at the top of a module, so that
        other processes can import it. Returns labelled dimensions and a scalar string `status`, and
        no times of the clock on the wall.
    group_by
        Cells that are equal in these parameters run one after another in one process, in their
        order, so that what that process keeps (a network, its factors) serves all of them. Without
        any, every cell is on its own.
    version : part of every key; raised when the meaning of a result changes
    outside : the files that cells are made from; None where there are none

    Raises
    ------
    CircuitError
        On construction, for what could not be stored or sent to another process.
    """

    name: str
    cells: tuple[Cell, ...]
    measure: Callable[..., xr.Dataset]
    group_by: tuple[str, ...] = ()
    version: int = 1
    outside: Outside | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and re.fullmatch(r"[A-Za-z0-9][\w-]*", self.name)):
            raise CircuitError(
                f"study name {shown(self.name)} names a folder; use letters, digits, _ and -"
            )
        for what, kind in (("cells", dict), ("group_by", str)):
            given = getattr(self, what)
            if not (is_sequence(given) and all(isinstance(one, kind) for one in given)):
                raise CircuitError(
                    f"{what} of study {self.name} are {shown(given)}; give a tuple of "
                    f"{kind.__name__}"
                )
        if not self.cells:
            raise CircuitError(f"study {self.name} has no cells; give at least one")
        require_count(f"version of study {self.name}", self.version, 0, 2**31 - 1)
        if "<" in getattr(self.measure, "__qualname__", "<"):
            raise CircuitError(
                f"the measure of study {self.name} cannot be sent to another process; define it as "
                "a function at the top of a module"
            )
        names = set(self.cells[0])
        if names & {"cell", "status"}:
            raise CircuitError(
                f"study {self.name} has a parameter named cell or status; call it something else"
            )
        if unknown := set(self.group_by) - names:
            raise CircuitError(
                f"study {self.name} is grouped by {', '.join(sorted(unknown))}, which its cells do "
                f"not have; choose from {', '.join(sorted(names))}"
            )
        seen = set()
        for cell in self.cells:
            if set(cell) != names:
                raise CircuitError(
                    f"cells of study {self.name} differ in their parameters "
                    f"({', '.join(sorted(set(cell) ^ names))}); give all of them the same"
                )
            try:
                one = self.identity(cell)
            except (TypeError, ValueError) as error:
                raise CircuitError(
                    f"cell {cell} of study {self.name} has a parameter that is neither a word, a "
                    f"finite number nor None ({error}); convert it"
                ) from None
            if one in seen:
                raise CircuitError(f"cell {cell} stands in study {self.name} twice; leave one out")
            seen.add(one)
        require_storable(self.name, self.cells)

    def identity(self, cell: Cell) -> str:
        """The parameters of `cell` as text, without the places of files."""
        places = () if self.outside is None else self.outside.places
        return _as_json({name: None if name in places else cell[name] for name in cell})

    def key(self, cell: Cell) -> str:
        """The name under which the result of `cell` is kept."""
        text = f"{self.name}\n{self.version}\n{self.identity(cell)}"
        if self.outside is not None and (content := self.outside.content(cell)):
            text += f"\n{content}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def path(self, cell: Cell, folder: Path) -> Path:
        """The file in which the result of `cell` is kept."""
        return folder / self.name / "cells" / f"{self.key(cell)}.nc"

    def groups(self, cells: Iterable[Cell]) -> list[tuple[Cell, ...]]:
        """`cells` by group, in the order in which groups and cells first come."""
        if not self.group_by:
            return [(cell,) for cell in cells]
        found: dict[str, list[Cell]] = {}
        for cell in cells:
            found.setdefault(_as_json({name: cell[name] for name in self.group_by}), []).append(
                cell
            )
        return [tuple(group) for group in found.values()]


def _as_json(cell: Cell) -> str:
    return json.dumps(cell, sort_keys=True, allow_nan=False)


def grid(common: Mapping[str, Any], **axes: Iterable[Any]) -> list[Cell]:
    """One cell for each combination of the values of `axes`, the last of which changes fastest.

    Parameters
    ----------
    common : parameters that all cells have
    axes
        Name of a parameter -> its values. Values that are themselves mappings hold several
        parameters that go together; then the name of the axis is none of a parameter.

    Examples
    --------
    >>> grid({"width": 8}, seed=(1, 2), how=({"rule": "bp"}, {"rule": "itp", "gamma": 0.1}))[-1]
    {'width': 8, 'seed': 2, 'rule': 'itp', 'gamma': 0.1}
    """
    cells = []
    for values in product(*axes.values()):
        cell = dict(common)
        for name, value in zip(axes, values, strict=True):
            cell |= value if isinstance(value, Mapping) else {name: value}
        cells.append(cell)
    return cells


def unmeasured(
    coords: Mapping[str, Sequence[str | int | float]], **variables: tuple[str, ...]
) -> xr.Dataset:
    """A result of the measured kind without values: NaN everywhere, status "converged".

    Parameters
    ----------
    coords : labels of every dimension
    variables : name -> its dimensions
    """
    empty = {
        name: (dims, np.full([len(coords[dim]) for dim in dims], np.nan))
        for name, dims in variables.items()
    }
    return xr.Dataset({**empty, "status": "converged"}, coords=dict(coords))


def together(*parts: Iterable[Cell]) -> tuple[Cell, ...]:
    """The cells of all parts in turn; what a cell lacks that others have is None in it."""
    cells = [cell for part in parts for cell in part]
    names = dict.fromkeys(name for cell in cells for name in cell)
    return tuple(dict.fromkeys(names) | cell for cell in cells)


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
        result.to_netcdf(name, engine="scipy")
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
    if kind in "fbU":
        return values.astype(np.float64) if kind == "f" else values
    if kind == "O" and all(isinstance(word, str) for word in values.values.flat):
        return values.astype(str)
    if kind in "iu":
        small = values.astype(np.int32)
        return small if bool((small == values).all()) else values.astype(np.float64)
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


def collect(study: Study, folder: Path) -> xr.Dataset:
    """The results of all cells in long form, whatever of them is on disk.

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
    results = [stored(study, cell, folder) for cell in study.cells]
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
