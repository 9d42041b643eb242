"""What a step of learning can be set to, apart from what learns beside the network: rule and Adam.

Owns these settings and their ranges. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

from circuit.peers.table import TABLE
from circuit.settings.declaration import Choice, Flag, Interval, Number, Record
from circuit.settings.losses import LOSSES, QUADRATIC
from circuit.settings.peers.of_lesson import (
    FEEDBACK_STRENGTH,
    INCREMENTS,
    PATHWAY,
    RATE_NOISE,
    READOUT,
)

CIRCUIT = "circuit"
ALL, OUTPUT = "all", "output"  # layers that learn
INFINITE = float("inf")
POSITIVE = Interval(0, INFINITE, "()", "1e-8")
FRACTION = Interval(0, 1, "[)", "0.9")


@dataclass(frozen=True)
class LessonSettings(Record):
    """What synapses learn from.

    Attributes
    ----------
    rule : a name in `circuit.peers.table.TABLE`
    feedback_strength : gamma (itp, gait, grait, circuit)
    pathway, readout : of the circuit; itp, gait or grait, shift or mismatch
    loss : a name in `losses.LOSSES`
    increments : "every" layer has the feedback strength, or the "output" alone and none below
        (paper section 9), see `Lesson.strengths`
    rate_noise : standard deviation with which each shift is read, in units of the rates
    learns : "all" layers, or the "output" alone: hidden layers stay as they began, a control
    """

    rule: str = Choice("gait", "learning rule (default: gait)", known=TABLE, fixed=True).field()
    feedback_strength: float = FEEDBACK_STRENGTH.field()
    pathway: str = PATHWAY.field()
    readout: str = READOUT.field()
    loss: str = Choice(QUADRATIC, "", known=LOSSES).field()
    increments: str = INCREMENTS.field()
    rate_noise: float = RATE_NOISE.field()
    learns: str = Choice(
        ALL,
        "which layers learn: all, or the output layer alone, a control in which hidden layers stay "
        "as they began",
        known=(ALL, OUTPUT),
    ).field()


@dataclass(frozen=True)
class Adam(Record):
    """What Adam is set to.

    Attributes
    ----------
    learning_rate : about the size of the step of every entry
    beta1, beta2 : memory of the means of the direction and of its square, in [0, 1)
    epsilon : keeps entries still that have hardly ever had a direction
    bias_correction : whether the means are corrected for having started from zero

    Raises
    ------
    CircuitError
        For a setting out of its range.

    Examples
    --------
    >>> from circuit.learning import Adam, Lesson
    >>> Lesson("bp", adam=Adam(0.001, bias_correction=False)).adam.learning_rate
    0.001
    """

    learning_rate: float = Number(
        1e-4, "of Adam", within=Interval(0, INFINITE, "()", "1e-4"), metavar="R"
    ).field()
    beta1: float = Number(0.9, "of Adam: memory of the direction", within=FRACTION).field()
    beta2: float = Number(0.999, "of Adam: memory of its square", within=FRACTION).field()
    epsilon: float = Number(1e-8, "of Adam", within=POSITIVE).field()
    bias_correction: bool = Flag(True, "of Adam: correct its means for starting from zero").field()
