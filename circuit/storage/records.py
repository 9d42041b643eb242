"""A settled circuit on disk: one .npz file of plain arrays, which is a weights file too.

Owns the members that come beside those of `storage.networks`: `record_version`; `pathway`,
`strengths` and `time_constants` of the circuit; `y_0` .. `y_L`, `h_l` and `slope_l` of the forward
pass, and `error`, `doubt` of the trial; of the shifts `delta_l`, and `scales` and `gains` as rows
(mantissa, exponent); and what the record says of itself, by its fields' names. Nothing is pickled,
and what is read back is the same bit for bit, as NumPy arrays.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from circuit.dynamics import build_circuit
from circuit.errors import CircuitError
from circuit.losses import Doubt
from circuit.network import Activity, require_activity
from circuit.numerics.arrays import to_numpy
from circuit.numerics.scale import Scale
from circuit.outcome import Equilibrium
from circuit.shifts import Shifts, require_fits
from circuit.storage.networks import arrays_of, network_arrays, network_of, write_arrays
from circuit.trial import Trial
from circuit.verification.judgement import Status

VERSION = 1
COUNTS = ("evaluations", "steps")
NUMBERS = ("tolerance", "seconds")


def save_record(path: str | os.PathLike[str], record: Equilibrium) -> None:
    """Write a record whole, or leave what was there.

    Raises `CircuitError` as `save_network`, and for feedback that is not the exact inverse.
    """
    trial, shifts = record.trial, record.shifts
    if trial.circuit.feedback is not None:
        raise CircuitError(
            "a record whose feedback goes through other matrices than the exact inverse has no "
            "file format; pickle it"
        )
    arrays = network_arrays(trial.network)
    for name, each, first in (
        ("y", trial.activity.rates, 0),
        ("h", trial.activity.drives, 1),
        ("slope", trial.activity.slopes, 1),
        ("delta", shifts.values, 1),
    ):
        arrays |= {f"{name}_{layer}": to_numpy(array) for layer, array in enumerate(each, first)}
    arrays |= {name: np.array(getattr(record, name)) for name in (*COUNTS, *NUMBERS, "method")}
    time = record.model_time
    write_arrays(
        path,
        arrays
        | {
            "record_version": np.array(VERSION),
            "pathway": np.array(trial.circuit.pathway.name),
            "strengths": np.array(trial.circuit.strengths),
            "time_constants": np.array(trial.circuit.time_constants),
            "error": to_numpy(trial.error),
            "doubt": np.array([trial.doubt.steepness, trial.doubt.rounding]),
            "scales": np.array(shifts.scales),
            "gains": np.array(shifts.gains),
            "status": np.array(record.status.value),
            "sample_status": np.array([status.value for status in record.sample_status]),
            "relative_residuals": np.array(record.relative_residuals),
            "model_time": np.array(np.nan if time is None else time),
        },
    )


def load_record(path: str | os.PathLike[str]) -> Equilibrium:
    """The record in the file.

    Raises `CircuitError`, in one line with the name of the file, as `load_network`.
    """
    with arrays_of(Path(path), "record", "give a file written by record.save") as members:
        return _record(members)


def _record(members: Mapping[str, np.ndarray]) -> Equilibrium:
    version = members["record_version"].item()
    if version != VERSION:
        raise ValueError(f"its version is {version}, and only version {VERSION} is known here")
    network = network_of(members)
    layers = range(1, network.depth + 1)

    def each(name: str, numbers: Sequence[int] = layers) -> tuple[np.ndarray, ...]:
        return tuple(members[f"{name}_{layer}"] for layer in numbers)

    circuit = build_circuit(
        network,
        str(members["pathway"]),
        tuple(members["strengths"].tolist()),
        time_constant=tuple(members["time_constants"].tolist()),
    )
    activity = Activity(each("y", range(network.depth + 1)), each("h"), each("slope"))
    require_activity(network, activity)
    for what in (activity.drives, activity.slopes, (*activity.rates[1:-1], members["error"])):
        require_fits(Shifts(what, (), ()), activity.rates[1:])
    shifts = Shifts(each("delta"), _scales(members["scales"]), _scales(members["gains"]))
    require_fits(shifts, activity.rates[1:])
    statuses = tuple(Status(str(word)) for word in members["sample_status"])
    residuals = tuple(map(float, members["relative_residuals"]))
    counts = (len(shifts.scales), len(shifts.gains), len(residuals), len(statuses))
    if counts != (network.depth,) * 3 + (len(activity.rates[0]),):
        raise ValueError(f"it has {counts} scales, gains, residuals and statuses")
    time = float(members["model_time"])
    plain: dict[str, Any] = {name: int(members[name]) for name in COUNTS}
    plain |= {name: float(members[name]) for name in NUMBERS}
    return Equilibrium(
        trial=Trial(circuit, activity, members["error"], Doubt(*map(float, members["doubt"]))),
        shifts=shifts,
        status=Status(str(members["status"])),
        sample_status=statuses,
        relative_residuals=residuals,
        model_time=None if np.isnan(time) else time,
        method=str(members["method"]),
        **plain,
    )


def _scales(rows: np.ndarray) -> tuple[Scale, ...]:
    return tuple(Scale(float(mantissa), int(exponent)) for mantissa, exponent in rows)
