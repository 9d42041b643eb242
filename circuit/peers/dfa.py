"""Direct feedback alignment: every layer is told the output's error by fixed random weights.

    delta_l = B_l e ,    l < L ,    delta_L = e ,    B_l (n_{l+1}, outputs), fixed,

read as a target; n_{l+1} of the units of layer l are read from above, and no others learn.
B_l = F_l^T, the transpose of dy_L / dy_l, is back-propagation: in a linear network for all images.

Nokland, Direct feedback alignment provides learning in deep neural networks, NeurIPS 2016.
"""

from __future__ import annotations

from collections.abc import Sequence

from circuit.learned_inverse.model import BEGINNING
from circuit.losses import Loss, output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, namespace, rows_times, widened
from circuit.numerics.keyed_random import normals
from circuit.numerics.scale import Scale
from circuit.peers.rule import Companions, Rule
from circuit.peers.signal import Signal
from circuit.peers.table import TABLE
from circuit.settings.peers.dfa import DirectAlignmentSettings
from circuit.shifts import Shifts, renormalised

DIRECT = "direct_feedback_weights"  # of companions


def direct_weights(network: Network, keys: Array) -> tuple[Array, ...]:
    """From the outputs to the layers 1 .. L-1: Gaussian of variance 2 / (n + outputs), (..., n,
    outputs).
    """
    drawn = []
    for layer, above in enumerate(network.weights[1:], 1):
        xp, outputs = namespace(above), network.n_outputs
        units = above.shape[-1]
        blank = xp.zeros_like(xp.matrix_transpose(above))
        size = (2 / (units + outputs)) ** 0.5
        drawn.append(normals(keys, (BEGINNING, layer), blank, outputs) * size)
    return tuple(drawn)


def direct_shifts(
    network: Network, error: Array, matrices: Sequence[Array], nudge: float = 1.0
) -> Shifts:
    """delta_l = nudge B_l e, of gain `nudge`."""
    gain, values, scales = Scale.of(nudge), [], []
    sent = [rows_times(error, matrix) for matrix in matrices]
    for layer, value in enumerate([*sent, error], 1):
        wide = widened(value, network.widths[layer])
        value, scale = renormalised(wide, gain, layer)
        values.append(value)
        scales.append(scale)
    return Shifts(tuple(values), tuple(scales), (gain,) * network.depth)


def signal(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: DirectAlignmentSettings,
    companions: Companions,
    step: int,
) -> Signal:
    """As `Rule.signal`."""
    error = output_error(network, activity, targets, loss)
    return Signal(activity, direct_shifts(network, error, companions[DIRECT]))


def companions(network: Network, settings: DirectAlignmentSettings, keys: Array) -> Companions:
    """B_1 .. B_{L-1}: Gaussian, each network's from its key."""
    return {DIRECT: tuple(settings.scale * B for B in direct_weights(network, keys))}


RULE = Rule(
    name="dfa",
    words=TABLE["dfa"].words,
    reference="Nokland 2016",
    settings=DirectAlignmentSettings,
    signal=signal,
    companions=companions,
)
