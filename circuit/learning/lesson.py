"""What a step of learning is, in plain values that are checked where they are given.

Owns how the parts of a lesson go together: its rule with the rule's own settings, Adam, what pulls
weights towards orthogonality, and the inverse.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property

from circuit.checks.given import require_kind
from circuit.errors import CircuitError
from circuit.lateral_inhibition.companions import Decorrelation, Inhibition
from circuit.learned_inverse.companions import LearnedInverse, PseudoInverse
from circuit.learned_inverse.model import KEYS
from circuit.learning.regulariser import Regulariser
from circuit.peers.rule import Rule
from circuit.peers.table import TABLE
from circuit.settings.declaration import Record
from circuit.settings.learning import ALL, OUTPUT, Adam, LessonSettings
from circuit.settings.peers.of_lesson import GainSettings, PlainSettings, require_strength


@dataclass(frozen=True)
class Lesson(LessonSettings):
    """What a step of learning is, the same in every step.

    Attributes
    ----------
    rule, feedback_strength, pathway, readout, loss, increments, rate_noise, learns
        See `LessonSettings`.
    adam : how far weights move
    pull : what keeps weights orthogonal: Eq. 23, inhibition that teaches in its place, inhibition
        that acts, or nothing
    inverse : through which targets go; None for the exact one
    settings : what else the rule is set to, a record of the class that the table names; None for
        its defaults, and for rules whose settings are the fields above

    Raises
    ------
    CircuitError
        For a name that is unknown, a value out of its range, or parts that exclude each other.

    Examples
    --------
    >>> from circuit.learning import Lesson
    >>> Lesson("circuit", feedback_strength=0.01, readout="mismatch").readout
    'mismatch'
    >>> Lesson("luck")
    Traceback (most recent call last):
    circuit.errors.CircuitError: rule 'luck' is unknown; choose from bp, tp, itp, ...
    """

    adam: Adam = field(default_factory=Adam)
    pull: Regulariser | Inhibition | Decorrelation | None = None
    inverse: LearnedInverse | PseudoInverse | None = None
    settings: Record | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_kind("adam", self.adam, Adam)
        if not isinstance(self.pull, Regulariser | Inhibition | Decorrelation | None):
            require_kind("pull", self.pull, Regulariser)
        if not isinstance(self.inverse, LearnedInverse | PseudoInverse | None):
            require_kind("inverse", self.inverse, LearnedInverse)
        if self.learns == OUTPUT and isinstance(self.pull, Decorrelation):
            raise CircuitError(
                "inhibition that acts changes what hidden layers answer even where they do not "
                "learn; use another pull, or let all layers learn"
            )
        line = TABLE[self.rule]
        if line.is_paper:
            if self.settings is not None:
                raise CircuitError(
                    f"settings of rule {self.rule} are the lesson's own, such as feedback_strength;"
                    " leave settings out"
                )
        elif self.settings is None:
            object.__setattr__(self, "settings", line.settings()())
        else:
            require_kind("settings", self.settings, line.settings())
        if not isinstance(self.given, GainSettings):
            require_strength(self.feedback_strength, whole=True)
        plain = isinstance(self.given, PlainSettings)
        if plain and (self.inverse is not None or self.rate_noise > 0):
            raise CircuitError(
                f"{line.called} ({self.rule}) goes through no inverse and reads no shifts of rates;"
                " leave out the inverse and the rate noise, or use another rule"
            )
        if self.inverse is not None and not line.through_inverse:
            raise CircuitError(
                f"{line.called} ({self.rule}) goes through no inverse; leave out the inverse, or "
                "use another rule"
            )

    @cached_property
    def given(self) -> Record:
        """What the rule is set to."""
        if self.settings is not None:
            return self.settings
        record = TABLE[self.rule].settings()
        found = {one.name: getattr(self, one.name) for one in fields(record)}  # type: ignore[arg-type]
        return record(**found)

    @property
    def of_table(self) -> Rule:
        """The rule itself."""
        return TABLE[self.rule].rule()

    def strengths(self, depth: int) -> float | tuple[float, ...]:
        """One gamma of all layers, or gamma_1 .. gamma_L; 1 for a rule that has none."""
        return self.given.strengths(depth) if isinstance(self.given, GainSettings) else 1.0

    def network_steps(self, steps: int) -> int:
        """In how many of the first `steps` the network learns."""
        return steps if self.inverse is None else self.inverse.network_steps(steps)

    def layer_learns(self, layer: int, depth: int) -> bool:
        """Whether layer `layer` of 1 .. `depth` learns at all."""
        return self.learns == ALL or layer == depth

    def network_learns(self, step: int) -> bool:
        """Whether the network learns in `step`, or leaves it to the inverse."""
        return self.network_steps(step + 1) > self.network_steps(step)

    def needed(self, depth: int) -> tuple[str, ...]:
        """Names of the companions without which nothing can be taught."""
        keys = (KEYS,) if self.rate_noise > 0 else ()
        return keys if self.inverse is None else (*keys, *self.inverse.needed(depth))
