"""The tables of study `activations`: the tuning, the rules against BP, and the two suppositions."""

from __future__ import annotations

from itertools import product

import numpy as np
import xarray as xr

from analysis.comparison import (
    NAMES,
    RULES,
    Group,
    grid_findings,
    groups,
    paired_difference,
    tables,
)
from analysis.statistics import told

REFERENCE_UNITS = "leaky_relu"
ACCURACY = "test_accuracy_chosen"
SUPPOSITIONS = (
    "test accuracy with other hidden units less that with leaky-ReLU, paired by seed, and what of "
    "it BP does not share; points and 95 % intervals"
)
CLIPPED = "hidden targets of tanh units clipped to +-0.999, worst layer, in %"


def findings(data: xr.Dataset) -> list[str]:
    """What the tuning chose, all rules by data set and hidden units, and what that says of the
    paper's suppositions.
    """
    lines = []
    for gain in np.unique(data["input_gain"].values):
        part = data.isel(cell=data["input_gain"].values == gain)
        tuning = part.isel(cell=part["purpose"].values == "tuning")
        tests = part.isel(cell=part["purpose"].values == "test")
        words = f"images times {gain:g}"
        lines += [f"activations, {words}: what the tuning would choose, by validation", ""]
        lines += grid_findings(tuning) if tuning.sizes["cell"] else []
        lines += ["", f"activations, {words}: rules by data set and hidden units", ""]
        lines += tables(tests)
        lines += [f"activations, {words}: {SUPPOSITIONS}", "", *_suppositions(tests)]
        lines += [f"activations, {words}: {CLIPPED}", *_clipped(tests), ""]
    return lines


def by_seed(found: list[Group]) -> dict[tuple[str, str, str], np.ndarray]:
    """Accuracies by (rule, units, data set), (seeds,); only groups with the same seeds as all."""
    return {
        (rule, group.activation, group.dataset): group.accuracy(rule, ACCURACY)
        for group in found
        for rule in group.runs
    }


def _suppositions(tests: xr.Dataset) -> list[str]:
    """Each rule with other units less itself with leaky-ReLU, and so for its gap to BP."""
    found = by_seed(groups(tests))
    datasets = list(dict.fromkeys(name for _, _, name in found))
    lines = [
        "| rule | units | data set | gain | gain less BP's |",
        "| --- | --- | --- | --- | --- |",
    ]
    units = [unit for unit in dict.fromkeys(u for _, u, _ in found) if unit != REFERENCE_UNITS]
    for rule, unit, dataset in product(RULES, units, datasets):
        keys = [(rule, unit, dataset), (rule, REFERENCE_UNITS, dataset)]
        shared = [("bp", unit, dataset), ("bp", REFERENCE_UNITS, dataset)]
        if any(key not in found for key in (*keys, *shared)):
            continue
        new, old, bp_new, bp_old = (found[key] for key in (*keys, *shared))
        if not len(new) == len(old) == len(bp_new) == len(bp_old):
            continue
        gain, apart = paired_difference(new, old), paired_difference(new - bp_new, old - bp_old)
        words = [told(100 * np.asarray(d.each), "+.2f", ".2f") for d in (gain, apart)]
        if rule == "bp":
            words[1] = ""
        lines.append(f"| {NAMES[rule]} | {unit} | {dataset} | {words[0]} | {words[1]} |")
    return [*lines, ""]


def _clipped(tests: xr.Dataset) -> list[str]:
    """How many hidden targets left the range of tanh."""
    tanh = tests.isel(cell=tests["activation"].values == "tanh")
    lines = []
    for rule in ("gait", "itp", "tp"):
        part = tanh.isel(cell=tanh["rule"].values == rule)
        if part.sizes["cell"]:
            start, end = (100 * part[name].values for name in ("clipped_start", "clipped_end"))
            lines.append(
                f"{NAMES[rule]}: {start.mean():.2f} (largest {start.max():.2f}) before learning, "
                f"{end.mean():.2f} ({end.max():.2f}) at the end"
            )
    return lines
