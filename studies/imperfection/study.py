"""Imperfect symmetry of the pathway: what an inexact inverse does to alignment and stability.

Owns the cells of the study and what is measured in one.

One cell is one kind of imperfection in all sizes, so that the curves against size are those of one
network, one batch of images and one direction of the error. Units are smooth: what is missed at a
kink would be put down to the imperfection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from analysis.sweep.study import Seeds, Study, grid, unmeasured
from circuit.dynamics import begin, build_circuit
from circuit.network import Network, forward
from circuit.plasticity import updates
from circuit.report.alignment import agreement
from circuit.rules import RULES
from studies.imperfection.at_rest import AtRest, come_to_rest
from studies.imperfection.matrices import IMPERFECTIONS, distance, spread
from studies.setting import FIRST_PIXELS, reading, setting
from training.sources import OUTSIDE

# 2: settled by the front door, which at strong feedback finds other images' equilibria
VERSION = 2  # of what a result means; part of the key of every cell

SIZES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
AS_DRAWN = (0.0,)  # size of the transpose of weights that are not spread on purpose
RULE_NAMES = ("bp", "pathway")

AXES: dict[str, dict[str, Sequence[str | int | float]]] = {
    "smoke": {
        "depth": (2,),
        "init": ("orthogonal",),
        "kind": ("noisy", "transposed"),
        "pathway": ("itp", "gait"),
        "circuit": ("corrected", "plain"),
        "gamma": (0.1,),
    },
    "laptop": {
        "depth": (3,),
        "init": ("orthogonal", "gaussian"),
        "kind": ("noisy", "stale", "transposed"),
        "pathway": ("itp", "gait"),
        "circuit": ("corrected", "plain"),
        "gamma": (0.001, 0.03, 0.3),
    },
    "full": {
        "depth": (1, 3, 5),
        "init": ("orthogonal", "gaussian"),
        "kind": ("noisy", "stale", "transposed"),
        "pathway": ("itp", "gait"),
        "circuit": ("corrected", "plain"),
        "gamma": (0.001, 0.01, 0.03, 0.1, 0.3),
    },
}
SEEDS = {"smoke": (1,), "laptop": (1, 2, 3, 4, 5), "full": tuple(range(1, 11))}
BATCH = {"smoke": 6, "laptop": 12, "full": 60}
WIDTH = {"smoke": 10, "laptop": 16, "full": 32}
JUDGED = {"smoke": 2, "laptop": 4, "full": 10}  # images whose spectrum is computed


def study(
    scale: str, *, dataset: str = "digits", data_dir: str | None = None, seeds: Seeds = None
) -> Study:
    """The cells of the study at a scale: "smoke", "laptop" or "full"."""
    common = {
        "dataset": dataset,
        "data_dir": data_dir,
        "batch": BATCH[scale],
        "width": WIDTH[scale],
        "activation": "asinh",
        "judged": JUDGED[scale],
    } | reading(dataset)
    cells = grid(common, seed=SEEDS[scale] if seeds is None else seeds, **AXES[scale])
    shared = ("dataset", "data_dir", "batch", "width", "depth", "init", "activation", "seed")
    return Study(
        "imperfection", tuple(cells), measure, version=VERSION, group_by=shared, outside=OUTSIDE
    )


def measure(
    *,
    dataset: str,
    data_dir: str | None,
    batch: int,
    width: int,
    depth: int,
    init: str,
    activation: str,
    kind: str,
    pathway: str,
    circuit: str,
    gamma: float,
    judged: int,
    seed: int,
    reads: str = FIRST_PIXELS,
) -> xr.Dataset:
    """One cell: one kind of imperfection, in all sizes.

    Parameters
    ----------
    kind
        "noisy", "stale" or "transposed". The transpose of orthogonal weights is taken after their
        singular values were spread by the size; that of others as they are drawn, with size 0.
    circuit : "plain" or "corrected"
    judged : images whose spectrum is computed

    Returns
    -------
    xr.Dataset
        Along `size`: `distance`, |B - W^-1| / |W^-1|, the mean over the layers 2 .. L;
        `settled`, the fraction of images for which an equilibrium was found; `stable`, of those
        whose spectrum was computed, the fraction that have one and with all eigenvalues on the
        left; `abscissa`, the largest and `abscissa_median` the median of their spectral abscissae
        in 1/tau; `worst_residual`. Along (size, rule, layer): `cosine` and `norm_ratio` of the
        circuit's update with that of "bp" and of the "pathway"'s own rule, over the settled images.
        `free_shift` (size, layer): how far the free phase rests from the forward pass, relative to
        the rates. NaN where no image is settled. The status is "converged" where all images of all
        sizes are settled, else "no equilibrium: ..." with how many were not.
    """
    scene = setting(
        dataset=dataset,
        batch=batch,
        depth=depth,
        width=width,
        init=init,
        activation=activation,
        seed=seed,
        data_dir=data_dir,
        reads=reads,
    )
    sizes = AS_DRAWN if kind == "transposed" and init != "orthogonal" else SIZES
    result = _empty(depth + 1, sizes)
    missing = 0
    for row, size in enumerate(sizes):
        generator = np.random.default_rng([seed, depth, *f"{init} {kind}".encode()])
        network = scene.network
        if kind == "transposed" and size > 0:
            network = spread_network(network, size, generator)
        make = IMPERFECTIONS[kind]
        matrices = tuple(
            make(weights, size, generator) if _is_square(weights) else weights.T  # B_1, never used
            for weights in network.weights
        )[1:]
        through = build_circuit(
            network, pathway, gamma, feedback=matrices, corrected=circuit == "corrected"
        )
        found = come_to_rest(begin(through, scene.inputs, scene.targets))
        missing += int((~found.settled).sum())
        pairs = zip(matrices, network.weights[1:], strict=True)
        result["distance"][row] = np.mean([distance(*pair) for pair in pairs])
        _existence(result, row, found, judged)
        if found.settled.any():
            _alignment(result, row, found)
    if missing:
        result["status"] = f"no equilibrium: {missing} of {batch * len(sizes)} images and sizes"
    return result


def spread_network(network: Network, size: float, generator: np.random.Generator) -> Network:
    """The network with the singular values of all its weights spread, but of a W_1 that reads more
    than it has units: it has no inverse, and needs none.
    """
    weights = tuple(
        spread(matrix, size, generator) if _is_square(matrix) else matrix
        for matrix in network.weights
    )
    return replace(network, weights=weights)


def _is_square(matrix: np.ndarray) -> bool:
    return matrix.shape[0] == matrix.shape[1]


def _empty(layers: int, sizes: Sequence[float]) -> xr.Dataset:
    """All that a cell has, without values."""
    coords: dict[str, Sequence[str | int | float]] = {
        "size": list(sizes),
        "rule": list(RULE_NAMES),
        "layer": list(range(1, layers + 1)),
    }
    by_size = ("distance", "settled", "stable", "abscissa", "abscissa_median", "worst_residual")
    return unmeasured(
        coords,
        **dict.fromkeys(by_size, ("size",)),
        **dict.fromkeys(("cosine", "norm_ratio"), ("size", "rule", "layer")),
        free_shift=("size", "layer"),
    )


def _existence(result: xr.Dataset, row: int, found: AtRest, judged: int) -> None:
    """Whether there are equilibria, and stable ones."""
    leading = found.leading_eigenvalues(judged).real
    result["settled"][row] = found.settled.mean()
    result["stable"][row] = (leading < 0).mean()
    if np.isfinite(leading).any():
        result["abscissa"][row] = np.nanmax(leading)
        result["abscissa_median"][row] = np.nanmedian(leading)
    if found.settled.any():
        result["worst_residual"][row] = found.worst_residual


def _alignment(result: xr.Dataset, row: int, found: AtRest) -> None:
    """The circuit's update beside those of back-propagation and of its pathway's rule."""
    part, own = found.trial, found.updates()
    network, activity = part.network, forward(part.network, part.activity.rates[0])
    error = (part.target - activity.rates[-1])[:, : network.n_outputs]
    for column, name in enumerate(("bp", part.circuit.pathway.name)):
        shifts = RULES[name](network, activity, error, part.circuit.strengths)
        exact = updates(network, activity, shifts)
        for layer, (one, other) in enumerate(zip(own, exact, strict=True)):
            agreed = agreement(one.weights, other.weights)
            result["cosine"][row, column, layer] = agreed.cosine
            result["norm_ratio"][row, column, layer] = agreed.norm_ratio
    for layer in range(1, network.depth + 1):
        rates = activity.rates[layer]
        ratio = np.linalg.norm(part.activity.rates[layer] - rates) / np.linalg.norm(rates)
        result["free_shift"][row, layer - 1] = ratio
