"""What deep feedback control can be set to. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from circuit.settings.declaration import Choice, Flag, Number, Record
from circuit.settings.peers.predictive_coding import POSITIVE, TOLERANCE

JACOBIAN, RATES, RANDOM, GIVEN = FEEDBACKS = ("jacobian", "rates", "random", "given")


@dataclass(frozen=True)
class FeedbackControlSettings(Record):
    """Deep feedback control at its steady state.

    `paper` has what Meulemans et al. publish for MNIST at the steady state (DFC-SS), with the same
    network: 0.078 and 0.0014, rounded. Their feedback learns; here it is the Jacobian's transpose.

    Attributes
    ----------
    strength : lambda, the part of the output error that the controller is to remove
    leak : a, of the controller
    feedback
        Q, from the controller to the drives of each layer: "jacobian", the transposed derivative of
        the outputs by the drives; "rates", by the rates; each of every image at its forward pass;
        "random" or "given" matrices that are the same for all images.
    stability : whether the record tells which steady states are stable, which takes about as long
        as all the rest
    tolerance : see its words
    """

    prefix = "dfc_"
    needs: ClassVar = {"rule": ("dfc",)}
    presets: ClassVar = {
        "paper": {"dfc_lambda": 0.078, "dfc_leak": 0.0014, "dfc_stability": "no"},
        "quick": {"dfc_stability": "no"},  # which takes time, and nobody reads in training
    }

    strength: float = Number(
        0.1,
        "lambda, the part of the output error that is to be removed",
        within=POSITIVE,
        metavar="L",
        option="dfc_lambda",
    ).field()
    leak: float = Number(0.1, "a, of the controller", within=POSITIVE, metavar="A").field()
    feedback: str = Choice(
        JACOBIAN,
        "from the controller to the layers: the transposed derivative of the outputs by drives "
        "(jacobian) or by rates (rates), or matrices that are random or given",
        known=FEEDBACKS,
    ).field()
    tolerance: float = TOLERANCE.field()
    stability: bool = Flag(True, "tell which steady states are stable").field()
