"""Strong feedback: where the equilibrium loses stability or ceases to exist as gamma grows.

One cell is one image in one network, with the same gamma in all layers, the nudge included. Its
branch starts at the forward pass, gamma = 0, and is followed to its first loss of stability, or to
`LARGEST`. Units are smooth, for a kink has no branch to follow. Times are in units of tau.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from analysis.continuation import Branch, leading_eigenvalue
from analysis.stability import spectrum
from analysis.sweep.study import Seeds, Study, grid
from circuit.circuit import Circuit
from circuit.dynamics import begin, build_circuit
from circuit.units.linear import linear
from studies.setting import reading, setting
from studies.strong.branches import circuit_field, feedback_branch
from training.sources import OUTSIDE

VERSION = 1  # of what a result means; part of the key of every cell

# Outputs without a target keep their whole drive, so that at gamma = 1 nothing ties them and what
# is below them: the slowest mode of linear units goes as ((1 - gamma) / gamma)^L, 2e-9 for L = 9
LARGEST = 0.9
STRENGTHS = tuple(np.linspace(0.0, LARGEST, 46).tolist())  # at which linear units are shown
# of the branches that are kept as examples
POINTS_BEYOND = {"smoke": 15, "laptop": 120, "full": 120}
TANH_TARGET = 0.8  # one-hot targets are scaled by it for tanh, whose rates stay below 1

AXES: dict[str, dict[str, Sequence[str | int]]] = {
    "smoke": {
        "depth": (1, 2),
        "init": ("orthogonal", "gaussian"),
        "activation": ("tanh",),
        "pathway": ("itp", "gait"),
    },
    "laptop": {
        "depth": (1, 2, 3, 4, 6),
        "init": ("orthogonal", "gaussian"),
        "activation": ("asinh", "tanh"),
        "pathway": ("itp", "gait"),
    },
    "full": {
        "depth": (1, 2, 3, 4, 6, 8),
        "init": ("orthogonal", "gaussian"),
        "activation": ("asinh", "tanh"),
        "pathway": ("itp", "gait"),
    },
}
SEEDS = {"smoke": (1,), "laptop": (1, 2, 3, 4, 5), "full": tuple(range(1, 11))}
IMAGES = {"smoke": 1, "laptop": 2, "full": 5}
WIDTH = {"smoke": 10, "laptop": 16, "full": 32}
EXAMPLE_DEPTH = {"smoke": 2, "laptop": 4, "full": 4}


def study(
    scale: str, *, dataset: str = "digits", data_dir: str | None = None, seeds: Seeds = None
) -> Study:
    """The cells of the study at a scale: "smoke", "laptop" or "full"."""
    seeds = SEEDS[scale] if seeds is None else tuple(seeds)
    common = {
        "dataset": dataset,
        "data_dir": data_dir,
        "batch": IMAGES[scale],
        "width": WIDTH[scale],
        "points_beyond": 0,
    } | reading(dataset)
    cells = grid(common, seed=seeds, **AXES[scale], image=range(IMAGES[scale]))
    # where rows have one length, as those of orthogonal weights, GRAIT-prop is GAIT-prop
    unequal = AXES[scale] | {"init": ("unequal_rows",), "pathway": ("gait", "grait")}
    cells += grid(common, seed=seeds, **unequal, image=range(IMAGES[scale]))
    example = {"seed": seeds[0], "image": 0, "depth": EXAMPLE_DEPTH[scale]}
    for cell in cells:
        if example.items() <= cell.items():
            cell["points_beyond"] = POINTS_BEYOND[scale]
    shared = ("dataset", "data_dir", "batch", "width", "depth", "init", "activation", "seed")
    return Study("strong", tuple(cells), measure, version=VERSION, group_by=shared, outside=OUTSIDE)


def measure(
    *, activation: str, pathway: str, image: int, points_beyond: int, **network: Any
) -> xr.Dataset:
    """One cell: the branch of one image.

    Parameters
    ----------
    image : which of the batch
    points_beyond : 0, or how far to follow an example past its loss of stability, to be drawn
    network : as of `studies.setting.setting`

    Returns
    -------
    xr.Dataset
        As of `summarise`, with `last_abscissa_error`, what rounding may have done to
        `last_abscissa`; and for an example `branch_gamma`, `branch_shift` (root mean square over
        all units) and `branch_abscissa` along `point`, and `linear_abscissa` of the same circuit
        with linear units at `linear_gamma` along `strength`. The status is how stability was lost.
    """
    scene = setting(activation=activation, **network)
    targets = scene.targets * (TANH_TARGET if activation == "tanh" else 1.0)
    chosen = slice(image, image + 1)
    circuit = build_circuit(scene.network, pathway)
    trial = begin(circuit, scene.inputs[chosen], targets[chosen])
    branch = feedback_branch(trial, largest=LARGEST, points_beyond=points_beyond)
    result = summarise(branch)
    last = branch.points[-1]
    jacobian = circuit_field(trial).jacobian(last.state, last.parameter)
    result["last_abscissa_error"] = spectrum(jacobian).abscissa_error
    if points_beyond > 0:
        plain = begin(linearised(circuit), scene.inputs[chosen], targets[chosen])
        flat = circuit_field(plain)
        still = np.zeros_like(last.state)
        along = {
            "branch_gamma": [point.parameter for point in branch.points],
            "branch_shift": [
                float(np.sqrt(np.mean(np.square(point.state)))) for point in branch.points
            ],
            "branch_abscissa": [point.leading.real for point in branch.points],
        }
        result = result.assign({name: ("point", np.array(row)) for name, row in along.items()})
        rows = [leading_eigenvalue(flat.jacobian(still, gamma)).real for gamma in STRENGTHS]
        result["linear_gamma"] = ("strength", np.array(STRENGTHS))
        result["linear_abscissa"] = ("strength", np.array(rows))
    return result


def linearised(circuit: Circuit) -> Circuit:
    """The circuit with linear units."""
    units = (linear(),) * circuit.network.depth
    return replace(circuit, network=replace(circuit.network, activations=units))


def summarise(branch: Branch) -> xr.Dataset:
    """What a branch comes down to.

    Returns
    -------
    xr.Dataset
        `critical_gamma`, NaN where stability is never lost, and the leading eigenvalue there,
        `eigenvalue_real` and `eigenvalue_imag` in 1/tau, with `frequency` in cycles per tau and the
        relative `accuracy` of the place; `gamma_tangent`, the parameter's part of the unit tangent
        there, 0 at a fold; `largest_gamma` and `stable_gamma` that the branch reached, the latter
        before it lost stability; `last_abscissa` in 1/tau; `worst_residual` of its points, by the
        project's ruler; `n_points`.
    """
    critical, nothing = branch.critical, math.nan
    lost = critical is not None
    return xr.Dataset(
        {
            "critical_gamma": critical.parameter if critical else nothing,
            "eigenvalue_real": critical.leading.real if critical else nothing,
            "eigenvalue_imag": critical.leading.imag if critical else nothing,
            "frequency": critical.leading.imag / (2 * math.pi) if critical else nothing,
            "gamma_tangent": critical.tangent[-1] if critical else nothing,
            "accuracy": branch.accuracy if lost else nothing,
            "largest_gamma": max(point.parameter for point in branch.points),
            "stable_gamma": critical.parameter if critical else branch.points[-1].parameter,
            "last_abscissa": branch.points[-1].leading.real,
            "worst_residual": max(point.relative_residual for point in branch.points),
            "n_points": float(len(branch.points)),
            "status": branch.ending.value,
        }
    )
