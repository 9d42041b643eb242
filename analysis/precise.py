"""The same trial in float64."""

from __future__ import annotations

from dataclasses import replace

from circuit.network import forward
from circuit.numerics.arrays import Array, namespace, widened
from circuit.trial import Trial
from circuit.verification.doubt import Doubt


def in_float64(trial: Trial) -> Trial:
    """The same circuit, input and targets in float64, with the forward pass computed anew.

    The free phase of a plain circuit, where it was settled, keeps its mismatches.
    """
    xp, network = namespace(trial.error), trial.network

    def exact(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(xp.astype(array, xp.float64) for array in arrays)

    if trial.error.dtype == xp.float64:
        return trial
    precise = network.astype(xp.float64)
    (inputs,) = exact(trial.activity.rates[:1])
    target = xp.astype(trial.activity.rates[-1], xp.float64) + xp.astype(trial.error, xp.float64)
    still = None if trial.still is None else exact(trial.still)
    activity = forward(precise, inputs, still)
    aimed = slice(None, network.n_outputs)
    error = widened((target - activity.rates[-1])[..., aimed], network.widths[-1])
    model = trial.circuit.feedback
    model = None if model is None else model.astype(xp.float64)
    circuit = replace(trial.circuit, network=precise, feedback=model)
    # from here on it is the target that is given
    return Trial(circuit, activity, error, Doubt(steepness=1.0), still)
