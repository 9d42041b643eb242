"""Deep feedback control at its steady state (Meulemans et al. 2021).

A controller u, as many numbers as outputs, drives all layers through feedback Q until the outputs
are where it wants them, but for its leak a:

    v_l = W_l r_{l-1} + b_l + Q_l u,   r_l = f(v_l),   r_0 = x
    r_L* - r_L(u) = a u,               r_L* = y_L + lambda e

with y the forward pass and e = -dC/dy_L there. A synapse reads the response, f(v_l) less
f(W_l r_{l-1} + b_l), times r_{l-1}: f' is in it already. The steady state of the controller
du/dt = r_L* - r_L(u) - a u is found by Newton's method with the matrix J Q + a I, J the derivative
of the outputs by all drives, the outputs' own included (`circuit.peers.control`): that of the
forward pass, corrected by what each step shows, and taken anew where that does not do. It is stable
where the real parts of the eigenvalues of J Q there exceed -a, which the record tells: a random Q
has steady states that the controller never reaches.

In a linear network u = (J Q + a I)^-1 lambda e, and the response of layer l is Q_l u. With Q = J^T
that is predictive coding at lambda = 1 / (1 + a), times lambda; as a grows it is back-propagation,
and as a vanishes Gauss-Newton. With slopes f' below 1 this Q, as published, has one f' more than
back-propagation needs: Q_l = A_l F_l^T, and the response is A_l times that. Feedback "rates",
Q_l = F_l^T, is back-propagation as a grows in all networks.

u is kept in units of lambda / (1 + a), and all shifts in running scales of their layers.

Passes, of L - 1 products each: n_outputs (L - 2) / (L - 1) for the derivatives at the forward pass,
as many again each time that they are taken anew and, where slopes have changed, for the eigenvalues
(unless `stability` is off); 1 for each step. The derivatives are arrays (..., batch, n_outputs,
N_l).

Meulemans, Farinha, Ordonez, Aceituno, Sacramento and Grewe 2021, "Credit assignment in neural
networks through deep feedback control", NeurIPS.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from circuit.errors import ShapeMismatch
from circuit.losses import Loss, output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, namespace, require_samples
from circuit.numerics.keyed_random import normals
from circuit.peers.control import Control, derivatives
from circuit.peers.rule import Companions, Rule
from circuit.peers.settling import rounding_floors, settle, tolerance_for
from circuit.peers.signal import RESPONSE, Signal
from circuit.settings.peers.feedback_control import (
    JACOBIAN,
    RANDOM,
    RATES,
    FeedbackControlSettings,
)

BUDGET = 60  # Newton's steps
FEEDBACK = "feedback"  # the companion's name


def companions(
    network: Network, settings: FeedbackControlSettings, keys: Array
) -> dict[str, tuple[Array, ...]]:
    """Random Q_1 .. Q_L of independent normal numbers, whose columns have a length of about 1."""
    if settings.feedback != RANDOM:
        return {}
    found = []
    for layer, weights in enumerate(network.weights, 1):
        drawn = normals(keys, (layer,), weights, network.n_outputs)
        found.append(drawn / network.widths[layer] ** 0.5)
    return {FEEDBACK: tuple(found)}


def _shared(
    network: Network, settings: FeedbackControlSettings, given: Companions
) -> tuple[Array, ...] | None:
    """Feedback that all images share. Raises `ShapeMismatch` for what does not fit."""
    if settings.feedback in (JACOBIAN, RATES):
        return None
    found = given.get(FEEDBACK, ())
    stack = tuple(network.weights[0].shape[:-2])
    wanted = [(*stack, width, network.n_outputs) for width in network.widths[1:]]
    shapes = [tuple(array.shape) for array in found]
    if shapes != wanted:
        raise ShapeMismatch(
            f"feedback {settings.feedback} of deep feedback control has matrices of shapes "
            f'{shapes}; give companions {{"{FEEDBACK}": Q_1 .. Q_L}} of shapes {wanted}'
        )
    namespace(*found, *network.weights)
    return tuple(found)


def signal(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: FeedbackControlSettings,
    companions: Companions,
    step: int,
) -> Signal:
    """See `circuit.peers.rule.Rule`."""
    error = output_error(network, activity, targets, loss)
    require_samples(error)
    shared = _shared(network, settings, companions)
    tolerance = tolerance_for(settings.tolerance, error)
    at_rest = derivatives(network, activity.slopes)
    control = Control(network, activity, error, settings, at_rest, shared, tolerance)
    arrays, rest = settle(
        control,
        tolerance=tolerance,
        floors=rounding_floors(error, network.widths),
        budget=BUDGET,
        splittable=error.ndim == 2,
    )
    with np.errstate(all="ignore"):  # of images that have not settled
        shifts, rates = control.responses(arrays)
        if settings.stability:
            words, passes = control.stability(arrays, rest.converged)
            rest = replace(rest, words=words, passes=rest.passes + passes)
    return Signal(activity, shifts, RESPONSE, rates, rest)


RULE = Rule(
    name="dfc",
    words="deep feedback control at its steady state",
    reference="Meulemans et al. 2021",
    settings=FeedbackControlSettings,
    signal=signal,
    settles=True,
    companions=companions,
)
