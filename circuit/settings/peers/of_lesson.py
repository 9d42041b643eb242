"""What the rules of the paper and the circuit can be set to, which is a lesson's own to say.

Owns the declarations that these records and a lesson's (`circuit.settings.learning`) share, and the
feedback strength of every layer. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from circuit.settings.circuits import PATHWAYS, READOUTS, STRENGTHS, UP_TO_ONE
from circuit.settings.declaration import Choice, Interval, Number, Record

FEEDBACK_STRENGTH = Number(
    1e-3,
    "feedback strength, between 0 and 1 (itp, gait, grait, circuit)",
    option="gamma",
    called="feedback strength gamma",
    metavar="G",
)
INCREMENTS = Choice(
    "every",
    "where the feedback strength is: at every layer, or at the output alone and none below, as "
    "paper section 9 says is possible; the circuit then has 1/2 below (itp, gait, grait, "
    "circuit)",
    known=("every", "output"),
    called="increments at",
    idle=({"depth": 0},),
)
RATE_NOISE = Number(
    0.0,
    "standard deviation with which every shift is read, in units of the rates",
    within=Interval(0, float("inf"), "[)", "0.001"),
    metavar="S",
)
PATHWAY = Choice("gait", "of the circuit: what a layer sends down", known=PATHWAYS)
READOUT = Choice(
    "shift",
    "of the circuit: what a synapse learns from, the shift of its layer from the free phase or "
    "its mismatch with its own drive",
    called="read-out",
    known=READOUTS,
)


def require_strength(strength: float, *, whole: bool) -> None:
    """Raise `CircuitError` for a feedback strength outside (0, 1); 1 may be one that is `whole`."""
    fault = (UP_TO_ONE if whole else STRENGTHS).fault(strength)
    if fault:
        from circuit.errors import CircuitError

        raise CircuitError(
            f"feedback strength gamma = {strength:g} {fault}; use for example "
            f"{FEEDBACK_STRENGTH.default:g}"
        )


class OfLesson(Record):
    """Settings each of which is a field of `circuit.learning.lesson.Lesson` of the same name."""


@dataclass(frozen=True)
class PlainSettings(OfLesson):
    """Of a rule that has none."""


@dataclass(frozen=True)
class TargetSettings(OfLesson):
    """Of a rule that sends targets down through an inverse of the weights.

    Attributes
    ----------
    inverse : `LearnedInverse` or `PseudoInverse`; None for the exact one
    rate_noise : standard deviation with which each shift is read, in units of the rates
    """

    inverse: Any = None
    rate_noise: float = RATE_NOISE.default


@dataclass(frozen=True)
class GainSettings(TargetSettings):
    """Of a rule whose increments have a feedback strength.

    Attributes
    ----------
    feedback_strength : gamma
    increments : "every" layer has it, or the "output" alone and none below (paper section 9)
    """

    whole: ClassVar[bool] = True  # whether gamma may be 1, no increment at all

    feedback_strength: float = FEEDBACK_STRENGTH.field()
    increments: str = INCREMENTS.field()

    def __post_init__(self) -> None:
        super().__post_init__()
        require_strength(self.feedback_strength, whole=self.whole)

    def strengths(self, depth: int) -> float | tuple[float, ...]:
        """One gamma of all layers, or gamma_1 .. gamma_L where the output alone has an increment.

        Then a rule multiplies by 1 below.
        """
        if self.increments == "every":
            return self.feedback_strength
        from circuit.feedback import output_only

        return output_only(self.feedback_strength, depth)


@dataclass(frozen=True)
class CircuitSettings(GainSettings):
    """Of the circuit.

    Attributes
    ----------
    pathway : "itp", "gait" or "grait", what a layer sends down
    readout : "shift" or "mismatch", what a synapse learns from
    """

    whole: ClassVar[bool] = False

    pathway: str = PATHWAY.field()
    readout: str = READOUT.field()

    def strengths(self, depth: int) -> float | tuple[float, ...]:
        """As `GainSettings.strengths`, with 1/2 below an increment at the output alone.

        The circuit's mismatch, gamma_l / (1 - gamma_l), is multiplied by 1 with that; with gamma_l
        = 1 its rates would not feel their input.
        """
        if self.increments == "every":
            return self.feedback_strength
        return (0.5,) * (depth - 1) + (self.feedback_strength,)
