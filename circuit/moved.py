"""The inverse of weights that move a little in every step of learning.

Owns solves with weights of which an earlier state was factorised, bounds of their singular values,
and the decision when to factorise anew. Does not own what is asked of a single matrix, which
`inverse` does.

An earlier factorisation W_0 = W - D corrects a solve: with x <- x + W_0^-1 (v - W x) the residual
shrinks by D W_0^-1 in each round. Rounds are made until the residual is no larger than that of a
fresh solve, which is checked, so nothing is less exact for being faster. Where more than a few
rounds were needed, or the next one would cost more than its share of a new factorisation, W is
factorised.
"""

from __future__ import annotations

from functools import cache, cached_property
from typing import Any

import array_api_compat
import numpy as np
from scipy.linalg.lapack import get_lapack_funcs

from circuit.arrays import (
    Array,
    epsilon,
    is_numpy,
    largest,
    namespace,
    outer_sum,
    product_rounding,
    row_norms,
    rows_times,
    smallest,
)
from circuit.errors import SingularWeights
from circuit.inverse import Factorised
from circuit.singular_values import SingularValues, bounded

MOST_ROUNDS = 8
SLOWEST = 0.3  # a round that leaves more than this of the residual is the last one
SUMS = 8  # random sums of samples on which the residual is checked
WORTH_OF_LU = 1 / 4  # of a factorisation, in rounds for n rows; measured, docs/numerics.md
WORTH_OF_INVERSE = 1.0


def fresh_residual(eps: float, n: int) -> float:
    """Residual |v - W x| that a fresh solve leaves, relative to |v| or |W|_F |x| / sqrt(n).

    1.1, 2.7, 15 and 60 eps were seen for Gaussian weights with n = 16, 64, 256 and 784, and up to
    twice as much for orthogonal ones.
    """
    return eps * (1 + n / 16)


class Moved(Factorised):
    """A weight matrix `(..., n, n)` that was another one a step ago.

    Parameters
    ----------
    weights : array (..., n, n), finite
    layer : int
        Index of the layer, for messages.
    start, known : what is left of earlier weights, if anything
    """

    def __init__(
        self,
        weights: Array,
        layer: int,
        start: Start | None = None,
        known: SingularValues | None = None,
    ) -> None:
        super().__init__(weights, layer)
        self._start = start
        self._known = known

    def moved(self, weights: Array) -> Moved:
        """The factors of other weights near these."""
        start = self._start
        if start is not None and start.is_worth_another_step():
            start.begin_step()
        else:
            start = None
        return Moved(weights, self.layer, start, self._known)

    def solve(self, rates: Array) -> Array:
        """`W^-1` applied to every row of `rates`, as exactly as by a fresh factorisation."""
        start = self._start
        if start is not None and start.weights is not self.weights:
            solution = self._refined(start, rates)
            if solution is not None:
                return solution
            start = None
        if start is None:
            start = self._start = Start(self)
        return start.apply(rates)

    pull = solve

    def quick_pull(self, rates: Array) -> Array:
        """`pull` in the precision of `rates`."""
        xp = namespace(rates)
        return xp.astype(self.solve(xp.astype(rates, self.weights.dtype)), rates.dtype)

    def quick_push(self, rates: Array) -> Array:
        """`W` applied to every row, in the precision of `rates`."""
        xp = namespace(rates)
        return rows_times(rates, xp.astype(self.weights, rates.dtype))

    def _refined(self, start: Start, rates: Array) -> Array | None:
        """The corrected solution, or None where it does not come about in a few rounds."""
        enough = fresh_residual(epsilon(self.weights), self.weights.shape[-1])
        solution, before = start.apply(rates), float("inf")
        for rounds in range(MOST_ROUNDS):
            residual = rates - rows_times(solution, self.weights)
            sizes = _sizes(rates, solution, start.size)
            now = _root_mean_square(row_norms(residual) / sizes)
            if now <= enough:
                return solution
            if not now <= SLOWEST * before:
                return None
            before, solution = now, solution + start.apply(residual)
            start.note(rates.shape[-2])
            if rounds + 1 >= start.rounds and self._is_exact(rates, solution, start, enough):
                start.rounds = rounds + 1
                return solution
        return None

    def _is_exact(self, rates: Array, solution: Array, start: Start, enough: float) -> bool:
        """Whether the residual is small, in the mean over samples of its square.

        A sum of all samples, each with a random sign, has in the mean over signs the summed squares
        of their residuals. A few such sums cost far less than the residuals themselves.
        """
        sizes, batch = _sizes(rates, solution, start.size), rates.shape[-2]
        if batch <= 2 * SUMS:
            norms = row_norms(rates - rows_times(solution, self.weights))
            return _root_mean_square(norms / sizes) <= enough
        xp = namespace(rates)
        signs = xp.asarray(_signs(batch), dtype=rates.dtype, device=array_api_compat.device(rates))
        weights = signs / sizes[..., None] * batch**-0.5
        residual = outer_sum(weights, rates) - rows_times(
            outer_sum(weights, solution), self.weights
        )
        return _root_mean_square(row_norms(residual)) <= enough

    @cached_property
    def _extremes(self) -> tuple[Array, Array]:
        """Bounds of the smallest and largest singular value of each matrix, from below and above.

        They move by no more than the weights do in the Frobenius norm.
        """
        xp, known = namespace(self.weights), self._known
        if known is not None:
            moved = xp.linalg.matrix_norm(self.weights - known.weights)
            moved = moved * (1 + product_rounding(epsilon(moved), self.weights.shape[-1]))
            if not largest(2 * moved / known.least) <= 1:
                known = None
        if known is None:
            known = self._known = bounded(self.weights)
            moved = xp.zeros_like(known.least)
        return known.least - moved, known.most + moved

    def require_invertible(self) -> None:
        """Raise `SingularWeights` where a solve would keep fewer than two digits."""
        least, most = self._exact_extremes()
        condition = largest(most / least) if smallest(least) > 0 else float("inf")
        limit = self.worst_condition
        if not condition <= limit:
            raise SingularWeights(
                f"W of layer {self.layer} has come to a condition number of {condition:.3g}, over "
                f"the {limit:.1g} that {self.weights.dtype} can invert; use a lower learning rate, "
                "a stronger pull towards orthogonality, or float64"
            )


