"""What direct feedback alignment can be set to. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from circuit.settings.declaration import Record
from circuit.settings.peers.feedback import SCALE


@dataclass(frozen=True)
class DirectAlignmentSettings(Record):
    """Of direct feedback alignment.

    Attributes
    ----------
    scale : standard deviation of B_l (n, outputs), over the sqrt(2 / (n + outputs)) of Gaussian
        weights of that shape
    """

    prefix = "dfa_"
    needs: ClassVar = {"rule": ("dfa",)}

    scale: float = SCALE.field()
