"""The table of study `strong`: critical feedback strength by depth."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.selection import frame_of


def findings(data: xr.Dataset) -> list[str]:
    """Critical feedback strength by depth."""
    frame = frame_of(data, {"critical": data["critical_gamma"].values})
    never = frame["critical"].isna()
    frame["critical"] = frame["critical"].where(~never, np.inf)
    keys = ["pathway", "init", "activation"]
    # the lower median occurs itself, also where the upper half is infinite
    critical = frame.groupby([*keys, "depth"])["critical"]
    table = critical.quantile(0.5, interpolation="lower").unstack("depth")
    return [
        "strong: lower median over images and seeds of the gamma at which the equilibrium is lost, "
        "by depth (inf: not lost as far as the branch was followed)",
        table.to_string(float_format=lambda value: f"{value:.3g}"),
    ]
