"""Parts of the tables: columns beside parameters, numbers with intervals."""

from __future__ import annotations

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
