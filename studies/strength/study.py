"""The study `strength`: everything about the settled circuit, from very weak to strong feedback.

Owns the grid of cells, and the way from a cell to a trial. The measures are in
`studies.strength.measures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from analysis.sweep.study import Study, grid
from circuit.dynamics import begin, build_circuit
from circuit.errors import CircuitError
from circuit.trial import Trial
from studies.setting import described, reading, setting
from studies.strength.measures import first_crossing, measures
from training.sources import OUTSIDE, kept

GAMMAS = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)

# scale -> the grid, and what each cell is measured on
SCALES: dict[str, dict[str, Any]] = {
    "smoke": {
        "gamma": (1e-3, 0.05, 0.3),
        "depth": (1, 2),
        "width": (16,),
        "init": ("orthogonal", "gaussian"),
        "activation": ("leaky_relu",),
        "seeds": (1, 2),
        "batch": 10,
        "stability_units": 64,
    },
    "laptop": {
        "gamma": GAMMAS,
        "depth": (1, 3, 7),
        "width": (32, 64),
        "init": ("orthogonal", "gaussian"),
        "activation": ("leaky_relu", "asinh"),
        "seeds": (1, 2, 3, 4, 5),
        "batch": 20,
        "stability_units": 256,
    },
    "full": {
        "gamma": tuple(float(f"{gamma:.3g}") for gamma in np.geomspace(1e-5, 0.5, 24)),
        "depth": (1, 2, 3, 5, 7, 10),
        "width": (32, 64),
        "init": ("orthogonal", "gaussian"),
        "activation": ("leaky_relu", "asinh", "linear", "tanh"),
        "seeds": tuple(range(1, 11)),
        "batch": 60,
        "stability_units": 704,
    },
}
# 2: what direct leaves in the ITP circuit with kinks is tried by sweep
# 3: abscissas of circuits that are too large for a matrix; less work at kinks
VERSION = 4
OF_A_NETWORK = ("depth", "width", "init", "activation")
# rows of lengths 1/2 to 2, through the pathway that adjusts to them and the one that does not
UNEQUAL = {"init": ("unequal_rows",), "activation": ("leaky_relu",)}
LENGTHS = ("gait", "grait")


def study(
    scale: str = "laptop",
    *,
    dataset: str = "digits",
    data_dir: str | None = None,
    seeds: Sequence[int] | None = None,
    weights: Path | None = None,
) -> Study:
    """The cells of the study.

    Parameters
    ----------
    scale : "smoke" (seconds), "laptop" (most of an hour) or "full" (many hours)
    seeds : of images and weights; those of the scale if None
    weights : file with a trained network, which then is measured beside those with random weights

    Raises
    ------
    CircuitError
    """
    sizes = SCALES[scale]
    common = {
        "dataset": dataset,
        "data_dir": None if data_dir is None else str(data_dir),
        "batch": sizes["batch"],
        "stability_units": sizes["stability_units"],
        "weights": None,
        "weights_digest": None,
    } | reading(dataset)
    chosen = tuple(sizes["seeds"] if seeds is None else seeds)
    feedback = {"pathway": ("itp", "gait"), "gamma": sizes["gamma"]}
    cells = grid(common, **{name: sizes[name] for name in OF_A_NETWORK}, seed=chosen, **feedback)
    # where rows have one length, as those of orthogonal weights, GRAIT-prop is GAIT-prop
    unequal: dict[str, Any] = {name: sizes[name] for name in OF_A_NETWORK} | UNEQUAL
    unequal["width"] = sizes["width"][-1:]
    cells += grid(common, **unequal, seed=chosen, gamma=sizes["gamma"], pathway=LENGTHS)
    if weights is not None:
        trained = described(weights) | {"init": "trained"}
        _require_settleable(dataset, data_dir, weights)
        cells += grid(common | trained, seed=chosen, **feedback)
    shared = tuple(name for name in cells[0] if name not in {"pathway", "gamma"})
    return Study(
        "strength", tuple(cells), measure, group_by=shared, version=VERSION, outside=OUTSIDE
    )


def _require_settleable(dataset: str, data_dir: str | None, weights: Path) -> None:
    """Raise `CircuitError` for what would fail in every cell: images that the network does not
    read, units or weights that have no inverse.
    """
    try:
        given = setting(dataset=dataset, data_dir=data_dir, init="trained", weights=str(weights))
        build_circuit(given.network, "gait")
        for factors in given.network.factors[1:]:  # W_1 is never inverted
            factors.require_invertible()
    except CircuitError as error:
        named = str(error) if str(weights) in str(error) else f"weights file {weights}: {error}"
        raise CircuitError(named) from None


def measure(*, gamma: float, pathway: str, stability_units: int, **network: Any) -> xr.Dataset:
    """One cell: see `studies.strength.measures.measures`, and `first_crossing` of its network."""
    found = measures(_trial(pathway, gamma, **network), largest_units=stability_units)
    return found.assign(first_crossing=_first_crossing(pathway, **network))


def _trial(pathway: str, gamma: float, *, weights_digest: str | None, **network: Any) -> Trial:
    """The circuit of a cell with its images and targets."""
    return _first_trial(pathway, **network).with_feedback(gamma)


@kept(maxsize=2)
def _first_trial(pathway: str, **network: Any) -> Trial:
    """At any feedback strength, with the forward pass that those at all others share."""
    given = setting(**network)
    return begin(build_circuit(given.network, pathway), given.inputs, given.targets)


@kept(maxsize=8)
def _first_crossing(pathway: str, **network: Any) -> float:
    """Once for all feedback strengths of a network and pathway."""
    return first_crossing(lambda gamma: _trial(pathway, gamma, **network))
