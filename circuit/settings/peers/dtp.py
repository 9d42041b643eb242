"""What difference target propagation can be set to. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from circuit.settings.declaration import Choice, Record
from circuit.settings.peers.feedback import BEFORE, DECAY, NOISE, NUDGE, RATE, STEPS

RECONSTRUCTION, DRL = DTP_LOSSES = ("reconstruction", "drl")
LINEAR, ABOVE, INVERSE = FORMS = ("linear", "above", "inverse")
OF_DIFFERENCES = {"dtp_loss": (DRL,)}


STILL = ({"dtp_steps": 0, "dtp_before": 0},)  # feedback stays as it began


@dataclass(frozen=True)
class DifferenceTargetSettings(Record):
    """Of difference target propagation.

    Nudge and noise are those of the network that Meulemans et al. publish for MNIST, with tanh
    units, 0.22 and 0.084, rounded; the decay of difference reconstruction is theirs too.

    Attributes
    ----------
    nudge : eta, t_L = y_L + eta e
    loss : what feedback learns to bring back, noisy rates of the layer below ("reconstruction", Lee
        et al.), or their change after it has gone up to the output and down again ("drl", the
        difference reconstruction loss of Meulemans et al.)
    unit : of feedback that learns by "drl" (`circuit.peers.difference`); the one that learns by
        reconstruction ends in the units of the layer below
    noise, rate, steps, before, decay : see `circuit.settings.peers.feedback`
    """

    prefix = "dtp_"
    needs: ClassVar = {"rule": ("dtp",)}

    nudge: float = replace(NUDGE, default=0.2).field()
    loss: str = Choice(
        RECONSTRUCTION,
        "what feedback learns to bring back: noisy rates of the layer below (reconstruction), or "
        "their change, after it has gone up to the output and down again (drl)",
        known=DTP_LOSSES,
    ).field()
    unit: str = Choice(
        LINEAR,
        "what feedback weights that learn by drl read of a layer: its rates (linear), f of them "
        "(above), or f^-1 of them (inverse)",
        known=FORMS,
        needs=OF_DIFFERENCES,
    ).field()
    noise: float = replace(NOISE, default=0.08, idle=STILL).field()
    rate: float = replace(RATE, idle=STILL).field()
    steps: int = STEPS.field()
    before: int = BEFORE.field()
    decay: float = replace(DECAY, default=5e-7, needs=OF_DIFFERENCES, idle=STILL).field()
