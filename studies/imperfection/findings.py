"""The table of study `imperfection`: alignment by the size of the imperfection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from analysis.selection import groups
from analysis.statistics import told


def findings(data: xr.Dataset) -> list[str]:
    """Alignment against the size of the imperfection."""
    sizes = data["size"].values
    worst = data["cosine"].sel(rule="pathway").min("layer", skipna=True).values
    gamma = float(np.min(data["gamma"].values[data["gamma"].values >= 0.01]))
    lines = []
    for (circuit, kind, pathway), part in groups(data, ("circuit", "kind", "pathway")):
        here = part & (data["gamma"].values == gamma) & (data["init"].values == "orthogonal")
        if not here.any():
            continue
        row: dict[str, Any] = {"circuit": circuit, "kind": kind, "pathway": pathway}
        row |= {
            f"{size:g}": told(values) for size, values in zip(sizes, worst[here].T, strict=True)
        }
        lines.append(row)
    return [
        f"imperfection: cosine of the worst layer's update with the pathway's own rule, by the "
        f"size of the imperfection (orthogonal weights, gamma {gamma:g}; mean over seeds and 95 % "
        "interval)",
        pd.DataFrame(lines).to_string(index=False),
    ]
