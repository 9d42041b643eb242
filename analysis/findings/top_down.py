"""The tables of study `top_down`: stability and arrival by strength, and what the rules learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from analysis.findings.tables import groups, with_interval
from analysis.intervals import over_repetitions

NUDGE = 0.03  # that of the tables, if it was measured


def findings(data: xr.Dataset) -> list[str]:
    """What became of the circuits, by reading and strength, and of the runs."""
    lines: list[str] = []
    circuits = data.isel(cell=data["part"].values == "circuit")
    if circuits.sizes["cell"]:
        lines += _circuits(circuits)
    runs = data.isel(cell=data["part"].values == "learning")
    if runs.sizes["cell"]:
        lines += _runs(runs)
    return lines


def _circuits(data: xr.Dataset) -> list[str]:
    nudge = float(data["nudge"].values[np.argmin(np.abs(data["nudge"].values - NUDGE))])
    here = data.sel(nudge=nudge)
    rows = []
    for (reading, activation, init, pathway), part in groups(
        data, ("reading", "activation", "init", "pathway")
    ):
        for strength in data["strength"].values:
            one = here.isel(cell=part).sel(strength=strength)
            if not np.isfinite(one["settled"].values).any():
                continue
            abscissa, error = one["abscissa_worst"].values, one["abscissa_error"].values
            there = np.isfinite(abscissa)
            row: dict[str, Any] = {
                "reading": reading,
                "units": activation,
                "weights": init,
                "pathway": pathway,
                "strength": f"{strength:g}",
                "settled": f"{100 * one['settled'].values.mean():.0f} %",
                "stable": f"{(abscissa < -error)[there].sum()} of {there.sum()}",
                "unstable": int((abscissa > error)[there].sum()),
                "others": f"{100 * np.nanmean(one['others'].values[there]):.0f} %"
                if there.any()
                else "-",
            }
            arrived = over_repetitions(one["arrival"].values)
            row["arrival"] = with_interval(float(arrived[0]), float(arrived[1]))
            for readout in data["readout"].values:
                cosine = one["cosine"].sel(readout=readout, rule_of="bp").values
                mean, half = over_repetitions(cosine)
                row[f"BP, {readout}"] = with_interval(float(mean), float(half))
            rows.append(row)
    depths = ", ".join(map(str, np.unique(data["depth"].values)))
    return [
        f"top_down: circuits with nudge {nudge:g}, all of {depths} hidden layers together: images "
        "with an equilibrium, cells stable and unstable beyond rounding, images with other "
        "equilibria, |z_1| over that of full targets, and the cosine of layer 1's update with BP's "
        "by read-out (mean over cells and 95 % interval)",
        pd.DataFrame(rows).to_string(index=False),
    ]


def _runs(data: xr.Dataset) -> list[str]:
    rows = []
    for (rule, increments, activation, gamma), part in groups(
        data, ("rule", "increments", "activation", "gamma")
    ):
        one = data.isel(cell=part)
        accuracy = over_repetitions(100 * one["test_accuracy"].values)
        cosine = over_repetitions(one["alignment_end"].values)
        settled = one["settled_images"].values
        rows.append(
            {
                "rule": rule,
                "increments": increments,
                "gamma": gamma,
                "units": activation,
                "test accuracy, %": with_interval(float(accuracy[0]), float(accuracy[1])),
                "cosine with BP, layer 1": with_interval(float(cosine[0]), float(cosine[1])),
                "settled": f"{100 * np.min(settled):.1f} %" if np.isfinite(settled).all() else "-",
                "failed": int(sum("failed" in str(word) for word in one["status"].values)),
            }
        )
    return [
        "top_down: learning, test accuracy at the epoch chosen by validation (mean over seeds and "
        "95 % interval)",
        pd.DataFrame(rows).to_string(index=False),
    ]
