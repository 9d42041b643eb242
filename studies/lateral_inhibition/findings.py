"""The tables of study `lateral_inhibition`: methods at their best, by setting, and their pull."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from analysis.comparison import paired_difference
from analysis.controls import CONTROLS
from analysis.statistics import told
from studies.lateral_inhibition.measures import best_setting, runs_of

REFERENCE = "bp"


def findings(data: xr.Dataset) -> list[str]:
    """What each method comes to, and whether its pull has the direction of Eq. 23."""
    return [
        *(_training(data) if "test_accuracy_chosen" in data else []),
        *(_pull(data) if "expected_cosine" in data else []),
    ]


def _training(data: xr.Dataset) -> list[str]:
    """The two tables of training."""
    training = data.isel(cell=data["part"].values == "training")
    methods = list(dict.fromkeys(training["method"].values.tolist()))
    seeds = len(np.unique(training["seed"].values))
    return [
        f"methods at their best setting, which validation images chose ({seeds} seeds; mean and "
        "95 % interval; alignment and distance at the end, or when last measured)",
        pd.DataFrame([_row(training, name) for name in methods]).to_string(index=False),
        "",
        "by setting: test accuracy at the chosen epoch / at the end / alignment of layer 1 / "
        "distance of W from orthogonality, layers 2 and above (means of completed runs)",
        pd.DataFrame([_by_setting(training, name) for name in methods]).to_string(index=False),
        "",
    ]


def _pull(data: xr.Dataset) -> list[str]:
    return [
        "cosine of the pull with the descent on Eq. 23, expected, mean over layers",
        _expected(data.isel(cell=data["part"].values == "pull")).to_string(),
    ]


def _row(data: xr.Dataset, method: str) -> dict[str, str]:
    """A method at its best."""
    setting = best_setting(data, method)
    runs = runs_of(data, method, setting)
    hidden = method not in CONTROLS  # of whose hidden layers there is something to tell
    best = runs_of(data, REFERENCE, best_setting(data, REFERENCE))
    gap = paired_difference(
        runs["test_accuracy_chosen"].values, best["test_accuracy_chosen"].values
    )
    return {
        "method": method,
        "setting": f"{setting:g}",
        "test, chosen": _interval(runs["test_accuracy_chosen"].values),
        "test, end": _interval(runs["test_accuracy_end"].values),
        "minus bp": "" if method == REFERENCE else told(gap.each, "+.3f"),
        "cosine, layer 1": _interval(runs["alignment"].sel(layer=1).values) if hidden else "",
        "distance, 2..L": _interval(distance_above(runs)) if hidden else "",
        "failed": str(int(np.sum(runs["status"].values != "completed"))),
    }


def distance_above(runs: xr.Dataset) -> np.ndarray:
    """Mean distance of W_2 .. W_L from orthogonality, the weights that feedback goes through."""
    return np.asarray(runs["orthogonality_distance"].isel(layer=slice(1, None)).mean("layer"))


def _by_setting(data: xr.Dataset, method: str) -> dict[str, str]:
    """All settings of a method, in the order of their size."""
    settings = np.unique(data["setting"].values[data["method"].values == method])
    row = {"method": method}
    for place, setting in enumerate(settings):
        runs = runs_of(data, method, float(setting))
        good = runs.isel(cell=runs["status"].values == "completed")
        words = f"{len(runs['cell'])} failed"
        if len(good["cell"]):
            numbers = [
                float(np.mean(values))
                for values in (
                    good["test_accuracy_chosen"].values,
                    good["test_accuracy_end"].values,
                    good["alignment"].sel(layer=1).values,
                    distance_above(good),
                )
            ]
            words = " / ".join(f"{number:.3f}" for number in numbers)
            failed = len(runs["cell"]) - len(good["cell"])
            words += f" ({failed} failed)" if failed else ""
        row[f"setting {place + 1}"] = f"{setting:g}: {words}"
    return row


def _expected(data: xr.Dataset) -> pd.DataFrame:
    """Expected cosines by phase and pull."""
    cosines = data["expected_cosine"].mean("layer").values
    words = [[told(one) for one in of_phase.T] for of_phase in np.moveaxis(cosines, 0, 1)]
    return pd.DataFrame(words, index=data["phase"].values, columns=data["pull"].values)


def _interval(values: np.ndarray) -> str:
    return told(values)
