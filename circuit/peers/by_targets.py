"""Targets sent down through an inverse of the weights: what TP, ITP, GAIT- and GRAIT-prop share.

Owns the way from a lesson's settings to `circuit.rules`. A rule's file says which gain it has.
"""

from __future__ import annotations

from functools import partial

from circuit.feedback import Gain
from circuit.learned_inverse.model import noise_of, propagate_learned
from circuit.losses import Loss, output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array
from circuit.peers.rule import Companions, Rule
from circuit.peers.signal import Signal
from circuit.peers.table import TABLE
from circuit.rules import propagate_targets
from circuit.settings.peers.of_lesson import GainSettings, TargetSettings


def target_rule(gain: Gain, reference: str) -> Rule:
    """The rule of that gain, as it stands in the table."""
    line = TABLE[gain.name]
    return Rule(
        name=gain.name,
        words=line.words,
        reference=reference,
        settings=line.settings(),
        signal=partial(_signal, gain),
        needs_inverse=True,
    )


def _signal(
    gain: Gain,
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: TargetSettings,
    companions: Companions,
    step: int,
) -> Signal:
    """As `Rule.signal`."""
    error = output_error(network, activity, targets, loss)
    noise = noise_of(network, settings.rate_noise, companions, step, error)
    back = settings.inverse
    strengths = settings.strengths(network.depth) if isinstance(settings, GainSettings) else 1.0
    if back is None:
        shifts = propagate_targets(gain, network, activity, error, strengths, added=noise)
    else:
        shifts = propagate_learned(
            gain.name,
            network,
            back.model(network, companions),
            activity,
            error,
            strengths,
            corrected=back.corrected,
            noise=noise,
        )
    return Signal(activity, shifts)
