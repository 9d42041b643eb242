"""What the slider of the site's front page moves through: cells measured with the studies' own
measures, and written as one script for a browser.

    python docs/drawings/strength_cells.py

writes docs/_static/strength_cells.js. A page that is opened from a file cannot fetch another one,
so the numbers (JSON) stand behind one assignment. Circuits of one seed, 20 images of the digits,
layers of 32 units, whose shifts come from `studies.strength` and whose fluctuations
from `studies.noise`.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from circuit.dynamics import begin, build_circuit
from circuit.errors import CircuitError
from circuit.numerics.arrays import to_numpy
from circuit.trial import Trial
from circuit.verification.judgement import Status
from circuit.verification.sliding import sliding_slopes
from studies.noise.fluctuations import averaged, readout_covariances
from studies.noise.theory import signal_to_noise, signals
from studies.setting import setting
from studies.strength.measures import rule_shifts, update_agreements
from studies.strength.partly_settled import SettledImages, settle_directly

GAMMAS = (0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.2, 0.3, 0.4)
GAMMAS += (0.5, 0.6, 0.7, 0.9)
DEPTHS, PATHWAYS, WEIGHTS = (1, 3, 5), ("gait", "itp"), ("orthogonal", "gaussian")
UNITS = ("leaky_relu", "asinh")
SIGMAS = (0.0001, 0.001, 0.01, 0.1)  # offered by the page; signal to noise falls as 1/sigma
NETWORK: dict[str, Any] = {"batch": 20, "width": 32, "seed": 1}
NOISY = 8  # images at most whose fluctuations are averaged
AVERAGE = 1000  # time constants over which a read-out is averaged
TARGET = Path(__file__).resolve().parents[1] / "_static" / "strength_cells.js"
PREFIX, SUFFIX = "window.strengthCells = ", ";\n"


def cell(gamma: float, depth: int, pathway: str, init: str, activation: str) -> dict[str, Any]:
    """One circuit at one feedback strength; lists begin with layer 1, None is what has no value."""
    given = setting(depth=depth, init=init, activation=activation, **NETWORK)
    trial = begin(build_circuit(given.network, pathway, gamma), given.inputs, given.targets)
    settled = by_the_default_method(trial)
    found: dict[str, Any] = {"settled": len(settled.images)}
    if settled.images:
        agreed = update_agreements(settled, {"bp": rule_shifts(settled.trial)["bp"]})
        cosine = agreed["cosine"].sel(readout="shift", rule="bp")
        found["shift"] = [float(f"{one:.3g}") for one in signals(settled.trial, settled.shifts)]
        found["cosine"] = [round(float(one), 4) for one in cosine]
        found["smooth"], found["snr"] = noise(settled)
    return found


@np.errstate(all="ignore")  # images that ran out of range are left out, not printed
def by_the_default_method(trial: Trial) -> SettledImages:
    """The images that `direct` brings to rest within the budget of the study."""
    record = settle_directly(trial)
    statuses = record.sample_status
    places = tuple(i for i, status in enumerate(statuses) if status is Status.CONVERGED)
    shown = places or range(len(statuses))
    return SettledImages(
        trial.samples(shown),
        record.shifts.samples(shown),
        record.mismatches.samples(shown),
        statuses,
        places,
    )


def noise(settled: SettledImages) -> tuple[int, list[float] | None]:
    """Images with no unit at its kink, at most `NOISY`, and the signal to noise of their layers at
    sigma = 1.
    """
    slides = sliding_slopes(settled.trial, settled.shifts)
    bent = np.any([to_numpy(one > 0).any(axis=-1) for one in slides], axis=0)
    smooth = np.flatnonzero(~bent)[:NOISY].tolist()
    if not smooth:
        return 0, None
    trial, shifts = settled.trial.samples(smooth), settled.shifts.samples(smooth)
    average = averaged([AVERAGE * trial.circuit.time_constants[0]])
    try:
        variances = np.stack(
            [
                np.diagonal(readout_covariances(trial, shifts, one, average)[0, 0])
                for one in range(len(smooth))
            ]
        )
    except CircuitError:  # an equilibrium that fluctuations leave
        return len(smooth), None
    ratios = signal_to_noise(trial, shifts, variances)
    return len(smooth), [float(f"{one:.3g}") for one in ratios]


def at_every_strength(circuit: tuple[int, str, str, str]) -> list[dict[str, Any]]:
    """The cells of one circuit, in the order of `GAMMAS`."""
    return [cell(gamma, *circuit) for gamma in GAMMAS]


def processor() -> str:
    """What the machine says that it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def measured() -> dict[str, Any]:
    """All cells, by "depth pathway weights units", a list in the order of `gammas` for each."""
    circuits = list(product(DEPTHS, PATHWAYS, WEIGHTS, UNITS))
    with ProcessPoolExecutor() as processes:
        found = processes.map(at_every_strength, circuits)
        cells = {" ".join(map(str, one)): row for one, row in zip(circuits, found, strict=True)}
    return {
        "command": "python docs/drawings/strength_cells.py",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {processor()}",
        "dataset": "digits",
        **{name: NETWORK[name] for name in ("batch", "width", "seed")},
        "average": AVERAGE,
        "noisy": NOISY,
        "gammas": GAMMAS,
        "depths": DEPTHS,
        "pathways": PATHWAYS,
        "weights": WEIGHTS,
        "units": UNITS,
        "sigmas": SIGMAS,
        "cells": cells,
    }


def written(data: dict[str, Any]) -> str:
    """The script for the browser."""
    return PREFIX + json.dumps(data, separators=(",", ":"), allow_nan=False) + SUFFIX


def read(path: Path = TARGET) -> dict[str, Any]:
    """What `written` has written."""
    text = path.read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.removeprefix(PREFIX).removesuffix(SUFFIX))
    return found


if __name__ == "__main__":
    TARGET.write_text(written(measured()), encoding="utf-8")
