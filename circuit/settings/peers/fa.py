"""What feedback alignment can be set to. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from circuit.settings.declaration import Record
from circuit.settings.peers.feedback import SCALE


@dataclass(frozen=True)
class FeedbackAlignmentSettings(Record):
    """Of feedback alignment.

    Attributes
    ----------
    scale : standard deviation of B_l (n_l, N_l), over the sqrt(2 / (n_l + N_l)) of Gaussian W_l
    """

    prefix = "fa_"
    needs: ClassVar = {"rule": ("fa",)}

    scale: float = SCALE.field()
