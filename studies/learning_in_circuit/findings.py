"""The table of study `learning_in_circuit`: what is learnt, and where each probe breaks it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from analysis.statistics import over_repetitions, told
from studies.learning_in_circuit.sleeping import findings as sleeping

BREAKS = 0.5  # of the accuracy above chance at the probe's gentlest value
IN_WORDS = {
    "rate": "an image's learning rate",
    "duration": "of an image, tau (from below)",
    "spread": "of time constants, tau/x to tau x",
    "unmatched": "own drive's constant, tau/x to tau x",
    "delay": "steps of tau/2",
    "noise": "standard deviation of a rate",
}
FROM_BELOW = {"duration"}  # what breaks it is a small value


def findings(data: xr.Dataset) -> list[str]:
    """The learning curve's end, the variants, the breaking point of each probe, and sleep."""
    lines: list[str] = []
    for protocol in dict.fromkeys(map(str, data["protocol"].values)):
        lines += [*_digits(data, protocol), *_slow(data, protocol), *_variants(data, protocol)]
    return [*lines, *_accuracies(data), *_breaking(data), *sleeping.lines(data)]


def curves(
    data: xr.Dataset, protocol: str, probe: str, name: str = "accuracy"
) -> tuple[np.ndarray, np.ndarray]:
    """The values of a probe, and a variable of one protocol there, (repetitions, values): seeds and
    networks together. Both empty where it was not measured.

    A network that diverged counts as chance in an accuracy.
    """
    keep = (data["protocol"].values == protocol) & (data["probe"].values == probe)
    keep &= data["status"].values != "missing"
    if name not in data or not keep.any():
        return np.zeros(0), np.zeros((0, 0))
    part = data.isel(cell=keep)
    values = part[name].transpose("cell", "network", "value").values
    asked = np.isfinite(values).any(axis=(0, 1))
    if name.endswith("accuracy"):
        asked = np.asarray((part["measured"].values > 0).any(axis=0))
        chance = part["chance"].values[:, None, None]
        values = np.where(np.isfinite(values), values, chance)
    if not asked.any():
        return np.zeros(0), np.zeros((0, 0))
    found = values[..., asked].reshape(-1, int(asked.sum()))
    return data["value"].values[asked], np.asarray(found)


def breaking_point(
    values: np.ndarray, accuracy: np.ndarray, chance: float, *, from_below: bool
) -> tuple[float, float]:
    """The last value at which accuracy above chance is at least `BREAKS` of that at the gentlest,
    and the first at which it is not; NaN where it holds to the end.

    Parameters
    ----------
    values : array (n,), ascending
    accuracy : array (n,), mean over repetitions
    from_below : whether small values are the hard ones
    """
    order = slice(None, None, -1) if from_below else slice(None)
    values, above = values[order], (accuracy - chance)[order]
    best = np.maximum.accumulate(above)
    lost = np.flatnonzero(above < BREAKS * best)
    if lost.size == 0:
        return float(values[-1]), float("nan")
    first = int(lost[0])
    return float(values[first - 1]), float(values[first])


def _digits(data: xr.Dataset, protocol: str) -> list[str]:
    shown, found = curves(data, protocol, "digits")
    if not found.size:
        return []
    turned, _ = over_repetitions(curves(data, protocol, "digits", "alignment")[1][:, -1])
    return [
        f"learning_in_circuit, {protocol}: test accuracy {told(found[:, -1])} "
        f"after {shown[-1]:.0f} images of ten digits ({len(found)} networks, 95 % t interval); "
        f"cosine of B with W^T {turned:.2f}"
    ]


def _slow(data: xr.Dataset, protocol: str) -> list[str]:
    values, found = curves(data, protocol, "slow", "distance")
    if not found.size:
        return []
    mean, _ = over_repetitions(found)
    listed = ", ".join(f"{value:g}: {one:.3f}" for value, one in zip(values, mean, strict=True))
    return [f"  distance of weights from the trainer's, by the time of an image in tau: {listed}"]


def variants(data: xr.Dataset, protocol: str) -> tuple[list[str], np.ndarray]:
    """Names of what was changed, and accuracies (repetitions, names)."""
    values, found = curves(data, protocol, "variant")
    if not found.size:
        return [], found
    cells = data["probe"].values == "variant"
    rows = data["variant"].isel(cell=cells).sel(value=values).values.T
    return [next(str(name) for name in row if name) for row in rows], found


def _variants(data: xr.Dataset, protocol: str) -> list[str]:
    names, found = variants(data, protocol)
    if not names:
        return []
    pairs = zip(names, found.T, strict=True)
    listed = "; ".join(f"{name} {told(values)}" for name, values in pairs)
    return [f"  accuracy of {protocol} with one thing changed: {listed}"]


def _accuracies(data: xr.Dataset) -> list[str]:
    lines = []
    for probe, words in IN_WORDS.items():
        for protocol in dict.fromkeys(map(str, data["protocol"].values)):
            values, found = curves(data, protocol, probe)
            if found.size:
                pairs = zip(values, found.T, strict=True)
                listed = ", ".join(f"{at:g}: {told(one)}" for at, one in pairs)
                lines.append(f"  accuracy of {protocol} by {probe} ({words}): {listed}")
    return lines


def _breaking(data: xr.Dataset) -> list[str]:
    rows: list[dict[str, Any]] = []
    for probe, words in IN_WORDS.items():
        row: dict[str, Any] = {"probe": probe, "value": words}
        for protocol in dict.fromkeys(map(str, data["protocol"].values)):
            values, found = curves(data, protocol, probe)
            if not found.size:
                continue
            cells = (data["protocol"].values == protocol) & (data["probe"].values == probe)
            mean, _ = over_repetitions(found)
            chance = float(data["chance"].values[cells].mean())
            holds, breaks = breaking_point(values, mean, chance, from_below=probe in FROM_BELOW)
            row[protocol] = f"{holds:g}" + (" (all)" if np.isnan(breaks) else f" | {breaks:g}")
        if len(row) > 2:
            rows.append(row)
    if not rows:
        return []
    return [
        f"last value at which accuracy above chance is at least {BREAKS:g} of the best so far | "
        "first at which it is not (means over networks)",
        pd.DataFrame(rows).to_string(index=False),
    ]
