"""Arrays as people have them: lists, tables, labelled arrays, parameters of a module, numbers of
another precision.

Owns what counts as an array where the library is entered, what is made of it, and the one line that
refuses what would be misread: masked entries, matrices whose `*` is another, physical units, sparse
storage. Does not own shapes, which are checked where their meaning is known.
"""

from __future__ import annotations

import warnings
from typing import Any

import array_api_compat
import numpy as np

from circuit.checks.given import is_sequence, require_unmasked, shown, without_unit
from circuit.errors import CircuitError, Rounded, ShapeMismatch
from circuit.numerics.arrays import Array, namespace


def taken(what: str, value: Any, like: Array | None = None) -> Array:
    """`value` as an array, of the library, the device and, where it is float64, the precision of
    `like`.

    Arrays of a library stay what they are, but for their gradients, which are let go. Float64 for
    float32 is rounded, with the warning `Rounded` where that changes a number. Lists, tables and
    labelled arrays become NumPy arrays of floats, or arrays of the library of `like`.

    Parameters
    ----------
    what : the name by which a message calls it

    Raises
    ------
    CircuitError, ShapeMismatch
        In one line, for anything else.
    """
    if type(value) is np.ndarray:
        return value if like is None else _rounded(what, value, like)
    _refuse(what, value)
    if getattr(value, "requires_grad", False):
        value = value.detach()
    if isinstance(value, np.ndarray):
        value = np.asarray(without_unit(what, value))
    elif is_sequence(value) or hasattr(value, "to_numpy"):
        value = _floats(what, value)
        if like is not None and not array_api_compat.is_numpy_array(like):
            device = array_api_compat.device(like)
            value = namespace(like).asarray(value, device=device, dtype=like.dtype)
    elif not array_api_compat.is_array_api_obj(value):
        raise ShapeMismatch(f"{what} = {shown(value)} is no array; give an array of numbers")
    return value if like is None else _rounded(what, value, like)


def labels_taken(what: str, value: Any) -> np.ndarray | None:
    """Whole numbers, one for each sample, as a vector; None for what is no such list."""
    if array_api_compat.is_torch_array(value):
        value = value.detach().cpu()
    if isinstance(value, np.ma.MaskedArray) or not (
        is_sequence(value) or hasattr(value, "shape") or hasattr(value, "to_numpy")
    ):
        return None
    try:
        found = np.asarray(without_unit(what, value))
    except (ValueError, TypeError):
        return None
    return found if found.ndim == 1 and found.dtype.kind in "iu" else None


def _refuse(what: str, value: Any) -> None:
    """Raise `CircuitError` for what would be misread."""
    require_unmasked(what, value)
    if isinstance(value, np.matrix):
        raise CircuitError(f"{what} is a np.matrix; give np.asarray of it")
    if hasattr(value, "nnz") or getattr(value, "is_sparse", False):
        raise CircuitError(f"{what} is sparse; give a dense array, such as .toarray()")
    without_unit(what, value)


def _floats(what: str, value: Any) -> np.ndarray:
    """Numbers of a list or a table as floats; float32 stays."""
    try:
        array = np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value)
    except (ValueError, TypeError) as error:  # rows of different lengths
        raise ShapeMismatch(f"{what} is no array: {shown(error)}") from None
    if array.dtype.kind not in "iuf":
        raise ShapeMismatch(f"{what} has dtype {array.dtype}; give numbers")
    return array if array.dtype == np.float32 else array.astype(np.float64)


def _rounded(what: str, value: Array, like: Array) -> Array:
    """Float64 in the precision of float32 weights."""
    if "float64" not in str(value.dtype) or "float32" not in str(like.dtype):
        return value
    xp = namespace(value)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = xp.astype(value, xp.float32)
        same = (xp.astype(cast, xp.float64) == value) | ~xp.isfinite(value)
    if not bool(xp.all(same)):
        warnings.warn(
            f"{what} of float64 are rounded to float32, the precision of the weights; cast them, "
            "or the weights",
            Rounded,
            stacklevel=3,
        )
    return cast
