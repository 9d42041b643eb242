"""The table of study `learning_in_circuit`: what is learnt, and where each probe breaks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from analysis.comparison import paired_difference
from analysis.controls import CONTROLS
from analysis.statistics import over_repetitions, told
from studies.learning_in_circuit.sleeping import findings as sleeping

DESCENDS = 0.0  # a cosine with back-propagation: what is more goes down its loss
CURVES = ("digits", "xor")
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
        lines += [*_curves(data, protocol), *_slow(data, protocol), *_variants(data, protocol)]
    asleep = [
        f"{CONTROLS[name]} after the {stream} of those that sleep: test accuracy {level:.3f}"
        for curve, stream in (("asleep", "images"), ("asleep on signs", "signs"))
        for name, level in control_ends(data, curve).items()
    ]
    return [*lines, *_accuracies(data), *_breaking(data), *sleeping.lines(data), *asleep]


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
    there = np.arange(values.shape[1]) < part["networks"].values[:, None]  # cells differ in it
    found = values[there][:, asked]
    return data["value"].values[asked], np.asarray(found)


def controls(data: xr.Dataset, protocols: Sequence[str] = ()) -> dict[str, float]:
    """What each control comes to on the stream of the probes: mean accuracy over networks and
    protocols, all of them by default.
    """
    found: dict[str, list[np.ndarray]] = {}
    for protocol in protocols or dict.fromkeys(map(str, data["protocol"].values)):
        names, values = variants(data, protocol)
        for name, words in CONTROLS.items():
            if words in names:
                found.setdefault(name, []).append(values[:, names.index(words)])
    return {name: float(np.mean(values)) for name, values in found.items()}


def control_ends(data: xr.Dataset, curve: str) -> dict[str, float]:
    """What each control comes to at the end of a learning curve, over networks and protocols."""
    found = {}
    for name, words in CONTROLS.items():
        values = [
            values[:, -1]
            for protocol in dict.fromkeys(map(str, data["protocol"].values))
            for _, values in [curves(data, protocol, f"{curve}: {words}")]
            if values.size
        ]
        if values:
            found[name] = float(np.mean(values))
    return found


def breaking_point(
    values: np.ndarray, found: np.ndarray, bar: float, *, from_below: bool
) -> tuple[float, float]:
    """From the value with the largest mean on towards the hard ones: the last up to which the 95 %
    interval of the mean lies above `bar`, and the first at which it does not; NaN for the former
    where it never does, for the latter where it does to the end.

    Parameters
    ----------
    values : array (n,), ascending
    found : array (repetitions, n); a mean of fewer than three is taken as it is
    from_below : whether small values are the hard ones
    """
    order = slice(None, None, -1) if from_below else slice(None)
    mean, half = over_repetitions(found)
    low = (mean - np.nan_to_num(half))[order]
    start = int(np.nanargmax(mean[order]))
    values, low = values[order][start:], low[start:]
    lost = np.flatnonzero(~(low > bar))
    if lost.size == 0:
        return float(values[-1]), float("nan")
    first = int(lost[0])
    return float(values[first - 1]) if first else float("nan"), float(values[first])


def _curves(data: xr.Dataset, protocol: str) -> list[str]:
    lines = []
    for curve in CURVES:
        shown, found = curves(data, protocol, curve)
        if not found.size:
            continue
        turned, _ = over_repetitions(curves(data, protocol, curve, "alignment")[1][:, -1])
        lines.append(
            f"learning_in_circuit, {protocol}, {curve}: test accuracy {told(found[:, -1])} after "
            f"{shown[-1]:.0f} shown ({len(found)} networks, 95 % t interval); cosine of B with W^T "
            f"{turned:.2f}"
        )
        for words in CONTROLS.values():
            _, other = curves(data, protocol, f"{curve}: {words}")
            if other.size:
                gap = paired_difference(found[:, -1], other[:, -1])
                lines.append(f"  {words}: {told(other[:, -1])}; less {told(gap.each, '+.3f')}")
    return lines


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
            for name, said in (("accuracy", "accuracy"), ("learnt_cosine", "cosine with BP")):
                values, found = curves(data, protocol, probe, name)
                if found.size:
                    pairs = zip(values, found.T, strict=True)
                    listed = ", ".join(f"{at:g}: {told(one, '.2f')}" for at, one in pairs)
                    lines.append(f"  {said} of {protocol} by {probe} ({words}): {listed}")
    return lines


def _breaking(data: xr.Dataset) -> list[str]:
    rows: list[dict[str, Any]] = []
    for probe, words in IN_WORDS.items():
        row: dict[str, Any] = {"probe": probe, "value": words}
        for protocol in dict.fromkeys(map(str, data["protocol"].values)):
            bars = controls(data, [protocol])
            if not bars:
                continue
            for name, said, bar in (
                ("accuracy", "accuracy", max(bars.values())),
                ("learnt_cosine", "cosine", DESCENDS),
            ):
                values, found = curves(data, protocol, probe, name)
                if found.size:
                    ends = breaking_point(values, found, bar, from_below=probe in FROM_BELOW)
                    row[f"{protocol}, {said}"] = " | ".join(
                        "-" if np.isnan(one) else f"{one:g}" for one in ends
                    )
        if len(row) > 2:
            rows.append(row)
    if not rows:
        return []
    return [
        "from the best value on, the last up to which the 95 % interval of the accuracy lies above "
        "the better control of the protocol, of the cosine of what W_1 learns with "
        f"back-propagation above {DESCENDS:g} | the first at which it does not (-: none)",
        pd.DataFrame(rows).fillna("").to_string(index=False),
    ]
