"""The report of a settled circuit as labelled arrays, from which the figures are drawn.

Does not own the numbers (`circuit.report.comparison`).
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from circuit.numerics.arrays import to_numpy
from circuit.plasticity import Update
from circuit.report.comparison import Report

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
    record, depth = found.record, len(found.layers)
    trial, network = record.trial, record.trial.network
    changes = {name: entry for name, entry in found.rule_updates.items() if entry is not None}
    rules = list(changes)
    layers = np.arange(1, depth + 1)
    shapes = [tuple(matrix.shape) for matrix in network.weights]
    picks = [
        generator.choice(count, size=SCATTERED_SYNAPSES, replace=count < SCATTERED_SYNAPSES)
        for count in (units * read for units, read in shapes)
    ]

    def sampled(changes: tuple[Update, ...]) -> np.ndarray:
        return np.stack(
            [to_numpy(c.weights).ravel()[p] for c, p in zip(changes, picks, strict=True)]
        )

    def measure(field: str) -> tuple[tuple[str, str], np.ndarray]:
        values = [
            [getattr(layer.updates[r], field, np.nan) for layer in found.layers] for r in rules
        ]
        return ("rule", "layer"), np.array(values)

    variables: dict[str, object] = {
        "relative_residual": ("layer", np.array(record.relative_residuals)),
        "error_bound": ("layer", np.array(record.error_bounds)),
        "bound": ("layer", np.array([layer.bound for layer in found.layers])),
        "log10_shift": ("layer", np.array([layer.log10_shift for layer in found.layers])),
        "log10_prediction": ("layer", np.array([layer.log10_prediction for layer in found.layers])),
        "log10_floor": ("layer", np.array([layer.log10_floor for layer in found.layers])),
        "feedback_strength": ("layer", np.array(trial.circuit.strengths)),
        "cosine": measure("cosine"),
        "relative_error": measure("relative_error"),
        "norm_ratio": measure("norm_ratio"),
        "circuit_update": (("layer", "synapse"), sampled(found.circuit_updates)),
        "rule_update": (
            ("rule", "layer", "synapse"),
            np.stack([sampled(changes[rule]) for rule in rules]),
        ),
        "synapse_pre": (
            ("layer", "synapse"),
            np.stack([p % read for p, (_, read) in zip(picks, shapes, strict=True)]).astype("i4"),
        ),
        "synapse_post": (
            ("layer", "synapse"),
            np.stack([p // read for p, (_, read) in zip(picks, shapes, strict=True)]).astype("i4"),
        ),
        "input": (("sample", "unit_0"), to_numpy(trial.activity.rates[0])),
    }
    for layer in range(1, depth + 1):
        dimensions = ("sample", f"unit_{layer}")
        scale, gain = record.shifts.scales[layer - 1], record.shifts.gains[layer - 1]
        note = {
            "long_name": f"shift of layer {layer} divided by its gain",
            "log10_gain": gain.log10,
            "log10_scale": scale.log10,
        }
        variables[f"forward_rate_{layer}"] = (dimensions, to_numpy(trial.activity.rates[layer]))
        variables[f"shift_per_gain_{layer}"] = (
            dimensions,
            to_numpy(record.shifts.per_gain(layer)),
            note,
        )
        variables[f"mismatch_per_gain_{layer}"] = (
            dimensions,
            to_numpy(record.mismatches.per_gain(layer)),
            note | {"long_name": f"mismatch of layer {layer} divided by its gain"},
        )
    return xr.Dataset(
        variables,
        coords={"layer": layers, "rule": rules},
        attrs={
            "pathway": found.pathway,
            "readout": found.readout,
            "status": record.status.value,
            "verdict": found.verdict,
            "agrees": int(found.agrees),
            "method": record.method,
        },
    )
