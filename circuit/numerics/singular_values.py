"""Bounds of the singular values of a weight matrix that cost a tenth of the values themselves.

Owns the two certificates.

Largest    The eigenvalues of W W^T have a known mean and a known mean square (its trace, its
           Frobenius norm), and none of n numbers lies further from their mean than sqrt(n-1)
           standard deviations (Wolkowicz and Styan 1980).
Smallest   If W W^T - s^2 I has a Cholesky factor, no singular value lies below s. s^2 is halved
           from the mean downwards until it has one, so that the bound is low by less than sqrt(2).
           Where the matrix is so near to singular that rounding could have made up the factor, the
           singular values themselves are computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import array_api_compat
import numpy as np
from scipy.linalg.blas import dsyrk, ssyrk
from scipy.linalg.lapack import get_lapack_funcs

from circuit.numerics.arrays import Array, epsilon, is_numpy, namespace, product_rounding
from circuit.records.brief import Brief


@dataclass(frozen=True, eq=False, repr=False)
class SingularValues(Brief):
    """Bounds for the matrices `weights` (..., n, n).

    Attributes
    ----------
    least : array (...), no larger than the smallest singular value
    most : array (...), no smaller than the largest

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.numerics import bounded
    >>> found = bounded(np.diag([0.5, 3.0]))
    >>> bool(found.least <= 0.5), bool(found.most >= 3.0)
    (True, True)
    """

    weights: Array
    least: Array
    most: Array


def bounded(weights: Array) -> SingularValues:
    """Bounds of the singular values of finite `weights`, to rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.numerics import bounded
    >>> round(float(bounded(np.diag([0.5, 3.0])).most), 9)
    3.0
    """
    xp = namespace(weights)
    matrices = xp.reshape(weights, (-1, *weights.shape[-2:]))
    pairs = [_bounds(matrices[i, ...]) for i in range(matrices.shape[0])]
    like = {"dtype": weights.dtype, "device": array_api_compat.device(weights)}
    least, most = (
        xp.reshape(xp.asarray(values, **like), weights.shape[:-2])
        for values in zip(*pairs, strict=True)
    )
    return SingularValues(weights, least, most)


def _bounds(matrix: Array) -> tuple[float, float]:
    """For one matrix (n, n)."""
    xp, n = namespace(matrix), matrix.shape[-1]
    gram = _gram(matrix)
    mean = float(xp.sum(matrix * matrix)) / n
    diagonal = float(xp.sum(xp.linalg.diagonal(gram) ** 2))
    square = 2 * float(xp.sum(gram * gram)) - diagonal  # of the Frobenius norm of both triangles
    rounding = product_rounding(epsilon(matrix), n) * mean * n
    spread = (max(square / n - mean * mean, 0.0) * (n - 1)) ** 0.5 + rounding
    most = (mean + spread) ** 0.5
    if spread < mean / 2:
        return (mean - spread) ** 0.5, most
    height = mean / 2
    while height > 4 * rounding:
        if _is_positive(gram, height):
            return (height - rounding) ** 0.5, most
        height /= 2
    values = xp.linalg.svdvals(matrix)
    return float(values[-1]), float(values[0])


def _gram(matrix: Array) -> Array:
    """The lower triangle of `W W^T`, zeros above."""
    xp = namespace(matrix)
    if is_numpy(matrix):
        rank_k = dsyrk if matrix.dtype == np.float64 else ssyrk
        return rank_k(1.0, matrix.T, trans=1, lower=1)
    return xp.tril(xp.matmul(matrix, xp.matrix_transpose(matrix)))


def _is_positive(gram: Array, height: float) -> bool:
    """Whether the symmetric matrix with this lower triangle, less height times I, has a Cholesky
    factor.
    """
    xp, n = namespace(gram), gram.shape[-1]
    lowered = gram - height * xp.eye(n, dtype=gram.dtype, device=array_api_compat.device(gram))
    if is_numpy(gram):
        (potrf,) = get_lapack_funcs(("potrf",), (lowered,))
        return bool(potrf(lowered, lower=1)[1] == 0)
    mirrored = lowered + xp.matrix_transpose(xp.tril(lowered, k=-1))
    try:
        xp.linalg.cholesky(mirrored)
    except (np.linalg.LinAlgError, RuntimeError):
        return False
    return True
