"""Layers of a network as a caller gives them: their weights, biases and widths."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from circuit.checks.given import is_sequence, is_whole, shown
from circuit.errors import CircuitError, ShapeMismatch
from circuit.numerics.arrays import Array, namespace, require_finite, require_real
from circuit.numerics.taken import taken


def layers_taken(what: str, name: str, given: Any) -> tuple[Array, ...]:
    """The weights or biases of all layers as plain arrays; `what` they are, `name` of one.

    Raises `ShapeMismatch` where they are not one array for each layer.
    """
    if not is_sequence(given):
        raise ShapeMismatch(
            f"{what} are {type(given).__name__}; give a tuple of arrays, one for each layer"
        )
    return tuple(taken(f"{name} of layer {layer}", array) for layer, array in enumerate(given, 1))


def require_layers(matrices: Sequence[Array], biases: Sequence[Array], units: int) -> None:
    """Raise `ShapeMismatch` or `NotFinite` unless weights, biases and so many kinds of unit are
    those of the same layers, in one precision.
    """
    if not len(matrices) == len(biases) == units > 0:
        raise ShapeMismatch(
            f"{len(matrices)} weights, {len(biases)} biases and "
            f"{units} activations; give one of each per layer, at least one"
        )
    namespace(*matrices, *biases)
    dtype = matrices[0].dtype
    for layer, (weights, bias) in enumerate(zip(matrices, biases, strict=True), 1):
        require_real(weights, f"W of layer {layer}")
        if weights.ndim < 2:
            raise ShapeMismatch(
                f"W of layer {layer} has shape {tuple(weights.shape)}; it must be a matrix "
                "(units, units that are read)"
            )
        if tuple(bias.shape) != tuple(weights.shape[:-1]) or bias.dtype != dtype:
            raise ShapeMismatch(
                f"bias of layer {layer} has shape {tuple(bias.shape)} and dtype {bias.dtype}; "
                f"it needs {weights.shape[-2]} entries of {dtype}, shape "
                f"{tuple(weights.shape[:-1])}"
            )
        if weights.dtype != dtype:
            raise ShapeMismatch(
                f"W of layer {layer} has dtype {weights.dtype}, W of layer 1 "
                f"{dtype}; use one precision for all layers"
            )
        remedy = "use finite weights and biases"
        require_finite(weights, f"W of layer {layer}", remedy)
        require_finite(bias, f"bias of layer {layer}", remedy)


def require_read(weights: Sequence[Array], widths: Sequence[int]) -> None:
    """Raise `CircuitError` unless each layer reads units that there are below it."""
    for layer, matrix in enumerate(weights, 1):
        read, below = int(matrix.shape[-1]), widths[layer - 1]
        if read > below and read == widths[layer]:
            require_decreasing(widths)
        if not 1 <= read <= below:
            raise ShapeMismatch(
                f"W of layer {layer} has shape {tuple(matrix.shape)}, which reads {read} "
                f"units of the {below} below; give 1 to {below} columns"
            )


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
