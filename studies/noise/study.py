"""Noise against bias: how weak feedback may be where rates fluctuate.

Theory is cheap, and is measured in every cell. In cells with `copies` > 0 so many copies of the
first image also run in Brian2, with rate noise of strength `noise`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from analysis.sweep.study import Seeds, Study, grid, unmeasured
from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.errors import CircuitError, NotFinite
from circuit.linearisation.matrix import dense_jacobian
from circuit.outcome import Equilibrium
from circuit.settings.circuits import READOUTS
from circuit.trial import Trial
from studies.noise.fluctuations import (
    averaged,
    averaged_steps,
    kink_noise,
    readout_covariances,
)
from studies.noise.theory import (
    compare,
    signal_to_noise,
    simulate,
    target_updates,
    update_bias,
    update_noise,
)
from studies.setting import reading, setting
from training.sources import OUTSIDE

VERSION = 1  # of what a result means; part of the key of every cell

TIME_CONSTANT = 0.010  # seconds, of every layer
DURATIONS = (1.0, 10.0, 100.0, 1000.0, 10000.0)  # averaging times, in time constants
STEP = 0.2  # of Euler's method, in time constants
WINDOW = 10.0  # averaging time in Brian2, in time constants
FAINT = 1e-3  # noise at which the linear theory is expected to hold
FORGOTTEN = 1e-3  # what a phase may keep of its beginning when averaging starts

AXES: dict[str, dict[str, Any]] = {
    "smoke": {
        "init": ("orthogonal",),
        "activation": ("asinh",),
        "pathway": ("gait",),
        "depth": (1,),
        "gamma": (0.01, 0.03, 0.1, 0.3),
    },
    "laptop": {
        "init": ("orthogonal",),
        "activation": ("asinh", "leaky_relu"),
        "pathway": ("gait", "itp"),
        "depth": (1, 3, 5),
        "gamma": tuple(float(f"{g:.3g}") for g in np.geomspace(0.001, 0.5, 15)),
    },
    "full": {
        "init": ("orthogonal", "gaussian"),
        "activation": ("asinh", "leaky_relu", "linear"),
        "pathway": ("gait", "itp"),
        "depth": (1, 2, 3, 5, 8),
        "gamma": tuple(float(f"{g:.3g}") for g in np.geomspace(0.001, 0.5, 29)),
    },
}
SEEDS = {"smoke": (1,), "laptop": (1, 2, 3, 4, 5, 6), "full": tuple(range(1, 11))}
BATCH = {"smoke": 2, "laptop": 4, "full": 8}
WIDTH = {"smoke": 10, "laptop": 16, "full": 24}
COPIES = {"smoke": 8, "laptop": 48, "full": 200}
# every so many strengths, with the first seed and smooth units, Brian2 runs too
SIMULATED = {"smoke": 3, "laptop": 3, "full": 4}
# Where the linear theory breaks: one depth and strength, noise from faint to strong.
BREAKING = {
    "smoke": (("asinh", "gait"),),
    "laptop": (("asinh", "gait"), ("leaky_relu", "gait"), ("leaky_relu", "itp")),
    "full": (("asinh", "gait"), ("leaky_relu", "gait"), ("leaky_relu", "itp"), ("asinh", "itp")),
}
STRONGER = {
    "smoke": (0.1, 1.0),
    "laptop": (0.0001, 0.0003, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    "full": (0.0001, 0.0003, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
}


def study(
    scale: str, *, dataset: str = "digits", data_dir: str | None = None, seeds: Seeds = None
) -> Study:
    """The cells of the study at a scale: "smoke", "laptop" or "full"."""
    axes, seeds = AXES[scale], SEEDS[scale] if seeds is None else tuple(seeds)
    common: dict[str, Any] = {
        "dataset": dataset,
        "data_dir": data_dir,
        "batch": BATCH[scale],
        "width": WIDTH[scale],
        "copies": COPIES[scale],
    } | reading(dataset)
    simulated = axes["gamma"][SIMULATED[scale] - 1 :: SIMULATED[scale]]
    smooth = {"activation": "asinh", "init": "orthogonal", "seed": seeds[0]}
    cells = grid(common | {"noise": FAINT}, seed=seeds, **axes)
    for cell in cells:
        if cell["gamma"] not in simulated or smooth.items() - cell.items():
            cell["copies"] = 0
    deep = {"depth": min(3, max(axes["depth"])), "gamma": 0.2, "init": "orthogonal"}
    breaking = [dict(zip(("activation", "pathway"), one, strict=True)) for one in BREAKING[scale]]
    cells += grid(common | deep | {"seed": seeds[0]}, units=breaking, noise=STRONGER[scale])
    shared = ("dataset", "data_dir", "batch", "width", "depth", "init", "activation", "seed")
    return Study("noise", tuple(cells), measure, version=VERSION, group_by=shared, outside=OUTSIDE)


def measure(*, pathway: str, gamma: float, noise: float, copies: int, **network: Any) -> xr.Dataset:
    """One cell: bias and noise of the update that each read-out leads to.

    Parameters
    ----------
    copies : of the first image that run in Brian2, with rate noise of strength `noise`
    network : as of `studies.setting.setting`

    Returns
    -------
    xr.Dataset
        `bias` and `misdirection` (readout, rule, layer) against the rules "pathway" (the pathway's
        own in the limit of weak feedback) and "bp"; `snr` and `update_noise` (readout, duration,
        layer) at sigma = 1, the latter against the first rule; `kink_noise`, the least of the
        batch; `image_snr` (readout, layer) of the first image for an average over `window` time
        constants in Euler steps, and, where Brian2 ran, its `simulated_ratio` of variances with
        `standard_error`, `z` and `mean_z`. The status is "no equilibrium: ..." where there is none,
        "at a kink: ..." where units rest at theirs,
        "unstable: ..." where it does not hold fluctuations, and "Brian2: ..." where rates ceased to
        be finite under the noise.
    """
    scene = setting(**network)
    circuit = build_circuit(scene.network, pathway, gamma, time_constant=TIME_CONSTANT)
    trial = begin(circuit, scene.inputs, scene.targets)
    record = settle(trial, must_converge=False)
    if not (record.converged or scene.network.activation(1).piecewise_linear):
        record = settle(trial, "newton", must_converge=False)
    result = _empty(scene.network.depth)
    if not record.converged:
        result["status"] = f"no equilibrium: {record.status.value}"
        return result
    if any(np.any(np.asarray(slopes) > 0) for slopes in record.sliding_slopes):
        result["status"] = "at a kink: units rest where their slope jumps, and nothing is linear"
        return result
    try:
        _theory(result, trial, record)
        average = averaged_steps(STEP * TIME_CONSTANT, round(WINDOW / STEP))
        theory = readout_covariances(trial, record.shifts, 0, average)
    except CircuitError as error:  # an equilibrium, but one that fluctuations leave
        result["status"] = f"unstable: {error}"
        return result
    variances = np.diagonal(theory, axis1=-2, axis2=-1)[:, None]  # (readout, 1, N)
    first = trial.samples([0])
    for index, readout in enumerate(READOUTS):
        reading = record.read_out(readout)
        alone = reading.with_values(tuple(value[:1] for value in reading.values))
        result["image_snr"][index] = signal_to_noise(first, alone, variances[index])
    if copies > 0:
        words = f"{pathway} {network['activation']} {gamma} {noise}"
        key = [network["seed"], network["depth"], *words.encode()]
        try:
            _simulation(result, record, theory, noise, copies, np.random.default_rng(key))
        except NotFinite as error:
            result["status"] = f"Brian2: {error}"
    return result


def _empty(layers: int) -> xr.Dataset:
    """All that a cell may have, without values."""
    coords: dict[str, Sequence[str | int | float]] = {
        "readout": list(READOUTS),
        "rule": ["pathway", "bp"],
        "duration": list(DURATIONS),
        "layer": list(range(1, layers + 1)),
    }
    each, brian2 = ("readout", "layer"), ("simulated_ratio", "standard_error", "z", "mean_z")
    variables = {
        **dict.fromkeys(("bias", "misdirection"), ("readout", "rule", "layer")),
        **dict.fromkeys(("snr", "update_noise"), ("readout", "duration", "layer")),
        **dict.fromkeys(("image_snr", *brian2), each),
        "kink_noise": (),
    }
    return unmeasured(coords, **variables).assign(window=WINDOW)


def _theory(result: xr.Dataset, trial: Trial, record: Equilibrium) -> None:
    """Bias, signal-to-noise ratio and noise of the update."""
    samples = range(trial.error.shape[0])
    average = averaged([one * TIME_CONSTANT for one in DURATIONS])
    variances = np.stack(
        [
            np.diagonal(
                readout_covariances(trial, record.shifts, sample, average), axis1=-2, axis2=-1
            )
            for sample in samples
        ],
        axis=2,
    )  # (readout, duration, batch, N)
    own = target_updates(trial, trial.circuit.pathway.name)
    references = (own, target_updates(trial, "bp"))
    for index, readout in enumerate(READOUTS):
        reading = record.read_out(readout)
        for row, targets in enumerate(references):
            bias, misdirection = update_bias(trial, reading, targets)
            result["bias"][index, row], result["misdirection"][index, row] = bias, misdirection
        result["snr"][index] = signal_to_noise(trial, reading, variances[index])
        result["update_noise"][index] = update_noise(trial, reading, variances[index], own)
    result["kink_noise"] = min(kink_noise(trial, record.shifts, sample) for sample in samples)


def _simulation(
    result: xr.Dataset,
    record: Equilibrium,
    theory: np.ndarray,
    noise: float,
    copies: int,
    generator: np.random.Generator,
) -> None:
    """The first image in Brian2, beside the theory of the same Euler steps."""
    trial = record.trial
    slowest = -float(np.linalg.eigvals(dense_jacobian(trial, record.shifts)).real.max())
    # and a signal passes through one layer in each step of the way there and back
    settling = -np.log(FORGOTTEN) / slowest + 2 * trial.network.depth * TIME_CONSTANT
    simulated = simulate(
        trial,
        0,
        noise=noise,
        copies=copies,
        step=STEP * TIME_CONSTANT,
        count=round(WINDOW / STEP),
        skip=int(np.ceil(settling / (STEP * TIME_CONSTANT))),
        generator=generator,
    )
    layers = range(1, trial.network.depth + 1)
    means = np.stack(
        [
            np.concatenate([record.read_out(name).absolute(layer)[0] for layer in layers])
            for name in READOUTS
        ]
    )
    found = compare(trial.network, simulated, theory, means)
    result["simulated_ratio"][:] = found.ratio
    result["standard_error"][:] = found.standard_error
    result["z"][:], result["mean_z"][:] = found.z, found.mean_z
