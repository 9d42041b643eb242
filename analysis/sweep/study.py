"""The cells of a study: what they are, and under which key each is kept.

Owns `Study`, lists of cells (`grid`) and their keys. Does not own their files and how their results
are joined (`analysis.sweep.kept`), nor the running of them (`analysis.sweep.run`).

A cell is one set of plain parameters; its result is a labelled dataset with a word in `status`. Its
key is a hash of study, version, parameters, and of the files outside that it is made from.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from analysis.sweep.parameters import require_storable
from circuit.checks.given import is_sequence, require_count, shown
from circuit.errors import CircuitError

Cell = dict[str, str | int | float | None]
Seeds = Sequence[int] | None  # that were asked for; None for those of the study


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
