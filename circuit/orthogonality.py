"""The pull of weights towards orthogonality (Eq. 23).

Owns the regulariser, its gradient, and the measure of how far weights are from orthogonal. Does not
own the learning rule that it is added to.

    R(W) = lambda |offdiag(W W^T)|^2 ,      dR/dW = 4 lambda offdiag(W W^T) W

pulls the rows of W apart and leaves their lengths free. For columns the same of W^T. For square W
both vanish together only where the lengths are equal (docs/derivation.md, section 1). Weights are
`(..., n, n)`.
"""

from __future__ import annotations

import array_api_compat

from circuit.arrays import Array, namespace
from circuit.errors import CircuitError

SIDES = ("rows", "columns")


def penalty(weights: Array, strength: float, of: str = "rows") -> Array:
    """R, one number for each matrix of a stack, `(..., n, n) -> (...)`.

    Parameters
    ----------
    strength : lambda
    of : "rows" or "columns"
    """
    xp = namespace(weights)
    overlaps = _overlaps(weights, of)
    return strength * xp.sum(overlaps * overlaps, axis=(-2, -1))


def descent(weights: Array, strength: float, of: str = "rows") -> Array:
    """Minus the gradient of `penalty`, `(..., n, n)`."""
    xp = namespace(weights)
    overlaps = _overlaps(weights, of)
    product = xp.matmul(overlaps, weights) if of == "rows" else xp.matmul(weights, overlaps)
    return (-4 * strength) * product


def distance(weights: Array) -> Array:
    """How far each matrix is from a multiple of an orthogonal one, `(..., n, n) -> (...)`.

    |W^T W / s - I|_F / sqrt(n) with s the mean squared length of a column: 0 for orthogonal weights
    of any size, about 1 for Gaussian ones.
    """
    xp = namespace(weights)
    n = weights.shape[-1]
    gram = xp.matmul(xp.matrix_transpose(weights), weights)
    mean = xp.sum(weights * weights, axis=(-2, -1), keepdims=True) / n
    eye = xp.eye(n, dtype=gram.dtype, device=array_api_compat.device(gram))
    return xp.linalg.matrix_norm(gram / mean - eye) / n**0.5


def _overlaps(weights: Array, of: str) -> Array:
    """Inner products of different rows, or of different columns; zero on the diagonal."""
    if of not in SIDES:
        raise CircuitError(f"orthogonality of {of!r} is unknown; choose from {', '.join(SIDES)}")
    xp = namespace(weights)
    n = weights.shape[-1]
    transposed = xp.matrix_transpose(weights)
    gram = xp.matmul(weights, transposed) if of == "rows" else xp.matmul(transposed, weights)
    eye = xp.eye(n, dtype=xp.bool, device=array_api_compat.device(gram))
    return xp.where(eye, xp.zeros_like(gram), gram)
