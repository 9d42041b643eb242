"""Widths of layers, as a caller gives them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from circuit.checks.given import is_sequence, is_whole, shown
from circuit.errors import CircuitError


def require_widths(widths: Sequence[int]) -> None:
    """Raise `CircuitError` unless they are two whole numbers or more, each 1 or more."""
    if not (is_sequence(widths) or getattr(widths, "ndim", None) == 1) or not (
        len(widths) >= 2 and all(is_whole(width) and width >= 1 for width in widths)
    ):
        raise CircuitError(
            f"widths {shown(widths)}: give at least two whole numbers, input first, each 1 or more"
        )


def require_decreasing(widths: Sequence[int], from_layer: int = 1) -> None:
    """Raise `CircuitError` where widths increase at layer `from_layer` or above it."""
    for layer, (below, above) in enumerate(pairwise(widths), 1):
        if above > below and layer >= from_layer:
            raise CircuitError(
                f"widths {tuple(widths)} increase from {below} to {above} at layer {layer}; "
                "an exact inverse needs widths that stay equal or decrease"
            )
