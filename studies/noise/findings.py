"""The table of study `noise`: the best feedback strength by depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from analysis.statistics import over_repetitions
from studies.noise.curves import SIGMA, Curve, optima


def findings(data: xr.Dataset) -> list[str]:
    """Best feedback strength per depth."""
    rows = []
    times = data["duration"].values[1:]
    for depth in np.unique(data["depth"].values):
        for layer in (1, int(depth) + 1):
            best, errors = optima(data, Curve(int(depth), layer), times)
            middle, half = over_repetitions(np.log(best))
            error, _ = over_repetitions(errors)
            row: dict[str, Any] = {"depth": int(depth), "layer": layer}
            for i, time in enumerate(times):
                low, high = np.exp(middle[i] - half[i]), np.exp(middle[i] + half[i])
                span = f" ({low:.2g} to {high:.2g})" if np.isfinite(half[i]) else ""
                row[f"T = {time:g} tau"] = f"{np.exp(middle[i]):.2g}{span} | {error[i]:.2g}"
            rows.append(row)
    return [
        f"noise: the gamma with the least error of the update, bias and noise of {SIGMA:g} "
        "together, and that error, by the time T of averaging (GAIT pathway, asinh, shift; "
        "geometric mean over seeds and 95 % interval; nan: no minimum inside the grid)",
        pd.DataFrame(rows).to_string(index=False),
    ]
