"""The pull of weights towards orthogonality (Eq. 23).

Owns the gradient of the regulariser, and the measure of how far weights are from orthogonal. Does
not own the learning rule that it is added to.

    R(W) = lambda |offdiag(W W^T)|^2 ,      dR/dW = 4 lambda offdiag(W W^T) W

pulls the rows of W apart and leaves their lengths free. For columns the same of W^T. For square W
both vanish together where the lengths are equal; else they need not. Weights are
`(..., n, n)`; of rectangular ones only the shorter side, rows or columns, can be pulled apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import array_api_compat
import numpy as np
from scipy.linalg.blas import dsymm, dsyrk, ssymm, ssyrk

from circuit.checks.given import require_choice
from circuit.errors import CircuitError
from circuit.lateral_inhibition.pull import Companions, Pull, Turn
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, is_numpy, namespace
from circuit.settings.pull import SIDES, RegulariserSettings


@dataclass(frozen=True)
class Regulariser(RegulariserSettings, Pull):
    """The pull of Eq. 23. See `RegulariserSettings`.

    Examples
    --------
    >>> from circuit.learning import Lesson, Regulariser
    >>> Lesson(pull=Regulariser(0.1, of="columns")).pull.strength
    0.1
    """

    def turned(
        self, network: Network, activity: Activity, companions: Companions, step: int, made: int
    ) -> tuple[Turn, Companions]:
        """As `Pull.turned`."""
        strength = self.in_step(made)
        if strength == 0:
            return super().turned(network, activity, companions, step, made)
        return (
            lambda layer, direction: descent(
                network.weights[layer], strength, self.of, onto=direction
            )
        ), companions


def descent(
    weights: Array, strength: float, of: str = "rows", *, onto: Array | None = None
) -> Array:
    """Minus the gradient of R, `(..., n, n)`.

    Parameters
    ----------
    strength : lambda
    of : "rows" or "columns"
    onto : array (..., n, n), to which it is added; given up by the caller, who must not use it any
        more
    """
    _require_side(of)
    if not math.isfinite(strength):
        raise CircuitError(f"orthogonality lambda = {strength} is not finite; use for example 0.1")
    if is_numpy(weights) and weights.ndim == 2:
        return _numpy_descent(weights, -4 * strength, of, onto)
    xp = namespace(weights)
    overlaps = _overlaps(weights, of)
    product = xp.matmul(overlaps, weights) if of == "rows" else xp.matmul(weights, overlaps)
    return (-4 * strength) * product if onto is None else onto - 4 * strength * product


def _numpy_descent(
    weights: np.ndarray, factor: float, of: str, onto: np.ndarray | None
) -> np.ndarray:
    """With a product that knows that the overlaps are symmetric, which saves a quarter."""
    double = weights.dtype == np.float64
    rank_k, symmetric = (dsyrk, dsymm) if double else (ssyrk, ssymm)
    # BLAS sees the transposes, in which the rows of W are columns
    overlaps = rank_k(1.0, weights.T, trans=int(of == "rows"))
    np.fill_diagonal(overlaps, 0)
    side = int(of == "rows")
    if onto is None:
        return symmetric(factor, overlaps, weights.T, side=side).T
    return symmetric(factor, overlaps, weights.T, side=side, beta=1.0, c=onto.T, overwrite_c=True).T


def distance(weights: Array) -> Array:
    """Distance of each matrix from the nearest orthogonal one over sqrt(n), `(..., n, n) -> (...)`.

    In the Frobenius norm, so that it is the root mean square of the singular values' distance
    from 1.
    """
    xp = namespace(weights)
    apart = xp.linalg.svdvals(weights) - 1
    return xp.sqrt(xp.mean(apart * apart, axis=-1))


def _require_side(of: str) -> None:
    require_choice("orthogonality of", of, SIDES)


def _overlaps(weights: Array, of: str) -> Array:
    """Inner products of different rows, or of different columns; zero on the diagonal."""
    xp = namespace(weights)
    transposed = xp.matrix_transpose(weights)
    gram = xp.matmul(weights, transposed) if of == "rows" else xp.matmul(transposed, weights)
    eye = xp.eye(gram.shape[-1], dtype=xp.bool, device=array_api_compat.device(gram))
    return xp.where(eye, xp.zeros_like(gram), gram)
