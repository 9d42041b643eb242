"""The tables of study `learned_inverse`: alignment, accuracy, and where the best gamma lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from analysis.controls import CONTROLS
from analysis.selection import cells_with, groups, values_of
from analysis.statistics import over_repetitions, told

FIRST = 0.01  # of accuracy: a gamma whose mean is within it of the best is as good


def findings(data: xr.Dataset) -> list[str]:
    """Four tables."""
    return [*_alignment(data), "", *_best(data), "", *_others(data), "", *_orders(data)]


def _alignment(data: xr.Dataset) -> list[str]:
    """Layer 1's cosine with back-propagation by gamma, at stages of practice, without noise.

    Of what learns by GAIT-prop.
    """
    part = data.isel(cell=data["part"].values == "alignment")
    rows = []
    for (way, correction), mask in groups(part, ("way", "correction")):
        if not way.startswith("gait"):  # the others do not stand for back-propagation
            continue
        one = part.isel(cell=mask)
        errors = one["model_error"].mean("layer").mean("cell").values
        for i, steps in enumerate(part["practice"].values):
            cosine = one["cosine"].sel(layer=1, practice=steps, sigma=0.0).values
            row: dict[str, Any] = {"way": way, "correction": correction}
            row["inverse error"] = f"{errors[i]:.2g}"
            for gamma, values in zip(part["strength"].values, cosine.T, strict=True):
                row[f"{gamma:g}"] = told(values)
            rows.append(row)
    return [
        "learned_inverse: cosine of layer 1's update with back-propagation's, no noise, by gamma "
        "(mean over seeds and 95 % interval)",
        pd.DataFrame(rows).to_string(index=False),
    ]


def _best(data: xr.Dataset) -> list[str]:
    """Test accuracy by gamma, of GAIT-prop with each inverse and noise."""
    part = data.isel(
        cell=(data["part"].values == "training")
        & (data["shape"].values == "equal")
        & (data["steps"].values == 1)
        & np.isin(data["way"].values, ("gait", "itp", "gait shift"))
    )
    rows = []
    for way, inverse, correction in dict.fromkeys(
        key for key, _ in groups(part, ("way", "inverse", "correction"))
    ):
        mine = (part["way"].values == way) & (part["inverse"].values == inverse)
        mine &= part["correction"].values == correction
        for noise in np.unique(part["noise"].values[mine]):
            here = part.isel(cell=mine & (part["noise"].values == noise))
            row: dict[str, Any] = {"way": way, "inverse": inverse, "correction": correction}
            row["noise"] = f"{noise:g}"
            means = {}
            for gamma in np.unique(here["gamma"].values):
                values = here["accuracy"].values[here["gamma"].values == gamma]
                row[f"{gamma:g}"] = told(values)
                means[gamma] = float(over_repetitions(values)[0])
            top = max(means.values())
            good = [gamma for gamma, mean in means.items() if mean >= top - FIRST]
            row["best gamma"] = f"{good[0]:g}" if len(good) == 1 else f"{good[0]:g} to {good[-1]:g}"
            rows.append(row)
    table = pd.DataFrame(rows)
    table["best gamma"] = table.pop("best gamma")
    return [
        "learned_inverse: test accuracy at the end by gamma (mean over seeds and 95 % interval; "
        f"best gamma: those whose mean is within {FIRST:g} of the best)",
        table.fillna("-").to_string(index=False),
    ]


def _others(data: xr.Dataset) -> list[str]:
    """Back-propagation, the controls, TP, an inverse that stays random or learns more, and layers
    that narrow.
    """
    part = data.isel(
        cell=(data["part"].values == "training")
        & (
            np.isin(data["way"].values, ("bp", "tp", *CONTROLS))
            | (data["steps"].values != 1)
            | (data["shape"].values != "equal")
        )
    )
    return [
        "learned_inverse: other runs at the end (steps: of the inverse for one of the network, 0 "
        "leaves it random)",
        _at_the_end(part, ("way", "inverse", "correction", "noise", "steps", "shape")),
    ]


def _orders(data: xr.Dataset) -> list[str]:
    """An inverse that learns before, beside or in turns with the network, and the paired
    differences of accuracy from the first of these.
    """
    part = data.isel(cell=data["part"].values == "order")
    if not part.sizes["cell"]:
        return ["learned_inverse: no runs in other orders"]
    accuracy = {
        order: cells_with(part, order=order).sortby("seed")["accuracy"].values
        for order in values_of(part, "order")
    }
    first, *others = accuracy
    rows = []
    for order in others:
        gap = accuracy[order] - accuracy[first]
        rows.append({"order": order, f"less {first}": told(gap)})
    return [
        "learned_inverse: orders in which the inverse and the network learn, with as many steps of "
        "either, at the end",
        _at_the_end(part, ("order",)),
        "learned_inverse: their accuracies less that of the first of them, paired over seeds",
        pd.DataFrame(rows).to_string(index=False),
    ]


def _at_the_end(part: xr.Dataset, names: tuple[str, ...]) -> str:
    """A table of what training runs end at, one line for all that are equal in `names`."""
    rows = []
    for key, mask in groups(part, names):
        row: dict[str, Any] = dict(zip(names, key, strict=True))
        control = row.get("way") in CONTROLS  # of which no layer 1 learns
        for name, values in (
            ("accuracy", part["accuracy"].values[mask]),
            ("cosine, layer 1", part["final_cosine"].sel(layer=1).values[mask]),
            ("inverse error", part["final_error"].mean("layer").values[mask]),
        ):
            row[name] = "-" if control and name != "accuracy" else told(values)
        rows.append(row)
    return pd.DataFrame(rows).fillna("-").to_string(index=False)
