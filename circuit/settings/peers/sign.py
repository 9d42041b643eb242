"""What sign symmetry can be set to. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from circuit.settings.declaration import Choice, Record
from circuit.settings.peers.feedback import SCALE

EQUAL, RANDOM = MAGNITUDES = ("equal", "random")


@dataclass(frozen=True)
class SignSymmetrySettings(Record):
    """Of sign symmetry.

    Attributes
    ----------
    magnitudes : of the feedback weights: all "equal" in a layer (uniform sign-concordant feedback
        of Liao et al.), or fixed and "random"
    scale : root mean square of B_l over that of W_l, or for random ones over that of Gaussian W_l
    """

    prefix = "sign_"
    needs: ClassVar = {"rule": ("sign",)}

    magnitudes: str = Choice(
        EQUAL,
        "sizes of feedback weights that have the signs of the feed-forward ones: all equal in a "
        "layer, or fixed and random",
        known=MAGNITUDES,
    ).field()
    scale: float = replace(
        SCALE,
        words="root mean square of the feedback weights, over that of the feed-forward weights "
        "(equal) or of Gaussian ones (random)",
    ).field()
