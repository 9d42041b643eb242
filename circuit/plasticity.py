"""Local plasticity: from a shift and two local rates to a weight change (Eqs. 3, 4, 13, 18).

Owns the step from shifts to dW and db, the same for every rule and for the circuit. What a synapse
uses is in the signature of `local_update`, and none of it is non-local.
"""

from __future__ import annotations

from dataclasses import dataclass

from circuit.errors import ShapeMismatch
from circuit.network import Activity, Network, require_activity
from circuit.numerics.arrays import Array, namespace, outer_sum
from circuit.records.brief import Brief
from circuit.shifts import Shifts, require_fits


@dataclass(frozen=True, eq=False, repr=False)
class Update(Brief):
    """Changes of W `(..., N_l, n_l)` and b `(..., N_l)` of one layer, for learning rate 1."""

    weights: Array
    biases: Array

    def _words(self) -> list[str]:
        return [f"W {tuple(self.weights.shape)}", f"b {tuple(self.biases.shape)}"]


def local_update(slope: Array, shift: Array, presynaptic: Array) -> Update:
    """Changes A_l delta_l y_{l-1}^T of W and A_l delta_l of b, averaged over the batch.

    Parameters
    ----------
    slope : array (..., batch, n_post)
        f' of the postsynaptic units at their own drive.
    shift : array (..., batch, n_post)
        Shift (or mismatch) of the postsynaptic units, divided by the layer's gain.
    presynaptic : array (..., batch, n_pre)
        Rates of the presynaptic units.

    Raises `ShapeMismatch`.
    """
    xp = namespace(slope, shift, presynaptic)
    if slope.shape != shift.shape or slope.shape[:-1] != presynaptic.shape[:-1]:
        raise ShapeMismatch(
            f"slopes {tuple(slope.shape)}, shifts {tuple(shift.shape)} and presynaptic rates "
            f"{tuple(presynaptic.shape)} are not of one layer and batch; give those that are"
        )
    error = slope * shift / slope.shape[-2]
    return Update(
        weights=outer_sum(error, presynaptic),
        biases=xp.sum(error, axis=-2),
    )


def layer_update(network: Network, activity: Activity, shifts: Shifts, layer: int) -> Update:
    """`local_update` at one layer, with the rates and slopes of `activity`.

    The shift is divided by its gain, the product of feedback strengths that the layer knows: this
    is the factor gamma^-1 of Alg. 1, as the product that Eq. 21 needs.
    """
    return local_update(
        activity.slope(layer),
        shifts.per_gain(layer),
        activity.rates[layer - 1][..., : network.n_projecting(layer - 1)],
    )


def updates(network: Network, activity: Activity, shifts: Shifts) -> tuple[Update, ...]:
    """`layer_update` at every layer 1 .. L.

    Raises `ShapeMismatch` where activity and shifts are not of this network and of one batch.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle, updates
    >>> trial = begin(build_circuit(initialise([4, 3, 2], 0)), [[0.1, 0.2, 0.3, 0.4]], [1])
    >>> updates(trial.network, trial.activity, settle(trial).shifts)
    (Update(W (3, 3), b (3,)), Update(W (2, 2), b (2,)))
    """
    require_activity(network, activity)
    require_fits(shifts, activity.rates[1:])
    layers = range(1, network.depth + 1)
    return tuple(layer_update(network, activity, shifts, layer) for layer in layers)
