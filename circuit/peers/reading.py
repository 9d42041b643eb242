"""Local plasticity for all readings: from a rule's signal to weight changes.

Owns how a synapse reads a target, a response or a contrast. For targets it is
`circuit.plasticity.local_update` and nothing else.
"""

from __future__ import annotations

from circuit.network import Network, require_activity
from circuit.numerics.arrays import namespace, outer_sum
from circuit.peers.signal import CONTRAST, RESPONSE, TARGET, Signal
from circuit.plasticity import Update, local_update
from circuit.shifts import require_fits


def signal_update(network: Network, signal: Signal, layer: int) -> Update:
    """The change of W and b of one layer for learning rate 1, averaged over the batch.

    Parameters
    ----------
    layer : 1 .. L
    """
    below = signal.presynaptic[layer - 1][..., : network.n_projecting(layer - 1)]
    shift = signal.shifts.per_gain(layer)
    if signal.reading == TARGET:
        return local_update(signal.activity.slope(layer), shift, below)
    xp, batch = namespace(shift), shift.shape[-2]
    weights, biases = outer_sum(shift, below), xp.sum(shift, axis=-2)
    if signal.reading == CONTRAST and layer > 1:
        # what layer - 1 shifts by, per the gain of this layer's synapses
        shifts = signal.shifts
        ratio = shifts.gains[layer - 2].over(shifts.gains[layer - 1]).value
        shift_below = shifts.per_gain(layer - 1)[..., : network.n_projecting(layer - 1)] * ratio
        weights = weights + outer_sum(signal.presynaptic[layer], shift_below)
    return Update(weights / batch, biases / batch)


def signal_updates(network: Network, signal: Signal) -> tuple[Update, ...]:
    """`signal_update` at every layer 1 .. L.

    Raises
    ------
    ShapeMismatch
        Where activity and shifts are not of this network and of one batch.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import forward, initialise
    >>> from circuit.learning import Lesson, teach
    >>> from circuit.peers import signal_updates
    >>> network, images = initialise([3, 2, 2], 0), np.array([[0.1, 0.2, 0.3]])
    >>> signal = teach(network, Lesson("bp"), forward(network, images), np.array([[0.0, 1.0]]))
    >>> [change.weights.shape for change in signal_updates(network, signal)]
    [(2, 2), (2, 2)]
    """
    require_activity(network, signal.activity)
    require_fits(signal.shifts, signal.activity.rates[1:])
    return tuple(signal_update(network, signal, layer) for layer in range(1, network.depth + 1))


__all__ = ["CONTRAST", "RESPONSE", "TARGET", "signal_update", "signal_updates"]
