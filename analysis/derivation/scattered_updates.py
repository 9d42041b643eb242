"""Weight changes of untrained square networks, rule by rule: Fig. 1 right and its counterpart."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.initialisation.networks import initialise
from circuit.network import forward
from circuit.numerics.arrays import Array
from circuit.plasticity import Update, updates
from circuit.report.alignment import agreement
from circuit.rules import RULES

DEPTH, WIDTH, BATCH = 3, 64, 20
GAMMA = 1e-3  # as in the paper's public code
LAYER = 1  # the furthest from the output, where rules differ most
DRAWN = 700  # synapses of it
INITS = ("gaussian", "orthogonal")
ALGORITHMS = ("tp", "gait")
CIRCUITS = tuple((way, read) for way in ("itp", "gait") for read in ("shift", "mismatch"))


def scattered(seed: int) -> xr.Dataset:
    """Updates of one hidden layer by BP, TP, GAIT-prop and four circuits, leaky-ReLU.

    Variables `bp_update`, `update` (source, weights, synapse), `scatter_cosine` (source, weights),
    and `scatter_unsettled` (source, weights): the inputs left out of an update, and of the BP that
    it is held against, because no equilibrium was found for them.
    """
    sources = [*ALGORITHMS, *(f"{way} {read}" for way, read in CIRCUITS)]
    shape = (len(sources), len(INITS))
    drawn = np.full((*shape, DRAWN), np.nan)
    reference = np.full((*shape, DRAWN), np.nan)
    cosines, unsettled = np.full(shape, np.nan), np.zeros(shape, dtype="i4")
    for column, init in enumerate(INITS):
        weights_rng, inputs_rng, synapses_rng = np.random.default_rng(seed).spawn(3)
        network = initialise([WIDTH] * (DEPTH + 1), weights_rng, init=init)
        inputs = inputs_rng.standard_normal((BATCH, WIDTH))
        targets = inputs_rng.standard_normal((BATCH, WIDTH))
        activity = forward(network, inputs)
        picks = synapses_rng.choice(WIDTH**2, DRAWN, replace=False)

        def enter(row: int, own: Update, other: Array) -> None:
            one = np.asarray(own.weights)
            drawn[row, column] = one.ravel()[picks]  # noqa: B023
            reference[row, column] = np.asarray(other).ravel()[picks]  # noqa: B023
            cosines[row, column] = agreement(one, other).cosine  # noqa: B023

        error = targets - activity.rates[-1]
        bp = updates(network, activity, RULES["bp"](network, activity, error, 1.0))[LAYER - 1]
        for row, rule in enumerate(ALGORITHMS):
            shifts = RULES[rule](network, activity, error, GAMMA)
            enter(row, updates(network, activity, shifts)[LAYER - 1], bp.weights)
        for row, (pathway, readout) in enumerate(CIRCUITS, len(ALGORITHMS)):
            circuit = build_circuit(network, pathway, GAMMA)
            record = settle(begin(circuit, inputs, targets), must_converge=False)
            good = [i for i, status in enumerate(record.sample_status) if status == "converged"]
            unsettled[row, column] = BATCH - len(good)
            if not good:
                continue
            trial = begin(circuit, inputs[good], targets[good])
            error = trial.error
            settled = settle(trial, must_converge=False)
            change = updates(network, trial.activity, settled.read_out(readout))[LAYER - 1]
            shifts = RULES["bp"](network, trial.activity, error, 1.0)
            enter(row, change, updates(network, trial.activity, shifts)[LAYER - 1].weights)
    return xr.Dataset(
        {
            "update": (("source", "weights", "synapse"), drawn),
            "bp_update": (("source", "weights", "synapse"), reference),
            "scatter_cosine": (("source", "weights"), cosines),
            "scatter_unsettled": (("source", "weights"), unsettled),
        },
        coords={"source": sources, "weights": list(INITS)},
        attrs={
            "scatter": f"layer {LAYER} of {DEPTH}, {WIDTH} leaky-ReLU units each, "
            f"mean over {BATCH} random inputs, gamma {GAMMA:g}",
            "scatter_share": math.ceil(100 * DRAWN / WIDTH**2),
        },
    )
