"""Back-propagation: delta_{l-1} = W_l^T A_l delta_l, delta_L = e (Eq. 3)."""

from __future__ import annotations

from circuit.losses import Loss, output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array
from circuit.peers.rule import Companions, Rule
from circuit.peers.signal import Signal
from circuit.peers.table import TABLE
from circuit.rules import back_propagation
from circuit.settings.peers.of_lesson import PlainSettings


def signal(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: PlainSettings,
    companions: Companions,
    step: int,
) -> Signal:
    """As `Rule.signal`."""
    error = output_error(network, activity, targets, loss)
    return Signal(activity, back_propagation(network, activity, error))


RULE = Rule(
    name="bp",
    words=TABLE["bp"].words,
    reference="Rumelhart, Hinton and Williams 1986",
    settings=PlainSettings,
    signal=signal,
)
