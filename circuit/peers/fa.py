"""Feedback alignment: errors that come down through fixed random weights (Lillicrap et al. 2016).

    delta_{l-1} = B_l A_l delta_l ,    delta_L = e ,    B_l (n_l, N_l), fixed,

read as a target. B_l = W_l^T is back-propagation, to the bit. There is no other theorem: at first
the cosine with back-propagation's shift has mean square 1 / n, and it grows as W learns.

Lillicrap, Cownden, Tweed and Akerman, Random synaptic feedback weights support error
backpropagation for deep learning, Nature Communications 7 (2016) 13276.
"""

from __future__ import annotations

from collections.abc import Sequence

from circuit.learned_inverse.inverse_model import InverseModel
from circuit.learned_inverse.model import WEIGHTS, random_model
from circuit.losses import Loss, output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, widened
from circuit.peers.rule import Companions, Rule
from circuit.peers.signal import Signal
from circuit.peers.table import TABLE
from circuit.rules import propagate_errors
from circuit.settings.peers.fa import FeedbackAlignmentSettings
from circuit.shifts import Shifts


def shifts_through(
    network: Network, activity: Activity, error: Array, matrices: Sequence[Array]
) -> Shifts:
    """Eq. 3 with B_2 .. B_L, arrays (..., n_l, N_l), in place of the transposed weights."""
    model = InverseModel(tuple(matrices), ())

    def pull(layer: int, drives: Array) -> Array:
        return widened(model.pull(layer, drives), network.widths[layer - 1])

    return propagate_errors(network, activity, error, pull)


def signal(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: FeedbackAlignmentSettings,
    companions: Companions,
    step: int,
) -> Signal:
    """As `Rule.signal`."""
    error = output_error(network, activity, targets, loss)
    return Signal(activity, shifts_through(network, activity, error, companions[WEIGHTS]))


def companions(network: Network, settings: FeedbackAlignmentSettings, keys: Array) -> Companions:
    """B_2 .. B_L: Gaussian, each network's from its key."""
    return {WEIGHTS: tuple(settings.scale * B for B in random_model(network, keys).weights)}


RULE = Rule(
    name="fa",
    words=TABLE["fa"].words,
    reference="Lillicrap et al. 2016",
    settings=FeedbackAlignmentSettings,
    signal=signal,
    companions=companions,
)
