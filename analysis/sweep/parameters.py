"""What the parameters of a study's cells may be, so that a file can hold them.

Owns how they are stored, as coordinates of NetCDF 3, and the refusal of what would not come back
from there as it was given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from xarray.backends.netcdf3 import is_valid_nc3_name

from circuit.checks.given import shown
from circuit.errors import CircuitError


def column(values: Sequence[Any]) -> np.ndarray:
    """Parameters or labels as words if any is one, else as int32 if all fit, else as float64."""
    if any(isinstance(value, str) for value in values) or all(value is None for value in values):
        return np.array(["" if value is None else str(value) for value in values])
    if all(isinstance(value, int) and abs(value) < 2**31 for value in values):
        return np.array(values, dtype=np.int32)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def require_storable(study: str, cells: Sequence[Mapping[str, Any]]) -> None:
    """Raise `CircuitError` unless a file can hold the parameters of these cells, all with the same
    names, and can tell each cell from every other.
    """
    for name in cells[0]:
        if not (isinstance(name, str) and name.isidentifier() and is_valid_nc3_name(name)):
            raise CircuitError(
                f"study {study} has a parameter named {shown(name)}, which NetCDF or Python cannot "
                "use; call it something else"
            )
    for cell in cells:
        for name, value in cell.items():
            if not _is_plain(value):
                raise CircuitError(
                    f"{name} = {shown(value)} in study {study} is neither a word, a finite number "
                    "of float64 nor None, and cannot be stored; convert it"
                )
    columns = [_as_read(column([cell[name] for cell in cells])) for name in cells[0]]
    first: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for cell, row in zip(cells, zip(*columns, strict=True), strict=False):
        other = first.setdefault(row, cell)
        if other is not cell:
            raise CircuitError(
                f"cells {shown(other)} and {shown(cell)} of study {study} are the same once they "
                "are stored; leave one out"
            )


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        # files end a word at a null byte, and hold no halves of characters
        return "\0" not in value and not any("\ud800" <= sign <= "\udfff" for sign in value)
    if isinstance(value, int):
        return abs(value) < 2**1023 and int(float(value)) == value
    return value is None or (isinstance(value, float) and np.isfinite(value))


def _as_read(values: np.ndarray) -> list[Any]:
    """The values that tell cells apart: what is not a number is one value."""
    missing = [isinstance(value, float) and math.isnan(value) for value in values.tolist()]
    return [None if gone else one for gone, one in zip(missing, values.tolist(), strict=True)]
