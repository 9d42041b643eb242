"""Back-propagation, and beside it any share of what GRAIT-prop sends down, with either sign.

Owns the rule that study `overlaps` trains with. For small gamma GRAIT-prop sends a layer's shift
down through W^-1 N^2, N^2 being the squared lengths of the rows of W:

    W^-1 N^2 = W^T (1 + M)^-1 = W^T (1 - M + ...) ,        M = N^-2 W W^T - 1

M holds how far rows overlap, and is 0 where they are orthogonal. Back-propagation sends through
W^T. The rule sends through

    W^T + share (W^-1 N^2 - W^T)

so that share 0 is back-propagation, 1 GRAIT-prop, and -1 has overlaps as strong with their sign
reversed. Two controls send what differs from back-propagation's by as much, and by nothing that
has to do with overlaps: through W^T and a random matrix, drawn anew in every step or kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuit.losses import Loss, output_error
from circuit.network import Activity, Network
from circuit.peers.rule import Companions, Rule
from circuit.peers.signal import TARGET, Signal
from circuit.rules import propagate_errors
from circuit.settings.declaration import Choice, Interval, Number, Record

OVERLAPS, RANDOM, KEPT = DEVIATIONS = ("overlaps", "random", "kept")


@dataclass(frozen=True)
class OverlapsSettings(Record):
    """What is sent beside back-propagation's.

    Attributes
    ----------
    share : of the deviation
    deviation : "overlaps", "random" (drawn anew in every step) or "kept" (one random matrix)
    """

    share: float = Number(1.0, "", within=Interval(-10, 10, "[]", "1")).field()
    deviation: str = Choice(OVERLAPS, "", known=DEVIATIONS).field()


def signal(
    network: Network,
    activity: Activity,
    targets: np.ndarray,
    loss: str | Loss,
    settings: OverlapsSettings,
    companions: Companions,
    step: int,
) -> Signal:
    """What the layers of one network, of NumPy arrays, learn from."""

    def pull(layer: int, message: np.ndarray) -> np.ndarray:
        straight = network.pull_transposed(layer, message)
        squared = network.squared_lengths(layer)[: message.shape[-1]]
        change = network.pull(layer, message * squared) - straight
        if settings.deviation != OVERLAPS:
            drawn = np.random.default_rng([layer, step if settings.deviation == RANDOM else 0])
            matrix = drawn.standard_normal((message.shape[-1], change.shape[-1]))
            other = message @ matrix.astype(message.dtype)
            size = np.linalg.norm(other)
            change = other * (np.linalg.norm(change) / size) if size > 0 else change
        return straight + message.dtype.type(settings.share) * change

    error = output_error(network, activity, targets, loss)
    return Signal(activity, propagate_errors(network, activity, error, pull), reading=TARGET)


RULE = Rule(
    "overlaps",
    "back-propagation and a share of what GRAIT-prop sends beside it",
    "docs/results.md",
    OverlapsSettings,
    signal,
    needs_inverse=True,
)