class Start:
    """Weights as they were when they were factorised, and what has been spent on them since."""

    def __init__(self, factors: Moved) -> None:
        xp, n = namespace(factors.weights), factors.weights.shape[-1]
        self.weights = factors.weights
        self.size = xp.linalg.matrix_norm(self.weights) / n**0.5
        self.rounds = 1  # that the last solve needed
        self._lapack: list[Any] = []
        if is_numpy(self.weights):
            worth, condition = WORTH_OF_LU, self._factorise()
        else:
            worth, condition = WORTH_OF_INVERSE, self._invert()
        # In the 1-norm, which for matrices like these lies above the spectral one: only where it is
        # over the limit are singular values computed
        if not condition <= factors.worst_condition:
            factors.require_invertible()
        self._spent = worth * n  # rows of solves that could have been had instead
        self._spent_now = 0
        self._steps = 1

    def _factorise(self) -> float:
        """LU factors of the transposes, which are what LAPACK sees in rows; the condition number
        as LAPACK estimates it.
        """
        getrf, self._getrs, gecon = get_lapack_funcs(("getrf", "getrs", "gecon"), (self.weights,))
        worst = 0.0
        for matrix in self.weights.reshape(-1, *self.weights.shape[-2:]):
            factors, pivots, _ = getrf(matrix.T)
            self._lapack.append((factors, pivots))
            inverse_condition, _ = gecon(factors, float(np.max(np.sum(np.abs(matrix), axis=1))))
            worst = max(worst, 1 / inverse_condition if inverse_condition > 0 else np.inf)
        return worst

    def _invert(self) -> float:
        """The inverse, for which a GPU takes less time than for triangular solves."""
        xp = namespace(self.weights)
        try:
            self._inverse = xp.linalg.inv(self.weights)
        except (np.linalg.LinAlgError, RuntimeError):
            return float("inf")
        norms = [
            xp.max(xp.sum(xp.abs(matrix), axis=-1), axis=-1)
            for matrix in (self.weights, self._inverse)
        ]
        return largest(norms[0] * norms[1])

    def apply(self, rates: Array) -> Array:
        """The inverse of the weights as they were, applied to every row."""
        if not self._lapack:
            return rows_times(rates, self._inverse)
        if len(self._lapack) == 1 and rates.ndim == 2:
            solution, _ = self._getrs(*self._lapack[0], rates.T, trans=1)
            return solution.T
        rows = rates.reshape(-1, *rates.shape[-2:])
        solved = [
            self._getrs(*factors, some.T, trans=1)[0].T
            for factors, some in zip(self._lapack, rows, strict=True)
        ]
        return np.stack(solved).reshape(rates.shape)

    def note(self, rows: int) -> None:
        """A round was needed for some rows."""
        self._spent += rows
        self._spent_now += rows

    def begin_step(self) -> None:
        """The weights have moved once more."""
        self._steps += 1
        self._spent_now = 0

    def is_worth_another_step(self) -> bool:
        """Whether the last step cost no more than the mean of all steps, the factorisation in it.

        The rounds needed only grow, so from there on the mean would grow too.
        """
        return self._spent_now * self._steps <= self._spent


def _sizes(rates: Array, solution: Array, size: Array) -> Array:
    """What the residual of each sample is to be small against, (..., batch)."""
    xp = namespace(rates)
    sizes = xp.maximum(row_norms(rates), size[..., None] * row_norms(solution))
    return xp.where(sizes > 0, sizes, xp.ones_like(sizes))


def _root_mean_square(values: Array) -> float:
    """Over the last axis, the worst of a stack."""
    xp = namespace(values)
    return largest(xp.mean(values * values, axis=-1)) ** 0.5


@cache
def _signs(batch: int) -> np.ndarray:
    """Signs for the samples of a batch in `SUMS` sums, (batch, SUMS); always the same ones."""
    return np.random.default_rng(batch).choice((-1.0, 1.0), (batch, SUMS))
