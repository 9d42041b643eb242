"""The report of a settled circuit as labelled arrays, from which the figures are drawn.

Does not own the numbers (`circuit.report.comparison`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from circuit.numerics.arrays import to_numpy
from circuit.plasticity import Update
from circuit.report.comparison import Report

Changes = tuple[Update, ...]  # of every layer
Variables = dict[str, Any]  # name -> dimensions, values and notes, as `xr.Dataset` takes them
SCATTERED_SYNAPSES = 1500  # of each layer, kept for the scatter plot


def as_dataset(found: Report, generator: np.random.Generator) -> xr.Dataset:
    """Everything that the figures show and a reader may want, as labelled arrays.

    `generator` draws the synapses that are kept for the scatter plot.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.report import as_dataset, report
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> as_dataset(report(settle(trial)), np.random.default_rng(0)).sizes["layer"]
    2
    """
    record, changes = found.record, _changes(found)
    variables = _by_layer(found) | _of_synapses(found, changes, generator) | _of_units(found)
    return xr.Dataset(
        variables,
        coords={"layer": np.arange(1, len(found.layers) + 1), "rule": list(changes)},
        attrs={
            "pathway": found.pathway,
            "readout": found.readout,
            "status": record.status.value,
            "verdict": found.verdict,
            "agrees": int(found.agrees),
            "method": record.method,
        },
    )


def _changes(found: Report) -> dict[str, Changes]:
    """The weight changes of every rule that has one here."""
    return {name: entry for name, entry in found.rule_updates.items() if entry is not None}


def _by_layer(found: Report) -> Variables:
    """Numbers that a layer has one of, some of them for every rule."""
    record, layers = found.record, found.layers

    def measure(field: str) -> tuple[tuple[str, str], np.ndarray]:
        values = [
            [getattr(layer.updates[rule], field, np.nan) for layer in layers]
            for rule in _changes(found)
        ]
        return ("rule", "layer"), np.array(values)

    return {
        "relative_residual": ("layer", np.array(record.relative_residuals)),
        "error_bound": ("layer", np.array(record.error_bounds)),
        "bound": ("layer", np.array([layer.bound for layer in layers])),
        "log10_shift": ("layer", np.array([layer.log10_shift for layer in layers])),
        "log10_prediction": ("layer", np.array([layer.log10_prediction for layer in layers])),
        "log10_floor": ("layer", np.array([layer.log10_floor for layer in layers])),
        "feedback_strength": ("layer", np.array(record.trial.circuit.strengths)),
        "cosine": measure("cosine"),
        "relative_error": measure("relative_error"),
        "norm_ratio": measure("norm_ratio"),
    }


def _of_synapses(
    found: Report, changes: Mapping[str, Changes], generator: np.random.Generator
) -> Variables:
    """Some synapses of every layer: which they are, and how circuit and rules change them."""
    shapes = [tuple(matrix.shape) for matrix in found.record.trial.network.weights]
    picks = [
        generator.choice(count, size=SCATTERED_SYNAPSES, replace=count < SCATTERED_SYNAPSES)
        for count in (units * read for units, read in shapes)
    ]

    def sampled(changes: Changes) -> np.ndarray:
        return np.stack(
            [to_numpy(c.weights).ravel()[p] for c, p in zip(changes, picks, strict=True)]
        )

    pre = [p % read for p, (_, read) in zip(picks, shapes, strict=True)]
    post = [p // read for p, (_, read) in zip(picks, shapes, strict=True)]
    one = ("layer", "synapse")
    return {
        "circuit_update": (one, sampled(found.circuit_updates)),
        "rule_update": (("rule", *one), np.stack([sampled(each) for each in changes.values()])),
        "synapse_pre": (one, np.stack(pre).astype("i4")),
        "synapse_post": (one, np.stack(post).astype("i4")),
    }


def _of_units(found: Report) -> Variables:
    """Rates, shifts and mismatches, (sample, unit)."""
    record, rates = found.record, found.record.trial.activity.rates
    variables: Variables = {"input": (("sample", "unit_0"), to_numpy(rates[0]))}
    for layer in range(1, len(found.layers) + 1):
        dimensions = ("sample", f"unit_{layer}")
        shifts, mismatches = record.shifts, record.mismatches
        note = {
            "long_name": f"shift of layer {layer} divided by its gain",
            "log10_gain": shifts.gains[layer - 1].log10,
            "log10_scale": shifts.scales[layer - 1].log10,
        }
        variables[f"forward_rate_{layer}"] = (dimensions, to_numpy(rates[layer]))
        variables[f"shift_per_gain_{layer}"] = (
            dimensions,
            to_numpy(shifts.per_gain(layer)),
            note,
        )
        variables[f"mismatch_per_gain_{layer}"] = (
            dimensions,
            to_numpy(mismatches.per_gain(layer)),
            note | {"long_name": f"mismatch of layer {layer} divided by its gain"},
        )
    return variables
