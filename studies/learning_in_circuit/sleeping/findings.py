"""The table of circuits that sleep, of study `learning_in_circuit`.

What keeps weights orthogonal, and what that is worth, by the way in which feedback learns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from analysis.comparison import paired_difference
from analysis.statistics import told

NO_PULL = 0.0
WORDS = {
    "accuracy": "test",
    "update_cosine": "cosine with BP, layer 1",
    "orthogonality": "distance of W",
    "alignment": "cosine of B, W^T",
    "inverse_error": "B from inverse",
}


def probes(data: xr.Dataset) -> list[str]:
    """Names of the probes in which circuits sleep or are compared with such."""
    if "update_cosine" not in data:
        return []
    there = np.isfinite(data["orthogonality"].values).any(axis=(1, 2, 3))
    return list(dict.fromkeys(map(str, data["probe"].values[there])))


def ends(data: xr.Dataset, probe: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The lambdas of a probe, and a variable at the end, (repetitions, lambdas).

    Of `update_cosine` that of layer 1, the last that the error reaches; of `orthogonality` the mean
    over layers. NaN where a network diverged.
    """
    part = data.isel(cell=data["probe"].values == probe)
    asked = np.asarray((part["measured"].values > 0).any(axis=0))
    found = part[name]
    if name == "update_cosine":
        found = found.sel(layer=1)
    elif name == "orthogonality":
        found = found.mean("layer")
    values = found.transpose("cell", "network", "value").values
    there = np.arange(values.shape[1]) < part["networks"].values[:, None]  # cells differ in it
    return data["value"].values[asked], values[there][:, asked]


def unpulled(probe: str) -> str:
    """The probe in which the same feedback learns with lambda 0."""
    return probe.replace("Eq. 23", "inhibition")


def lines(data: xr.Dataset) -> list[str]:
    """The table, or nothing where nothing of it was measured."""
    rows: list[dict[str, Any]] = []
    names = probes(data)
    for probe in names:
        columns = {name: ends(data, probe, name) for name in WORDS}
        strengths = columns["accuracy"][0]
        for at, strength in enumerate(strengths):
            found = {name: values[:, at] for name, (_, values) in columns.items()}
            row: dict[str, Any] = {"pull, feedback": probe, "lambda": f"{strength:g}"}
            row |= {WORDS[name]: told(one) for name, one in found.items()}
            row["minus no pull"] = ""
            if strength != NO_PULL and unpulled(probe) in names:
                none, others = ends(data, unpulled(probe), "accuracy")
                gap = paired_difference(found["accuracy"], others[:, none.tolist().index(NO_PULL)])
                row["minus no pull"] = told(gap.each, "+.3f")
            row["diverged"] = int((~np.isfinite(found["accuracy"])).sum())
            rows.append(row)
    if not rows:
        return []
    return [
        "circuits that sleep after every image (probe: what pulls, and what feedback learns to be; "
        "lambda of an image; means and 95 % t intervals over networks)",
        pd.DataFrame(rows).to_string(index=False),
    ]
