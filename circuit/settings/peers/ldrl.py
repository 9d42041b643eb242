"""What feedback that learns by local difference reconstruction can be set to. Standard library
only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from circuit.settings.declaration import Choice, Record
from circuit.settings.peers.dtp import ABOVE, LINEAR
from circuit.settings.peers.feedback import BEFORE, NOISE, NUDGE, RATE, STEPS

STILL = ({"ldrl_steps": 0, "ldrl_before": 0},)  # feedback stays as it began


@dataclass(frozen=True)
class LocalDifferenceSettings(Record):
    """Of feedback that learns by local difference reconstruction.

    Nudge, noise and steps are of the size that Ernoult et al. publish for CIFAR-10: 0.7, between
    0.4 (layer 1) and 0.08 (the last), and 20 to 55 steps for every batch.

    Attributes
    ----------
    nudge : eta, t_L = y_L + eta e
    unit : what feedback reads of a layer (`circuit.peers.difference`): "above", with which it can
        be the transpose of leaky-ReLU layers, or "linear"
    noise, rate, steps, before : see `circuit.settings.peers.feedback`
    """

    prefix = "ldrl_"
    needs: ClassVar = {"rule": ("ldrl",)}
    presets: ClassVar = {"quick": {"ldrl_steps": 2}}  # in seconds

    nudge: float = replace(NUDGE, default=0.7).field()
    unit: str = Choice(
        ABOVE,
        "what feedback weights read of a layer: f of its rates (above), or these (linear)",
        known=(ABOVE, LINEAR),
    ).field()
    noise: float = replace(NOISE, default=0.2, idle=STILL).field()
    rate: float = replace(RATE, default=0.1, idle=STILL).field()
    steps: int = replace(STEPS, default=20).field()
    before: int = BEFORE.field()
