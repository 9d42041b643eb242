"""Which cells of a study's joined dataset are meant.

Owns choosing cells by their parameters and by what was measured in them, for the tables and the
pictures. Does not own the dataset (`analysis.sweep.kept.collect`), in which every variable lies
along `cell`, with NaN and "" where a cell has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr


def cells_with(data: xr.Dataset, **wanted: Any) -> xr.Dataset:
    """The cells with these parameters."""
    keep = np.ones(data.sizes["cell"], dtype=bool)
    for name, value in wanted.items():
        keep &= data[name].values == value
    return data.isel(cell=keep)


def values_of(data: xr.Dataset, name: str) -> list[Any]:
    """The different values of a parameter, in the order in which they first come."""
    return list(dict.fromkeys(data[name].values.tolist()))


def groups(data: xr.Dataset, names: Sequence[str]) -> list[tuple[tuple[str, ...], np.ndarray]]:
    """Every combination of parameters that occurs, as words, with the mask of its cells."""
    columns = [data[name].values for name in names]
    combinations = dict.fromkeys(zip(*(column.tolist() for column in columns), strict=True))
    return [
        (
            tuple(map(str, one)),
            np.all([column == value for column, value in zip(columns, one, strict=True)], axis=0),
        )
        for one in combinations
    ]


def measured(data: xr.Dataset, *names: str) -> xr.Dataset:
    """The cells that have a value of every one of these variables; none where one is not there.

    A cell that failed or is missing has none, nor has one in which nothing settled.
    """
    keep = np.ones(data.sizes["cell"], dtype=bool)
    for name in names:
        if name not in data:
            return data.isel(cell=[])
        found = has_value(data[name])
        keep &= found.any(axis=tuple(range(1, found.ndim)))
    return data.isel(cell=keep)


def has_value(variable: xr.DataArray) -> np.ndarray:
    """Where a variable has a finite number or a word, in its shape."""
    found = variable.values
    return np.asarray(found != "" if found.dtype.kind in "OU" else np.isfinite(found))


def frame_of(data: xr.Dataset, columns: dict[str, np.ndarray]) -> pd.DataFrame:
    """Columns beside the parameters of the cells."""
    parameters = {
        str(name): values.values for name, values in data.coords.items() if values.dims == ("cell",)
    }
    return pd.DataFrame(parameters | columns)
