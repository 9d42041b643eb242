"""What direct difference target propagation can be set to. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from circuit.settings.declaration import Record
from circuit.settings.peers.feedback import BEFORE, DECAY, NOISE, NUDGE, RATE, STEPS

STILL = ({"ddtp_steps": 0, "ddtp_before": 0},)  # feedback stays as it began


@dataclass(frozen=True)
class DirectDifferenceSettings(Record):
    """Of direct linear difference target propagation.

    Nudge, noise and decay are those of the network that Meulemans et al. publish for MNIST, with
    tanh units: 0.020, 0.012 and 4.4e-4, rounded.

    Attributes
    ----------
    nudge : eta, t_L = y_L + eta e
    noise, rate, steps, before, decay : see `circuit.settings.peers.feedback`
    """

    prefix = "ddtp_"
    needs: ClassVar = {"rule": ("ddtp",)}

    nudge: float = replace(NUDGE, default=0.02).field()
    noise: float = replace(NOISE, default=0.012, idle=STILL).field()
    rate: float = replace(RATE, idle=STILL).field()
    steps: int = STEPS.field()
    before: int = BEFORE.field()
    decay: float = replace(DECAY, default=4e-4, idle=STILL).field()
