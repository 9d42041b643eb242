"""Lateral inhibition that acts while the task is done: decorrelated drives, or decorrelated inputs.

Owns what inhibition makes of a layer's weights, and how its synapses learn. Does not own inhibition
that only teaches (`teaching`), nor the rule by which the synapses W learn.

Units inhibit one another until they rest, r = u - M r, and M learns as in `teaching`, from what
the task makes them do: dM_ij = eta <r_i r_j>, i != j.

    decorrelated_drives   among the units of a layer: h = R W y + b ,  R = (1 + M)^-1 ; M learns
                          from deviations of h from its mean over the batch (King et al. 2013, and
                          what the paper's section 9 proposes)
    decorrelated_inputs   among what a layer reads: h = W R y + b ; M learns from R y itself
                          (decorrelated back-propagation, Ahmad, Schrader and van Gerven 2022)

So a layer acts with the *effective* weights R W or W R. They are the weights of the network as
everything else knows it: forward pass, inverse, circuit, alignment. W itself, and M, are
companions. A synapse learns from its postsynaptic unit's shift and from the rate that reaches it,
which for decorrelated inputs is R y.
"""

from __future__ import annotations

from collections.abc import Sequence

from circuit.lateral_inhibition.teaching import (
    begin_lateral,
    correlations,
    require_stable,
    shifted,
    solved,
    without_diagonal,
)
from circuit.numerics.arrays import Array, namespace
from circuit.settings.pull import PLACES

DRIVES, INPUTS = PLACES
SYNAPSES, LATERAL = "synapses", "lateral"


def first_synapses(place: str, weights: Sequence[Array]) -> dict[str, tuple[Array, ...]]:
    """Synapses that are the weights as they stand, and no inhibition yet."""
    units = [one.shape[-2 if place == DRIVES else -1] for one in weights]
    lateral = tuple(begin_lateral(n, one)[0] for n, one in zip(units, weights, strict=True))
    return {SYNAPSES: tuple(weights), LATERAL: lateral}


def effective(place: str, synapses: Array, lateral: Array) -> Array:
    """R W (drives) or W R (inputs), `(..., n_post, n_pre)`.

    Raises
    ------
    CircuitError
        Where 1 + M is not positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.lateral_inhibition import effective
    >>> effective("decorrelated_drives", np.ones((2, 3)), np.eye(2))
    array([[0.5, 0.5, 0.5],
           [0.5, 0.5, 0.5]])
    """
    xp, system = namespace(synapses), shifted(lateral, 1.0)
    require_stable(system)
    if place == DRIVES:
        return xp.linalg.solve(system, synapses)
    return solved(system, synapses)  # M is symmetric


def through(place: str, direction: Array, lateral: Array) -> Array:
    """The direction that W learns in, from the one found with the rates y below, `shift y^T`.

    With decorrelated inputs a synapse sees R y, so that it is `shift (R y)^T`.
    """
    return solved(shifted(lateral, 1.0), direction) if place == INPUTS else direction


def learn(place: str, lateral: Array, drives: Array, inputs: Array, rate: float) -> Array:
    """M a step later.

    Parameters
    ----------
    drives : array (..., batch, n_post), h of the layer
    inputs : array (..., batch, n_pre), y that the layer reads
    rate : eta
    """
    if place == DRIVES:
        rates = drives - namespace(drives).mean(drives, axis=-2, keepdims=True)
    else:
        rates = solved(shifted(lateral, 1.0), inputs)
    return lateral + rate * without_diagonal(correlations(rates, rates))
