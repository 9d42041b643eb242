"""The names of the losses, whose functions are in `circuit.losses`. Standard library only."""

from __future__ import annotations

QUADRATIC, CROSS_ENTROPY = LOSSES = ("quadratic", "cross_entropy")
