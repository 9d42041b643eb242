"""The inverse of weights that move a little in every step of learning.

Owns solves with weights of which an earlier state was inverted, bounds of their singular values,
and the decision when to invert anew.

B, the inverse of earlier weights, corrects a solve with the present ones: x <- x + B (v - W x)
leaves the fraction |I - W B| of the residual. Rounds are made until the residual is no larger than
that of a fresh solve, which is checked, so nothing is less exact for being faster. What a batch had
to be corrected by also corrects B, to the one that would have solved the batch at once (a block
form of Broyden's update): the messages of one batch are much like those of the next, so B keeps up
with the weights where it matters. Where more rounds were needed than their share of a new inverse
costs, W is inverted.

The few columns of the inverse that an output layer with auxiliary units needs come for less: only
the rows that they belong to learn, and then the new ones lie in the span of the old.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

import array_api_compat
import numpy as np
from scipy.linalg.lapack import get_lapack_funcs

from circuit.errors import SingularWeights
from circuit.numerics.arrays import (
    Array,
    all_finite,
    any_true,
    epsilon,
    frobenius_norm,
    is_numpy,
    largest,
    minus_rows_times,
    namespace,
    outer_sum,
    plus_outer_sum,
    product_rounding,
    row_norms,
    rows_times,
    smallest,
    smallest_normal,
)
from circuit.numerics.inverse import Factorised
from circuit.numerics.singular_values import SingularValues, bounded

MOST_ROUNDS = 8
SLOWEST = 0.3  # a round that leaves more than this of the residual is the last one
EASY = 0.5  # of what is enough: a residual below it leaves B as it is
COLUMNS_AT_ONCE = 64  # in which LAPACK inverts; with less room it takes six times as long
SUMS = 8  # random sums of samples on which the residual is checked
LITTLE = 0.1  # of a right side: so much it may differ from the last one
WORTH = 1.0  # of an inverse, in rounds for n rows; measured, docs/numerics.md


def usual_residual(eps: float, n: int) -> float:
    """Residual that a fresh LU solve leaves, relative as in `MovingWeights._residual`.

    1.8, 5.8, 32 and 110 eps were seen for orthogonal weights with n = 16, 64, 256 and 784, as many
    for those in training, and half of it for Gaussian ones.
    """
    return eps * (1 + n / 8)


class MovingWeights(Factorised):
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
        start: KeptInverse | None = None,
        known: SingularValues | None = None,
        columns: Array | None = None,
    ) -> None:
        super().__init__(weights, layer)
        self._start = start
        self._known = known
        self._columns = columns
        self._last: tuple[Array, Array] | None = None  # what was solved, and the solution

    def moved(self, weights: Array) -> MovingWeights:
        """The factors of other weights near these. What these ones keep is handed on to them."""
        start = self._start
        if start is not None and not start.survives_step():
            start = None
        return MovingWeights(weights, self.layer, start, self._known, self._columns)

    def solve(self, rates: Array) -> Array:
        """`W^-1` applied to every row of `rates`, as exactly as by a fresh factorisation."""
        return self._solved(rates, KeptInverse.apply)

    pull = solve

    def columns(self, like: Array) -> Array:
        """As `Factorised.columns`. Where no other rows of W have changed than those that they
        belong to, earlier columns give them at once; or else the solve begins with those of B.
        """
        units = self._units(like)
        columns = self._followed(units)
        if columns is None:
            columns = self._solved(units, KeptInverse.columns)
        self._columns = columns
        return columns

    def _followed(self, units: Array) -> Array | None:
        """The columns, in the span of earlier ones; None where they do not lie in it.

        With C the first k columns of the inverse of earlier weights, W C is zero in the rows that
        have not changed, and if these are all but the first k rows P W, C (P W C)^-1 solves. Where
        it outgrows the whole inverse that was last seen, W may be on its way to being singular.
        """
        start, earlier, count = self._start, self._columns, units.shape[-2]
        if start is None or not start.spans or earlier is None or earlier.shape != units.shape:
            return None
        images = rows_times(earlier, self.weights[..., :count, :])
        back = namespace(units).matrix_transpose(_inverted(images))
        columns = outer_sum(back, earlier)
        start.spans = (
            all_finite((back,))
            and largest(frobenius_norm(columns) / start.inverse_norm) <= 1
            and self._residual(units, columns, start.size) <= self._enough
        )
        return columns if start.spans else None

    def _solved(self, rates: Array, first: FirstGuess) -> Array:
        solution = None
        if self._start is not None:
            solution = self._refined(self._start, rates, first)
        if solution is None:
            self._require_square()
            self._start = KeptInverse(self.weights)
            self.require_invertible()
            solution = self._refined(self._start, rates, first)
        return super().solve(rates) if solution is None else solution

    def quick_pull(self, rates: Array) -> Array:
        """`pull` in the precision of `rates`."""
        xp = namespace(rates)
        return xp.astype(self.solve(xp.astype(rates, self.weights.dtype)), rates.dtype)

    def quick_push(self, rates: Array) -> Array:
        """`W` applied to every row, in the precision of `rates`."""
        return rows_times(rates, namespace(rates).astype(self.weights, rates.dtype))

    def _refined(self, start: KeptInverse, rates: Array, first: FirstGuess) -> Array | None:
        """The corrected solution, or None where it does not come about in a few rounds."""
        enough, whole = self._enough, first is KeptInverse.apply
        near = self._near(start, rates) if whole else None
        if near is not None and self._residual(rates, near, start.size) <= enough:
            self._last = rates, near
            return near
        solution, before = first(start, rates), 1.0
        for rounds in range(MOST_ROUNDS + 1):
            if rounds:
                correction = start.apply(minus_rows_times(rates, solution, self.weights))
                solution = solution + correction
                start.note(rates.shape[-2])
            if rounds < start.rounds:
                continue
            now = self._residual(rates, solution, start.size)
            if now <= enough:
                start.rounds = rounds
                if rounds and now > EASY * enough:
                    start.learn(rates, correction)
                self._last = (rates, solution) if whole else self._last
                return solution
            if not now <= SLOWEST * before:
                return None
            before = now
        return None

    def _near(self, start: KeptInverse, rates: Array) -> Array | None:
        """The last solution with B times what the right side has changed by; None unless that is
        little. So only the change has the error of B.
        """
        if self._last is None or self._last[0].shape != rates.shape:
            return None
        change = rates - self._last[0]
        much = ~(frobenius_norm(change) <= LITTLE * frobenius_norm(rates))
        return None if any_true(much) else self._last[1] + start.apply(change)

    @property
    def _enough(self) -> float:
        return usual_residual(epsilon(self.weights), self.weights.shape[-1])

    def _residual(self, rates: Array, solution: Array, size: Array) -> float:
        """Root mean square, over samples, of |v - W x| over |v| or |W|_F |x| / sqrt(n), whichever
        is larger; the worst of a stack.

        A sum of all samples, each with a random sign, has in the mean over signs the summed squares
        of their residuals. A few such sums cost far less than the residuals themselves.
        """
        xp, batch = namespace(rates), rates.shape[-2]
        sizes = xp.maximum(row_norms(rates), size[..., None] * row_norms(solution))
        # a sample without any error has none to be measured
        weights = 1 / (sizes + smallest_normal(rates))[..., None]
        if batch > 2 * SUMS:
            weights = weights * _signs(batch, rates.dtype, array_api_compat.device(rates), xp)
            rates, solution = outer_sum(weights, rates), outer_sum(weights, solution)
            weights = batch**-0.5
        left = (rates - rows_times(solution, self.weights)) * weights
        return largest(xp.mean(xp.linalg.vecdot(left, left), axis=-1)) ** 0.5

    @cached_property
    def _extremes(self) -> tuple[Array, Array]:
        """Bounds of the smallest and largest singular value of each matrix, from below and above.

        They move by no more than the weights do in the Frobenius norm.
        """
        self._require_square()
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
        """Raise `SingularWeights` where a solve would keep fewer than two digits.

        The condition in the Frobenius norm, which is no less than the spectral one, is known from
        the inverse. Only where it is over the limit, singular values are found.
        """
        self._require_square()
        limit = self.worst_condition
        if self._start is not None and self._start.condition <= limit:
            return
        least, most = self._exact_extremes()
        with np.errstate(over="ignore"):  # infinite is what it then is
            condition = largest(most / least) if smallest(least) > 0 else float("inf")
        if not condition <= limit:
            raise SingularWeights(
                f"W of layer {self.layer} has come to a condition number of {condition:.3g}, over "
                f"the {limit:.1g} that {self.weights.dtype} can invert; use a lower learning rate, "
                "a stronger pull towards orthogonality, or float64"
            )


class KeptInverse:
    """An inverse to start from, and what has been spent on it since the weights were inverted."""

    def __init__(self, weights: Array) -> None:
        n = weights.shape[-1]
        norm = frobenius_norm(weights)
        self.size = norm / n**0.5
        self.spans = True  # whether earlier columns of the inverse are still of use
        self.rounds = 0  # that the last solve needed
        self._spent = WORTH * n  # rows of solves that could have been had instead
        self._spent_now = 0
        self._steps = 1
        self._inverse = _inverted(weights)
        self.inverse_norm = frobenius_norm(self._inverse)
        self.condition = largest(norm * self.inverse_norm)

    def apply(self, rates: Array) -> Array:
        """B applied to every row."""
        return rows_times(rates, self._inverse)

    def columns(self, units: Array) -> Array:
        """B applied to the first rows of the identity."""
        first = namespace(units).matrix_transpose(self._inverse[..., : units.shape[-2]])
        return np.ascontiguousarray(first) if is_numpy(first) else first

    def learn(self, rates: Array, correction: Array) -> None:
        """Change B so that B v is no longer short of `correction`: B += d^T (v v^T)^-1 v.

        With samples of unit length, and not fully where they are nearly the same.
        """
        xp, few = namespace(rates), max(1, rates.shape[-1] // 4)
        if rates.shape[-2] > few:
            rates, correction = rates[..., :few, :], correction[..., :few, :]
        products = rows_times(rates, rates)
        squares = xp.linalg.diagonal(products)
        lengths = xp.sqrt(xp.where(squares > 0, squares, xp.ones_like(squares)))
        lengths = lengths[..., None] * lengths[..., None, :]
        eye = xp.eye(lengths.shape[-1], dtype=rates.dtype, device=array_api_compat.device(rates))
        weights = _inverted(products / lengths + epsilon(rates) ** 0.5 * eye) / lengths
        back = outer_sum(weights, correction)
        self._inverse = plus_outer_sum(self._inverse, back, rates, overwrite=True)

    def note(self, rows: int) -> None:
        """A round was needed for some rows."""
        self._spent += rows
        self._spent_now += rows

    def survives_step(self) -> bool:
        """The weights have moved once more: whether B is still worth being kept.

        It is if the last step cost no more than the mean of all steps, the inversion in it. The
        rounds needed only grow, so otherwise the mean would grow from there on.
        """
        if self._spent_now * self._steps > self._spent:
            return False
        self._steps += 1
        self._spent_now = 0
        return True


FirstGuess = Callable[[KeptInverse, Array], Array]  # B applied to some rates


def _inverted(weights: Array) -> Array:
    """The inverse, contiguous; infinite where there is none."""
    xp = namespace(weights)
    try:
        if not (is_numpy(weights) and weights.ndim == 2):
            return xp.linalg.inv(weights)
        # NumPy's own takes three times as long (docs/numerics.md)
        getrf, getri = get_lapack_funcs(("getrf", "getri"), (weights,))
        factors, pivots, singular = getrf(weights.T)
        if not singular:
            room = COLUMNS_AT_ONCE * len(weights)
            return getri(factors, pivots, lwork=room, overwrite_lu=True)[0].T
    except (np.linalg.LinAlgError, RuntimeError):
        pass
    return xp.full_like(weights, float("inf"))


@cache
def _signs(batch: int, dtype: Any, device: Any, xp: Any) -> Array:
    """Signs for the samples of a batch in `SUMS` sums, (batch, SUMS); always the same ones."""
    signs = np.random.default_rng(batch).choice((-1.0, 1.0), (batch, SUMS))
    return xp.asarray(signs, dtype=dtype, device=device)
