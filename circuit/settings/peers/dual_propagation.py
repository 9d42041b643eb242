"""What dual propagation can be set to. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from circuit.settings.declaration import Interval, Number, Record
from circuit.settings.peers.predictive_coding import TOLERANCE


@dataclass(frozen=True)
class DualPropagationSettings(Record):
    """Dual propagation.

    The default is the middle one of 0.01, 0.1 and 1, which the authors' scripts have for CIFAR-10
    and this form (alpha 1/2); for MNIST they have 0.5, with another (alpha 1).

    Attributes
    ----------
    beta : of the nudge of the outputs, which have no state for 2 and more
    tolerance : see its words
    """

    prefix = "dual_"
    needs: ClassVar = {"rule": ("dual",)}

    beta: float = Number(
        0.1,
        "strength of the nudge, below 2",
        within=Interval(0, 2, "()", "0.1", ", where the outputs have a state"),
        metavar="B",
    ).field()
    tolerance: float = TOLERANCE.field()
