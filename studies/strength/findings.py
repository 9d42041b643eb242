"""The table of study `strength`: alignment and settling by feedback strength."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from analysis.selection import frame_of
from analysis.statistics import over_repetitions, told

SHOWN = (0.001, 0.01, 0.1, 0.3)  # feedback strengths in a table; the nearest of the grid


def findings(data: xr.Dataset) -> list[str]:
    """Alignment with back-propagation, and how many images settled."""
    trained = data["init"].values == "trained"
    widest = data["width"].values[~trained].max() if (~trained).any() else None
    wide = data["width"].values == widest
    names = data["activation"].values
    units = "leaky_relu" if "leaky_relu" in names else str(names[0])
    wide |= trained
    keep = wide & np.isin(data["pathway"].values, ("gait", "grait"))
    keep &= (data["activation"].values == units) | trained
    part = data.isel(cell=keep)
    cosine = part["cosine"].sel(rule="bp", readout="shift", layer=1).values
    frame = frame_of(part, {"cosine": cosine, "settled": part["settled_fraction"].values})
    ways = ["pathway"] if frame["pathway"].nunique() > 1 else []
    rows = _by(frame, ["init", *ways, "depth"], "gamma", ["cosine", "settled"])
    return [
        f"strength: cosine of layer 1's update with back-propagation | fraction of images settled "
        f"({units}{_of_trained(data)}, shift; GAIT pathway, and GRAIT where rows have unequal "
        "lengths; mean over seeds and 95 % interval, by gamma)",
        rows,
    ]


def _of_trained(data: xr.Dataset) -> str:
    """The units of the trained network, where there is one."""
    units = dict.fromkeys(data["activation"].values[data["init"].values == "trained"].tolist())
    return f"; trained: {', '.join(units)}" if units else ""


def _by(frame: pd.DataFrame, rows: list[str], column: str, values: Sequence[str]) -> str:
    """Mean over seeds with its interval, the values of one entry beside each other."""
    there = np.unique(frame[column])
    shown = sorted({float(there[np.argmin(np.abs(np.log(there / wanted)))]) for wanted in SHOWN})
    table: dict[str, dict[Any, str]] = {}
    for strength_ in shown:
        for key, group in frame[frame[column] == strength_].groupby(rows):
            mean, _ = over_repetitions(group[list(values)].to_numpy())
            words = [told(group[values[0]].to_numpy()), *(f"{value:.2f}" for value in mean[1:])]
            table.setdefault(f"{strength_:g}", {})[key] = " | ".join(words)
    found = pd.DataFrame(table)
    found.index.names = rows
    return found.to_string()
