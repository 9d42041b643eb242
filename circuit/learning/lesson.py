"""What a step of learning is, in plain values that are checked where they are given.

Owns how the parts of a lesson go together: its rule, Adam, what pulls weights towards
orthogonality, and the inverse. Does not own any of these, nor the step (`learning.step`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from circuit.checks.given import require_kind
from circuit.errors import CircuitError
from circuit.feedback import output_only
from circuit.lateral_inhibition.companions import Decorrelation, Inhibition
from circuit.learned_inverse.companions import LearnedInverse, PseudoInverse
from circuit.learned_inverse.model import KEYS
from circuit.learning.regulariser import Regulariser
from circuit.settings.learning import CIRCUIT, Adam, LessonSettings


@dataclass(frozen=True)
class Lesson(LessonSettings):
    """What a step of learning is, the same in every step.

    Attributes
    ----------
    rule, feedback_strength, pathway, readout, loss, increments, rate_noise : see `LessonSettings`
    adam : how far weights move
    pull : what keeps weights orthogonal: Eq. 23, inhibition that teaches in its place, inhibition
        that acts, or nothing
    inverse : through which targets go; None for the exact one

    Raises
    ------
    CircuitError
        For a name that is unknown, a value out of its range, or parts that exclude each other.
    """

    adam: Adam = field(default_factory=Adam)
    pull: Regulariser | Inhibition | Decorrelation | None = None
    inverse: LearnedInverse | PseudoInverse | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_kind("adam", self.adam, Adam)
        if not isinstance(self.pull, Regulariser | Inhibition | Decorrelation | None):
            require_kind("pull", self.pull, Regulariser)
        if not isinstance(self.inverse, LearnedInverse | PseudoInverse | None):
            require_kind("inverse", self.inverse, LearnedInverse)
        whole = self.feedback_strength == 1 and self.rule != CIRCUIT  # no increment at all
        if not (0 < self.feedback_strength < 1 or whole):
            raise CircuitError(
                f"feedback strength gamma = {self.feedback_strength:g} is outside (0, 1); "
                "use for example 0.001"
            )
        if self.rule == "bp" and (self.inverse is not None or self.rate_noise > 0):
            raise CircuitError(
                "back-propagation (bp) goes through no inverse and reads no shifts of rates; leave "
                "out the inverse and the rate noise, or use another rule"
            )

    def strengths(self, depth: int) -> float | tuple[float, ...]:
        """Gamma of all layers, or gamma_1 .. gamma_L where the output alone has an increment.

        Then a rule multiplies by 1 below. So does the circuit's mismatch, gamma_l / (1 - gamma_l),
        with gamma_l = 1/2; its rates would not feel their input with 1.
        """
        if self.increments == "every":
            return self.feedback_strength
        if self.rule == CIRCUIT:
            return (0.5,) * (depth - 1) + (self.feedback_strength,)
        return output_only(self.feedback_strength, depth)

    def network_steps(self, steps: int) -> int:
        """In how many of the first `steps` the network learns."""
        return steps if self.inverse is None else self.inverse.network_steps(steps)

    def network_learns(self, step: int) -> bool:
        """Whether the network learns in `step`, or leaves it to the inverse."""
        return self.network_steps(step + 1) > self.network_steps(step)

    def needed(self, depth: int) -> tuple[str, ...]:
        """Names of the companions without which nothing can be taught."""
        keys = (KEYS,) if self.rate_noise > 0 else ()
        return keys if self.inverse is None else (*keys, *self.inverse.needed(depth))
