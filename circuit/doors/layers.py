"""Weights and biases that were trained elsewhere, as the fields of a network.

Owns the way from arrays of any kind to those of a `Network`, which makes itself of them, so that
nothing here imports it. Does not own the units of other libraries
(`units`), auxiliary units (`padding`) nor the warning of weights near singular (`condition`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from circuit.activations import Activation
from circuit.checks.given import is_sequence, real, require_unmasked, shown
from circuit.doors.units import RELU_SLOPE, taken_in
from circuit.errors import ShapeMismatch
from circuit.numerics.arrays import to_numpy

Fields = dict[str, Any]  # of a `Network`, by name


def fields_of_layers(
    weights: Sequence[Any],
    biases: Sequence[Any] | None = None,
    activations: str | Activation | Sequence[str | Activation] = "leaky_relu",
    *,
    n_inputs: int | None = None,
    n_outputs: int | None = None,
    relu_slope: float = RELU_SLOPE,
) -> Fields:
    """The fields of the network of these weights, as NumPy arrays.

    Parameters
    ----------
    weights : L arrays (N_l, n_l), lists or tensors: W_1 .. W_L, a row for each unit
    biases : L arrays (N_l,); zero if None
    activations
        One for all layers or one each: names of this library (`ACTIVATIONS`) and of others (relu,
        identity, logistic, softmax at the output), or `Activation`s.
    n_inputs : N_0; the columns of W_1 if None
    n_outputs : outputs that have a target; all if None
    relu_slope : of the leaky ReLU in place of ReLU

    Raises
    ------
    CircuitError, ShapeMismatch
    """
    if not is_sequence(weights) or not len(weights):
        raise ShapeMismatch(
            f"weights are {shown(type(weights).__name__)}; give a list of matrices, one for each "
            "layer"
        )
    matrices = [_floats(matrix, f"W of layer {layer}") for layer, matrix in enumerate(weights, 1)]
    _require_rows_of_units(matrices)
    dtype = np.result_type(*matrices)
    relu_slope = real("relu_slope", relu_slope)
    given = [None] * len(matrices) if biases is None else biases
    if not hasattr(given, "__len__") or len(given) != len(matrices):
        count = len(given) if hasattr(given, "__len__") else shown(given)
        raise ShapeMismatch(f"{count} biases for {len(matrices)} weights; give one each")
    if hasattr(activations, "tolist"):  # an array or a column of names
        activations = activations.tolist()
    units = list(activations) if is_sequence(activations) else [activations] * len(matrices)
    if len(units) != len(matrices):
        raise ShapeMismatch(
            f"{len(units)} activations for {len(matrices)} layers; give one for all, or one each, "
            "the output's last"
        )
    vectors = [
        np.zeros(matrix.shape[0], dtype)
        if bias is None
        else _floats(bias, f"bias of layer {layer}").astype(dtype)
        for layer, (matrix, bias) in enumerate(zip(matrices, given, strict=True), 1)
    ]
    for layer, (matrix, vector) in enumerate(zip(matrices, vectors, strict=True), 1):
        if vector.shape != matrix.shape[:1]:
            raise ShapeMismatch(
                f"bias of layer {layer} has shape {vector.shape}; it needs {len(matrix)} entries"
            )
    taken = [
        taken_in(unit, relu_slope, last=layer == len(units)) for layer, unit in enumerate(units, 1)
    ]
    factor, offset = 1.0, 0.0  # by which the rates below are those of the units that stand here
    for place, unit in enumerate(taken):
        W = matrices[place].astype(dtype)
        vectors[place] = unit.into * (vectors[place] + offset * W.sum(axis=-1))
        matrices[place] = unit.into * factor * W
        factor, offset = unit.factor, unit.offset
    return {
        "weights": tuple(matrices),
        "biases": tuple(vectors),
        "activations": tuple(unit.unit for unit in taken),
        "n_inputs": int(matrices[0].shape[-1]) if n_inputs is None else n_inputs,
        "n_outputs": int(matrices[-1].shape[0]) if n_outputs is None else n_outputs,
        "notes": tuple(dict.fromkeys(unit.note for unit in taken if unit.note)),
    }


def _floats(array: Any, name: str) -> np.ndarray:
    """As NumPy's float32 or float64: what is neither becomes float64, half precisions float32."""
    require_unmasked(name, array)
    try:
        if hasattr(array, "detach"):  # a tensor, of a precision that NumPy may not have
            array = array.detach().cpu()
            array = array.float() if str(array.dtype) in _HALF else array
        values = to_numpy(array)
    except (TypeError, ValueError) as error:
        raise ShapeMismatch(f"{name} is no array of numbers ({shown(error)})") from None
    if values.dtype.kind not in "iuf":
        raise ShapeMismatch(f"{name} has dtype {values.dtype}; give an array of numbers")
    if values.dtype.kind == "f" and values.dtype.itemsize <= 4:
        return values.astype(np.float32)
    return values.astype(np.float64)


_HALF = ("torch.float16", "torch.bfloat16")


def _require_rows_of_units(matrices: Sequence[np.ndarray]) -> None:
    """Raise `ShapeMismatch` for weights (n_in, n_out), as scikit-learn and Keras have them."""
    if any(matrix.ndim != 2 for matrix in matrices):
        words = ", ".join(str(matrix.shape) for matrix in matrices)
        raise ShapeMismatch(f"weights of shapes {words}; give one matrix for each layer")
    shapes = [matrix.shape for matrix in matrices]
    fits = all(up[1] == down[0] for down, up in pairwise(shapes))
    turned = all(up[0] == down[1] for down, up in pairwise(shapes))
    if not fits and turned:
        raise ShapeMismatch(
            f"weights of shapes {', '.join(map(str, shapes))} fit together only with a column for "
            "each unit; give them transposed, a row for each unit: [W.T for W in weights]"
        )
