"""What a claim is, what one network says about it, and when it holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

DOCUMENT = "docs/derivation.md"
# A relative error of 1/2 is that of a quantity which is not there at all, to a factor of 2. A check
# whose bound allows so much could not fail, and decides nothing.
SAYS_NOTHING = 0.5


@dataclass(frozen=True)
class Subject:
    """The random network of a check, in words and numbers.

    Attributes
    ----------
    depth : L
    width : N of the layers 1 .. L (of the first, where widths decrease)
    units : name of the activation function
    init : "orthogonal" or "gaussian"
    gamma : feedback strength; the smallest where layers differ; NaN where none enters
    seed : of weights, inputs and errors
    """

    depth: int
    width: int
    units: str
    init: str
    gamma: float
    seed: int

    def __str__(self) -> str:
        gamma = "" if math.isnan(self.gamma) else f" gamma {self.gamma:.2g}"
        return f"{self.units} {self.init} {self.width}x{self.depth}{gamma} seed {self.seed}"


@dataclass(frozen=True)
class Check:
    """A prediction held against a measurement, on one network.

    Attributes
    ----------
    predicted, measured : one number for each side (a norm, a slope, an eigenvalue)
    error : of the whole object, relative to the prediction unless the claim says otherwise
    bound : what rounding, the tolerance of the equilibrium and the neglected order explain
    detail : which layer, which side of the equation, or why nothing is decided
    """

    subject: Subject
    predicted: float
    measured: float
    error: float
    bound: float
    detail: str = ""

    @property
    def decided(self) -> bool:
        """Whether the bound leaves the check a chance to fail."""
        return self.bound < SAYS_NOTHING and not math.isnan(self.predicted)

    @property
    def agrees(self) -> bool:
        """Whether the error is within the bound; one that is not a number is not."""
        return self.error <= self.bound

    @property
    def excess(self) -> float:
        """Error over bound; 0 where both are 0."""
        if self.error == 0:
            return 0.0
        return self.error / self.bound if self.bound > 0 else math.inf


@dataclass(frozen=True, eq=False)
class ClaimPlan:
    """How much to try: "smoke" or "full", and the seeds of the networks."""

    scale: str
    seeds: tuple[int, ...]

    @property
    def full(self) -> bool:
        """Whether all depths and widths are wanted."""
        return self.scale == "full"


@dataclass(frozen=True, eq=False)
class Claim:
    """One statement of docs/derivation.md.

    Attributes
    ----------
    name : short, as given to --only
    equation : number in the paper, or section of docs/derivation.md
    anchor : of that section
    prediction : what is claimed, in words and symbols
    bound : where the bound comes from
    checks : every network's check of it
    control : a negative control: the two sides must lie further apart than the bound
    """

    name: str
    equation: str
    anchor: str
    prediction: str
    bound: str
    checks: Callable[[ClaimPlan], Iterable[Check]]
    control: bool = False

    @property
    def link(self) -> str:
        """Where the claim is derived."""
        return f"{DOCUMENT}#{self.anchor}"


@dataclass(frozen=True, eq=False)
class Row:
    """A claim and what became of it. `worst` is the check nearest to overturning it."""

    claim: Claim
    checks: tuple[Check, ...]

    @property
    def decided(self) -> tuple[Check, ...]:
        """The checks that had a chance to fail."""
        return tuple(check for check in self.checks if check.decided)

    @property
    def holds(self) -> bool:
        """Whether every decided check agrees (of a control: disagrees), and there is one."""
        checks = self.decided
        return bool(checks) and all(check.agrees != self.claim.control for check in checks)

    @property
    def worst(self) -> Check:
        """The check with the largest error over bound; for a control, the smallest."""
        return worst(self.decided or self.checks, control=self.claim.control)


def worst(checks: Sequence[Check], *, control: bool = False) -> Check:
    """The check with the largest error over bound (NaN counts as largest); else the smallest."""

    def rank(check: Check) -> float:
        return math.inf if math.isnan(check.excess) else check.excess

    return min(checks, key=rank) if control else max(checks, key=rank)
