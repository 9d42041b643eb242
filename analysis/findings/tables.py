"""Parts of the tables: columns beside parameters, numbers with intervals, groups of cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr


def frame_of(data: xr.Dataset, columns: dict[str, np.ndarray]) -> pd.DataFrame:
    """Columns beside the parameters of the cells."""
    parameters = {
        str(name): values.values for name, values in data.coords.items() if values.dims == ("cell",)
    }
    return pd.DataFrame(parameters | columns)


def with_interval(mean: float, half: float) -> str:
    """Mean +- half the interval, three digits; a hyphen for what is not there."""
    if not np.isfinite(mean):
        return "-"
    return f"{mean:.3f}" if not np.isfinite(half) else f"{mean:.3f} +- {half:.2g}"


def groups(data: xr.Dataset, names: Sequence[str]) -> list[tuple[tuple[str, ...], np.ndarray]]:
    """Every combination of words that occurs, with the mask of its cells."""
    columns = [data[name].values for name in names]
    combinations = dict.fromkeys(zip(*(column.tolist() for column in columns), strict=True))
    return [
        (
            tuple(map(str, one)),
            np.all([column == value for column, value in zip(columns, one, strict=True)], axis=0),
        )
        for one in combinations
    ]
