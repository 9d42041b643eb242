"""The tables of study `top_down`: stability and arrival by strength, and what the rules learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from analysis.selection import groups
from analysis.statistics import told

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
    """Tables against strength, one row for each kind of circuit and depth."""
    if "settled" not in data:
        return ["top_down: no circuit has a result", ""]
    nudge = float(data["nudge"].values[np.argmin(np.abs(data["nudge"].values - NUDGE))])
    here = data.sel(nudge=nudge)
    worst = here["cosine_worst"].sel(rule_of="bp")
    shown = {
        "images with an equilibrium and, of the seeds whose spectrum is known, how many are stable "
        "beyond rounding": _existence,
        "spectral abscissa in 1/tau": _mean_of(here["abscissa"]),
        "settling time in tau": _mean_of(here["settling_time"]),
        "|z_1| over that of full targets": _mean_of(here["arrival"]),
        "what is left of dy_1/dx": _mean_of(here["input_share"]),
        "cosine with BP's update, worst layer, shift read-out": _mean_of(
            worst.sel(readout="shift")
        ),
        "the same, mismatch read-out": _mean_of(worst.sel(readout="mismatch")),
    }
    lines = []
    for what, text in shown.items():
        rows = []
        for names, part in groups(here, ("reading", "activation", "init", "pathway", "depth")):
            row: dict[str, Any] = {"circuit": " ".join(names)}
            for at, strength in enumerate(here["strength"].values):
                if np.isfinite(here["settled"].values[part, at]).any():
                    row[f"{strength:g}"] = text(here, part, at)
            rows.append(row)
        for reading in dict.fromkeys(row["circuit"].split()[0] for row in rows):
            some = [row for row in rows if row["circuit"].startswith(reading)]
            table = pd.DataFrame(some).to_string(index=False, na_rep="-")
            lines += [
                f"top_down: {what}, by strength (nudge {nudge:g}, mean over seeds)",
                table,
                "",
            ]
    others = here["others"].values
    there = np.isfinite(others)
    share = np.mean(others[there]) if there.any() else np.nan
    lines.append(f"top_down: other equilibria were found for {share:.1%} of the judged images")
    return lines


def _existence(data: xr.Dataset, part: np.ndarray, at: int) -> str:
    abscissa, error = (data[f"abscissa_{n}"].values[part, at] for n in ("worst", "error"))
    there = np.isfinite(abscissa)
    settled = data["settled"].values[part, at].mean()
    return f"{100 * settled:.0f} %, {(abscissa < -error)[there].sum()} of {there.sum()}"


def _mean_of(values: xr.DataArray) -> Callable[[xr.Dataset, np.ndarray, int], str]:
    """The text of a table's entry: the mean over seeds with its interval."""

    def text(_: xr.Dataset, part: np.ndarray, at: int) -> str:
        return told(values.values[part, at], ".3g")

    return text


def _runs(data: xr.Dataset) -> list[str]:
    if "test_accuracy" not in data:
        return ["top_down: no run of learning has a result"]
    rows = []
    for (rule, increments, activation, gamma), part in groups(
        data, ("rule", "increments", "activation", "gamma")
    ):
        one = data.isel(cell=part)
        settled = one["settled_images"].values
        rows.append(
            {
                "rule": rule,
                "increments": increments,
                "gamma": gamma,
                "units": activation,
                "test accuracy, %": told(100 * one["test_accuracy"].values),
                "cosine with BP, layer 1": told(one["alignment_end"].values),
                "settled": f"{100 * np.min(settled):.1f} %" if np.isfinite(settled).all() else "-",
                "failed": int(sum("failed" in str(word) for word in one["status"].values)),
            }
        )
    return [
        "top_down: learning, test accuracy at the epoch chosen by validation (mean over seeds and "
        "95 % interval)",
        pd.DataFrame(rows).to_string(index=False),
    ]
