"""The two controls of every study of learning: a network without hidden layers, and one whose
hidden layers stay as they began.

What learns no better than these has taught its hidden layers nothing that the task needs. Among the
runs of a study each stands under a name of its own in the place of a rule. Owns the names, and what
a lesson and the widths of a network are under them. Standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NO_HIDDEN, FROZEN = "no_hidden", "frozen"
CONTROLS = {NO_HIDDEN: "no hidden layer", FROZEN: "frozen hidden layers"}


def taught(rule: str) -> dict[str, Any]:
    """Fields `rule` and `learns` of the lesson of a rule, or of a control.

    The output layer of a control learns by the gradient, which there every rule has.
    """
    if rule not in CONTROLS:
        return {"rule": rule, "learns": "all"}
    return {"rule": "bp", "learns": "output" if rule == FROZEN else "all"}


def widths_of(rule: str, widths: Sequence[int]) -> tuple[int, ...]:
    """N_0 .. N_L of the network of a rule, or of a control, where others have `widths`."""
    return (widths[0], widths[-1]) if rule == NO_HIDDEN else tuple(widths)
