"""The tables of study `bench`, and what its pictures take from the cells."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.statistics import told
from studies.bench.study import AT_STRENGTH

UNITS = {"leaky_relu": "leaky-ReLU", "asinh": "asinh", "tanh": "tanh", "linear": "linear"}
AXES = {
    "layers": "by number of layers, each rule at its default strength",
    "strength": "by strength, four layers",
    "noise": "by the standard deviation with which rates are read, four layers",
}


def findings(data: xr.Dataset) -> list[str]:
    """Lines to print: cosine of layer 1 with back-propagation, mean +- half a 95 % interval over
    seeds; and the images that settled.
    """
    lines = []
    for axis, words in AXES.items():
        found = of_axis(data, axis)
        if not found.sizes["cell"]:
            continue
        for unit, init in combinations(found):
            here = found.isel(
                cell=(found["activation"].values == unit) & (found["init"].values == init)
            )
            title = f"bench: cosine with back-propagation in layer 1 {words};"
            lines += ["", f"{title} {UNITS.get(unit, unit)}, {init} weights"]
            values = np.unique(here[axis].values)
            lines.append(f"{'rule':<10}" + "".join(f"{value:>17g}" for value in values))
            for rule in rules_of(here, axis):
                entries = [
                    told(first_layer(here, rule, here[axis].values == value), ".3f")
                    for value in values
                ]
                lines.append(f"{rule:<10}" + "".join(f"{entry:>17}" for entry in entries))
    return [*lines[1:], "", *_settled(data)]


def _settled(data: xr.Dataset) -> list[str]:
    """Rules of which some image did not settle, in all cells together."""
    parts = data["settled"].mean("cell")
    short = [str(rule) for rule in data["rule"].values if parts.sel(rule=rule) < 1]
    if not short:
        return ["bench: all images settled, by every rule."]
    words = ", ".join(f"{rule} {float(parts.sel(rule=rule)):.0%}" for rule in short)
    return [f"bench: images that settled: {words}; all others 100%."]


def of_axis(data: xr.Dataset, axis: str) -> xr.Dataset:
    """The cells in which `axis` varies."""
    return data.isel(cell=data["axis"].values == axis)


def combinations(data: xr.Dataset) -> list[tuple[str, str]]:
    """Units and weights that occur together, in the order of the cells."""
    pairs = zip(data["activation"].values, data["init"].values, strict=True)
    return list(dict.fromkeys((str(unit), str(init)) for unit, init in pairs))


def rules_of(data: xr.Dataset, axis: str) -> list[str]:
    """The rules that the axis says something of."""
    rules = [str(rule) for rule in data["rule"].values]
    return [rule for rule in rules if axis != "strength" or rule in AT_STRENGTH]


def first_layer(data: xr.Dataset, rule: str, cells: np.ndarray) -> np.ndarray:
    """Cosines of layer 1 in these cells."""
    values: np.ndarray = data["bp_cosine"].sel(rule=rule, layer=1).values[cells]
    return values
