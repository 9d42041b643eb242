"""The array API: which library an array belongs to, and the few questions asked of every array.

Owns the meeting with array-api-compat. Everything else in `circuit` calls functions of the
namespace that `namespace` returns, so that the same code runs on NumPy arrays and on PyTorch
tensors, on a CPU or a GPU.

Shapes: activities are `(..., batch, units)`, weights `(..., n_post, n_pre)`. Leading axes, where
there are any, are a stack of networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import array_api_compat
import numpy as np
from scipy.linalg.blas import dasum, dgemm, sasum, sgemm
from threadpoolctl import threadpool_info

from circuit.errors import NotFinite, ShapeMismatch

Array = Any
"""In signatures: an array of NumPy, PyTorch or any other library that follows the array API."""

SMALL_BATCH = 100  # samples; measured, docs/numerics.md

_NAMESPACES: dict[type, Any] = {}


def namespace(*arrays: Array) -> Any:
    """The array-API namespace that all of `arrays` belong to.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.numerics import namespace
    >>> namespace(np.zeros(2), np.ones(3)).concat([np.zeros(2), np.ones(1)])
    array([0., 0., 1.])
    """
    kind = type(arrays[0])
    for array in arrays:
        if type(array) is not kind:
            break
    else:
        if kind in _NAMESPACES:
            return _NAMESPACES[kind]
    try:
        found = array_api_compat.array_namespace(*arrays)
        if not all(hasattr(array, "shape") for array in arrays):  # of numbers it knows a namespace
            raise TypeError
    except TypeError:
        kinds = ", ".join(dict.fromkeys(type(array).__name__ for array in arrays))
        raise ShapeMismatch(f"{kinds}: give arrays, and all of one library") from None
    _NAMESPACES[kind] = (
        found  # looking it up anew at every operation costs as much as the operation
    )
    return found


def is_numpy(array: Array) -> bool:
    """Whether `array` is a NumPy array (the SciPy and Brian2 methods take no other)."""
    return type(array) is np.ndarray or array_api_compat.is_numpy_array(array)


def epsilon(array: Array) -> float:
    """Distance from 1 to the next number in the precision of `array`."""
    return _limits(namespace(array), array.dtype)[0]


def product_rounding(eps: float, n: int) -> float:
    """Relative rounding of a product with an n x n matrix, doubled.

    In the probabilistic model of Higham and Mary (2019) errors add up like sqrt(n) and not like n.
    """
    return 2 * eps * (n**0.5 + 4)


def smallest_normal(array: Array) -> float:
    """Smallest number of full precision in the dtype of `array`."""
    return _limits(namespace(array), array.dtype)[1]


@cache
def _limits(xp: Any, dtype: Any) -> tuple[float, float]:
    limits = xp.finfo(dtype)
    return float(limits.eps), float(limits.smallest_normal)


def to_numpy(array: Array) -> np.ndarray:
    """A NumPy copy or view of `array`, from whichever library and device it comes.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.numerics import to_numpy
    >>> to_numpy(np.array([1.0, 2.0]))
    array([1., 2.])
    """
    if array_api_compat.is_torch_array(array):
        return np.asarray(array.detach().cpu())
    return np.asarray(array)


def flattened(values: Array) -> np.ndarray:
    """`(..., batch)` as a float64 vector of samples."""
    return to_numpy(values).reshape(-1).astype(np.float64)


def row_norms(array: Array) -> Array:
    """Euclidean norm of each sample, `(..., batch, units) -> (..., batch)`.

    Of any size: where squares may have left the range of floats, the norm is taken with the scale
    of the largest entry.
    """
    xp = namespace(array)
    with np.errstate(over="ignore"):
        norms = xp.sqrt(xp.linalg.vecdot(array, array))
    eps, tiny = _limits(xp, array.dtype)
    least, most = (tiny / eps) ** 0.5, float("inf")
    if array.shape[-1] == 0 or 0 in norms.shape:
        return norms
    if is_numpy(norms) and norms.min() > least and norms.max() < most:  # quickly
        return norms
    sure = (norms > least) & (norms < most)
    if bool(xp.all(sure)):
        return norms
    peak = xp.max(xp.abs(array), axis=-1)
    peak = xp.where((peak > 0) & (peak < float("inf")), peak, xp.ones_like(peak))
    scaled = array / peak[..., None]
    with np.errstate(over="ignore"):
        return xp.where(sure, norms, peak * xp.sqrt(xp.linalg.vecdot(scaled, scaled)))


def frobenius_norm(matrices: Array) -> Array:
    """Of each matrix, `(..., m, n) -> (...)`, of any size."""
    return row_norms(row_norms(matrices))


def finite_rows(arrays: Sequence[Array]) -> np.ndarray:
    """Which samples are finite in every array `(..., batch, units)`, as a mask (samples,)."""
    xp = namespace(*arrays)
    finite: Any = True
    for array in arrays:
        finite = finite & to_numpy(xp.all(xp.isfinite(array), axis=-1)).reshape(-1)
    return np.asarray(finite)


def largest(array: Array) -> float:
    """Largest entry as a float (NaN if there is one; 0 for an empty array)."""
    if 0 in array.shape:
        return 0.0
    return float(array.max() if is_numpy(array) else namespace(array).max(array))


def smallest(array: Array) -> float:
    """Smallest entry as a float (NaN if there is one; infinity for an empty array)."""
    if 0 in array.shape:
        return float("inf")
    return float(array.min() if is_numpy(array) else namespace(array).min(array))


def any_true(array: Array) -> bool:
    """Whether any entry is true, as a Python bool."""
    return bool(array.any() if is_numpy(array) else namespace(array).any(array))


def require_finite(array: Array, name: str, remedy: str) -> None:
    """Raise `NotFinite`, naming `name` and the first bad entry, unless every entry is finite."""
    xp = namespace(array)
    if any_true(~xp.isfinite(array)):
        bad = np.argwhere(~np.isfinite(to_numpy(array)))[0]
        value = to_numpy(array)[tuple(bad)]
        raise NotFinite(f"{name} holds {value} at index {tuple(map(int, bad))}; {remedy}")


def all_finite(arrays: Sequence[Array]) -> bool:
    """Whether every entry of every array is finite, by one sum over each and one answer in all."""
    if not arrays:
        return True
    xp = namespace(*arrays)
    if all(is_numpy(array) and array.dtype in (np.float32, np.float64) for array in arrays):
        sums = [(dasum if a.dtype == np.float64 else sasum)(a.reshape(-1)) for a in arrays]
    else:
        sums = [sum(xp.sum(xp.abs(array)) for array in arrays)]
    # a sum may also overflow
    return all(map(math.isfinite, map(float, sums))) or not any(
        any_true(~xp.isfinite(array)) for array in arrays
    )


def require_samples(array: Array) -> None:
    """Raise `ShapeMismatch` for a batch `(..., batch, units)` of no samples."""
    if 0 in array.shape[:-1]:
        raise ShapeMismatch(
            f"a batch of shape {tuple(array.shape)} holds no samples; give one or more"
        )


def require_real(array: Array, name: str) -> None:
    """Raise `ShapeMismatch` unless `array` holds float32 or float64 numbers."""
    xp = namespace(array)
    if array.dtype not in (xp.float32, xp.float64):
        raise ShapeMismatch(
            f"{name} has dtype {array.dtype}; convert it to float64 or float32 first"
        )


def rows_times(rows: Array, matrix: Array) -> Array:
    """`matrix` applied to every row, `(..., batch, n_pre), (..., n_post, n_pre) -> (..., batch,
    n_post)`.

    NumPy products go through the BLAS of SciPy, where the triangular solves are: NumPy and SciPy
    each bring a BLAS with a thread pool of its own, and going to and fro between them was seen to
    cost a factor of five on two cores (docs/numerics.md).
    """
    if is_numpy(rows) and rows.ndim == matrix.ndim == 2 and rows.dtype == matrix.dtype:
        gemm = dgemm if rows.dtype == np.float64 else sgemm
        if _batch_comes_first(rows):
            if matrix.flags.c_contiguous:
                return np.ascontiguousarray(gemm(1.0, rows.T, matrix.T, trans_a=True))
            if matrix.flags.f_contiguous:
                return np.ascontiguousarray(gemm(1.0, rows.T, matrix, trans_a=True, trans_b=True))
        if matrix.flags.c_contiguous:
            return gemm(1.0, matrix.T, rows.T, trans_a=True).T
        return gemm(1.0, matrix, rows.T).T
    xp = namespace(rows, matrix)
    return xp.matmul(rows, xp.matrix_transpose(matrix))


def minus_rows_times(start: Array, rows: Array, matrix: Array) -> Array:
    """`start - rows_times(rows, matrix)`, in one pass where BLAS can."""
    alike = is_numpy(rows) and rows.ndim == matrix.ndim == 2
    alike = alike and start.dtype == rows.dtype == matrix.dtype
    if alike and matrix.flags.c_contiguous and not _batch_comes_first(rows):
        gemm = dgemm if rows.dtype == np.float64 else sgemm
        return gemm(-1.0, matrix.T, rows.T, beta=1.0, c=start.T, trans_a=True).T
    return start - rows_times(rows, matrix)


def outer_sum(left: Array, right: Array) -> Array:
    """Sum over the batch of outer products, `(..., batch, n), (..., batch, m) -> (..., n, m)`.

    Through the BLAS of SciPy, as `rows_times`, and contiguous.
    """
    if is_numpy(left) and left.ndim == right.ndim == 2 and left.dtype == right.dtype:
        gemm = dgemm if left.dtype == np.float64 else sgemm
        return gemm(1.0, right.T, left.T, trans_b=True).T
    xp = namespace(left, right)
    return xp.matmul(xp.matrix_transpose(left), right)


def plus_outer_sum(matrix: Array, left: Array, right: Array, *, overwrite: bool = False) -> Array:
    """`matrix + outer_sum(left, right)`, in one pass where BLAS can.

    With `overwrite` in the memory of `matrix`, which is given up by the caller; where it can.
    """
    if is_numpy(matrix) and matrix.ndim == 2 and matrix.flags.c_contiguous:
        gemm = dgemm if matrix.dtype == np.float64 else sgemm
        taken = {"c": matrix.T, "beta": 1.0, "overwrite_c": overwrite}
        return gemm(1.0, right.T, left.T, trans_b=True, **taken).T
    return matrix + outer_sum(left, right)


def _batch_comes_first(rows: Array) -> bool:
    """Whether BLAS is to see the batch as rows, and not as columns.

    For a small batch OpenBLAS then takes as little as half the time (docs/numerics.md), but for
    float64 with AVX-512.
    """
    if not (rows.flags.c_contiguous and len(rows) <= SMALL_BATCH):
        return False
    return rows.dtype == np.float32 or _has_avx2_kernels()


@cache
def _has_avx2_kernels() -> bool:
    pools = threadpool_info()
    return any(pool.get("architecture") in {"Haswell", "Zen"} for pool in pools)


def row_indices(mask: Array) -> list[int]:
    """Places of the true entries of a mask over samples (flattened)."""
    return np.flatnonzero(to_numpy(mask)).tolist()


def take_rows(array: Array, indices: Sequence[int]) -> Array:
    """Some samples of a batch, `(batch, units) -> (len(indices), units)`."""
    xp, device = namespace(array), array_api_compat.device(array)
    return xp.take(array, xp.asarray(list(indices), device=device), axis=0)


def put_rows(array: Array, indices: Sequence[int], rows: Array) -> Array:
    """`array` with the samples at `indices` replaced by `rows`."""
    if is_numpy(array):
        replaced = array.copy()
        replaced[list(indices)] = rows
        return replaced
    xp, device, batch = namespace(array), array_api_compat.device(array), array.shape[0]
    source = list(range(batch))
    for place, index in enumerate(indices):
        source[index] = batch + place
    return xp.take(xp.concat([array, rows], axis=0), xp.asarray(source, device=device), axis=0)


def put_units(array: np.ndarray, units: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A copy of a NumPy array with the entries at `units` (flattened) replaced by `values`."""
    replaced = array.copy()
    replaced.reshape(-1)[units] = values
    return replaced


def widened(array: Array, units: int) -> Array:
    """`array` with zeros appended until its last axis has `units` entries."""
    missing = units - array.shape[-1]
    if missing == 0:
        return array
    xp = namespace(array)
    blank = xp.zeros(
        (*array.shape[:-1], missing), dtype=array.dtype, device=array_api_compat.device(array)
    )
    return xp.concat([array, blank], axis=-1)
