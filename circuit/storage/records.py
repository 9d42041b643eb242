"""A settled circuit on disk: one .npz file of plain arrays, which is a weights file too.

Owns the members that come beside those of `storage.networks`: `record_version` (2 where feedback is
not the exact inverse, else 1); `pathway`, `strengths` and `time_constants` of the circuit; `y_0` ..
`y_L`, `h_l` and `slope_l` of what shifts count from, and `error`, `doubt` of the trial; of other
feedback its `B_l` and `c_l`, `feedback` (whether it is corrected, and exact) and, of a plain
circuit, `still_l`; of the shifts `delta_l`, and `scales` and `gains` as rows (mantissa, exponent);
and what the record says of itself, by its fields' names. The record of a plain circuit's free phase
is not kept, but its state is, as `still_l` and what shifts count from; a pickle keeps all. Nothing
is pickled here, and what is read back is the same bit for bit, as NumPy arrays.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from circuit.dynamics import build_circuit
from circuit.learned_inverse.inverse_model import InverseModel
from circuit.network import Activity, require_activity
from circuit.numerics.arrays import to_numpy
from circuit.numerics.scale import Scale
from circuit.outcome import Equilibrium
from circuit.shifts import Shifts, require_fits
from circuit.storage.networks import arrays_of, network_arrays, network_of, write_arrays
from circuit.trial import Trial
from circuit.verification.doubt import Doubt
from circuit.verification.judgement import Status

VERSION, THROUGH_OTHERS = VERSIONS = (1, 2)  # the second has feedback that the first lacks
COUNTS = ("evaluations", "steps")
NUMBERS = ("tolerance", "seconds")


def save_record(path: str | os.PathLike[str], record: Equilibrium) -> None:
    """Write a record whole, or leave what was there.

    Raises `CircuitError` as `save_network`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.storage import load_record, save_record
    >>> record = settle(begin(build_circuit(initialise([2, 2], 0)), [[0.1, 0.2]], [1]))
    >>> with TemporaryDirectory() as folder:
    ...     save_record(f"{folder}/record.npz", record)
    ...     again = load_record(f"{folder}/record.npz")
    >>> again.status.value
    'converged'
    """
    trial, shifts = record.trial, record.shifts
    arrays = network_arrays(trial.network) | _feedback_arrays(trial)
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
            "record_version": np.array(THROUGH_OTHERS if "feedback" in arrays else VERSION),
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


def _feedback_arrays(trial: Trial) -> dict[str, np.ndarray]:
    """What stands in for the exact inverse; nothing where that is the feedback."""
    model = trial.circuit.feedback
    if model is None:
        return {}
    arrays = {"feedback": np.array([trial.circuit.corrected, model.exact])}
    for name, each, first in (
        ("B", model.weights, 2),
        ("c", model.biases, 2),
        ("still", trial.still or (), 1),
    ):
        arrays |= {f"{name}_{layer}": to_numpy(array) for layer, array in enumerate(each, first)}
    return arrays


def load_record(path: str | os.PathLike[str]) -> Equilibrium:
    """The record in the file.

    Raises `CircuitError`, in one line with the name of the file, as `load_network`.

    Examples
    --------
    >>> from circuit.storage import load_record
    >>> load_record("nowhere.npz")
    Traceback (most recent call last):
    circuit.errors.CircuitError: record nowhere.npz: no such file; ...
    """
    with arrays_of(Path(path), "record", "give a file written by record.save") as members:
        return _record(members)


def _record(members: Mapping[str, np.ndarray]) -> Equilibrium:
    version = members["record_version"].item()
    if version not in VERSIONS:
        raise ValueError(f"its version is {version}, and only 1 and 2 are known here")
    network = network_of(members)
    layers = range(1, network.depth + 1)

    def each(name: str, numbers: Sequence[int] = layers) -> tuple[np.ndarray, ...]:
        return tuple(members[f"{name}_{layer}"] for layer in numbers)

    through: dict[str, Any] = {}
    if "feedback" in members:
        corrected, exact = map(bool, members["feedback"])
        above = range(2, network.depth + 1)
        biases = each("c", above) if "c_2" in members else ()
        through = {
            "feedback": InverseModel(each("B", above), biases, exact),
            "corrected": corrected,
        }
    circuit = build_circuit(
        network,
        str(members["pathway"]),
        tuple(members["strengths"].tolist()),
        time_constant=tuple(members["time_constants"].tolist()),
        **through,
    )
    still = each("still") if "still_1" in members else None
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
        trial=Trial(
            circuit, activity, members["error"], Doubt(*map(float, members["doubt"])), still
        ),
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
