"""What carries targets down where it is not the exact inverse, and how it learns.

Owns the settings of a learned inverse, their ranges, and in which steps it and the network learn.
Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from circuit.settings.declaration import Choice, Count, Flag, Interval, Number, Record

EXACT, LEARNED, PSEUDO = INVERSES = ("exact", "learned", "pseudo-inverse")
AIMS = ("noisy", "clean")
FIRST, SIMULTANEOUS, ALTERNATING = ORDERS = ("first", "simultaneous", "alternating")

INVERSE = Choice(
    EXACT,
    "what carries targets down: the exact inverse of square weights; feedback weights that start "
    "random and learn to invert them as a denoising auto-encoder (learned); or the pseudo-inverse "
    "of weights of any shape, without auxiliary units (not for bp)",
    option="inverse",
    also="feedback",
    known=INVERSES,
    idle=({"depth": 0},),
)
RANDOM = {"inverse_steps": 0, "inverse_before": 0}  # it stays as it began


@dataclass(frozen=True)
class LearnedInverseSettings(Record):
    """How an inverse model learns, and what it sends.

    Attributes
    ----------
    rate : of its steps, below 2
    noise : standard deviation of xi, in units of the root mean square of the rates of a batch
    aim : "noisy" or "clean"
    steps : that it makes in every step of the network
    before : steps of the network at the beginning in which it learns alone
    order
        When it learns: "first", before the network in every step, whose targets go through what it
        has just learnt; "simultaneous" with it, so that targets go through what it was;
        "alternating", `block` steps alone and then as many of the network alone, and so on.
    block : of the order "alternating"
    corrected : whether it sends only deviations down (difference correction)

    Raises
    ------
    CircuitError
    """

    prefix = "inverse_"
    needs: ClassVar = {"inverse": (LEARNED,)}

    rate: float = Number(
        1.0,
        "learning rate of the inverse, between 0 and 2",
        within=Interval(0, 2, "()", "0.5", ", where it is stable"),
        metavar="R",
        idle=(RANDOM,),
    ).field()
    noise: float = Number(
        1.0,
        "noise that the inverse learns from, in units of the rates' root mean square",
        within=Interval(0, float("inf"), "[)", "1"),
        metavar="S",
        idle=(RANDOM,),
    ).field()
    aim: str = Choice(
        "noisy",
        "what the inverse learns to reconstruct: rates with their noise (Lee et al. 2015) or "
        "without it (denoising; Bengio 2014)",
        known=AIMS,
        idle=(RANDOM, {"inverse_noise": 0}),
    ).field()
    steps: int = Count(
        1,
        "steps of the inverse for each step of the network, from the same images; 0: it learns "
        "only beforehand",
        least=0,
    ).field()
    before: int = Count(
        0, "batches at the beginning from which the inverse learns alone", least=0
    ).field()
    order: str = Choice(
        FIRST,
        "when the inverse learns: first in every step, and what it has learnt carries the targets; "
        "simultaneous with the network, so that targets go through what it was; alternating with "
        "it, in blocks of steps",
        known=ORDERS,
    ).field()
    block: int = Count(
        10,
        "batches from which the inverse learns alone, and then as many from which the network does",
        needs={"inverse_order": (ALTERNATING,)},
    ).field()
    corrected: bool = Flag(
        True,
        "difference correction: a learned inverse sends down deviations alone, so that its errors "
        "of reconstruction cancel",
        option="correction",
    ).field()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps == 0 and self.order != FIRST:
            from circuit.errors import CircuitError

            raise CircuitError(
                f"inverse steps 0 (order {self.order}): give a whole number, 1 or more"
            )

    def steps_in(self, step: int) -> int:
        """Steps that the inverse makes in the network's `step`, counted from 0."""
        if step < self.before:
            return max(1, self.steps)
        return 0 if self.order == ALTERNATING and self.network_learns(step) else self.steps

    def network_learns(self, step: int) -> bool:
        """Whether the network learns in `step`, or leaves it to the inverse."""
        return self.network_steps(step + 1) > self.network_steps(step)

    def network_steps(self, steps: int) -> int:
        """In how many of the first `steps` the network learns."""
        together = max(0, steps - self.before)
        if self.order != ALTERNATING:
            return together
        rounds, rest = divmod(together, 2 * self.block)
        return rounds * self.block + max(0, rest - self.block)
