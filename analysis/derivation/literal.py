"""The printed equations, literally: explicit matrices and absolute targets, in many digits.

Owns the side of each claim that the library has no part in. A target holds its shift as a
difference of two numbers of size 1, so the arithmetic is that of mpmath with as many digits as the
smallest shift swallows and 40 more; nothing here rounds in a way that could be seen.

One sample at a time: rates, drives and shifts are vectors (units,) of mpmath numbers in NumPy
object arrays, layers are numbered 0 to L as in the paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import scipy.linalg
from mpmath.ctx_mp import MPContext

Vector = np.ndarray  # of mpmath numbers
LEAK = 0.1  # slope of leaky-ReLU below its kink (paper section 7)
SPARE_DIGITS = 40
WIDEST_PRODUCT = 16  # units up to which the factors of M and N are multiplied out, and W inverted


def digits_for(*sizes: float) -> int:
    """Digits with which numbers of size 1 still hold a part of the product of `sizes`."""
    return SPARE_DIGITS + math.ceil(sum(max(0.0, -math.log10(size)) for size in sizes))


@dataclass(frozen=True, eq=False)
class Factor:
    """A matrix (n, n) of a product, with its inverse where that is at hand."""

    matrix: np.ndarray
    inverse: np.ndarray | None

    @property
    def T(self) -> Factor:
        """Transposed."""
        return Factor(self.matrix.T, None if self.inverse is None else self.inverse.T)


@dataclass(frozen=True, eq=False)
class Literal:
    """A network written down: W_1 .. W_L, no biases, one activation function, `digits` digits."""

    weights: tuple[np.ndarray, ...]
    units: str
    digits: int
    context: Any = field(init=False)
    exact: tuple[np.ndarray, ...] = field(init=False)
    _inverses: dict[int, np.ndarray] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        context = MPContext()
        context.dps = self.digits
        object.__setattr__(self, "context", context)
        object.__setattr__(self, "exact", tuple(self.exactly(w) for w in self.weights))

    @property
    def depth(self) -> int:
        """L."""
        return len(self.weights)

    def exactly(self, array: np.ndarray | float) -> Any:
        """Floats as mpmath numbers, without rounding."""
        return np.vectorize(self.context.mpf, otypes=[object])(array)

    def W(self, layer: int) -> np.ndarray:
        """W_l."""
        return self.exact[layer - 1]

    # f, f' and f^-1

    def value(self, h: Vector) -> Vector:
        """F."""
        if self.units == "asinh":
            return self._each(self.context.asinh, h)
        return h if self.units == "linear" else np.where(_positive(h), h, h * LEAK)

    def slope(self, h: Vector) -> Vector:
        """The slope f'."""
        one = self.exactly(np.ones(len(h)))
        if self.units == "asinh":
            return self._each(lambda a: 1 / self.context.sqrt(1 + a * a), h)
        return one if self.units == "linear" else np.where(_positive(h), one, one * LEAK)

    def inverse(self, y: Vector) -> Vector:
        """f^-1."""
        if self.units == "asinh":
            return self._each(self.context.sinh, y)
        return y if self.units == "linear" else np.where(_positive(y), y, y / self.exactly(LEAK))

    def _each(self, function: Callable[[Any], Any], values: Vector) -> Vector:
        return np.array([function(value) for value in values], dtype=object)

    # the paper

    def forward(self, x: np.ndarray) -> tuple[list[Vector], list[Vector]]:
        """y_0 .. y_L and A_0 .. A_L (the diagonals; A_0 is not used) by Eq. 1."""
        rates, slopes = [self.exactly(x)], [self.exactly(np.ones(len(x)))]
        for layer in range(1, self.depth + 1):
            h = self.W(layer) @ rates[-1][: len(self.W(layer))]
            rates.append(self.value(h))
            slopes.append(self.slope(h))
        return rates, slopes

    def back_propagation(self, slopes: Sequence[Vector], e: Vector) -> list[Vector]:
        """-A_l^-1 dl/dh_l of layers 1 .. L: the factors of Eq. 3 left of y_{l-1}^T, but for A_l."""
        shifts = [e]
        for layer in range(self.depth, 1, -1):
            shifts.append(self.W(layer).T @ (slopes[layer] * shifts[-1]))
        return shifts[::-1]

    def target_shifts(
        self,
        rule: str,
        rates: Sequence[Vector],
        slopes: Sequence[Vector],
        e: Vector,
        gammas: Sequence[float],
    ) -> list[Vector]:
        """(t_l - y_l) / (product of gamma_j, j > l), l = 1 .. L, by Eqs. 5, 12, 17, 22.

        `rule` is "tp" (epsilon = 1), "itp" (gamma), "gait" (gamma A^2, Eq. 16) or "grait" (gamma
        A^2 N^2); gammas are gamma_1 .. gamma_L. The targets are absolute, as printed.
        """
        t = rates[-1] + e
        shifts, product = [t - rates[-1]], self.context.mpf(1)
        for layer in range(self.depth, 1, -1):
            gamma = self.context.mpf(1 if rule == "tp" else gammas[layer - 1])
            epsilon = slopes[layer] ** 2 * gamma if rule in ("gait", "grait") else gamma
            if rule == "grait":
                epsilon = epsilon * (self.W(layer) ** 2).sum(axis=1)
            drive = self.inverse(rates[layer] * (1 - epsilon) + t * epsilon)
            below = self.solve(layer, drive)
            t = np.concatenate([below, rates[layer - 1][len(below) :]])  # z is copied, Eq. 22
            product = product * gamma
            shifts.append((t - rates[layer - 1]) / product)
        return shifts[::-1]

    def update(self, layer: int, shift: Vector, rates: Any, slopes: Any) -> np.ndarray:
        """A_l delta_l y_{l-1}^T (Eqs. 3, 4, 13, 18 for learning rate 1)."""
        return np.outer(slopes[layer] * shift, rates[layer - 1][: len(shift)])

    # matrices, as lists of factors in the printed order; a diagonal one is its diagonal

    def F(self, layer: int) -> list[Factor]:
        """F_l = W_L ... W_{l+1} (Eq. 7)."""
        return [self._factor(k) for k in range(self.depth, layer, -1)]

    def F_transposed_F(self, layer: int) -> list[Factor]:
        """The matrix of Eq. 8."""
        return [factor.T for factor in reversed(self.F(layer))] + self.F(layer)

    def M(self, layer: int, slopes: Sequence[Vector]) -> list[Factor]:
        """Eq. 15 without the product of gamma_j^-1."""
        return self._between(layer, slopes, 1)

    def N(self, layer: int, slopes: Sequence[Vector]) -> list[Factor]:
        """Eq. 20 without the product of gamma_j^-1."""
        return self._between(layer, slopes, -1)

    def _between(self, layer: int, slopes: Sequence[Vector], power: int) -> list[Factor]:
        factors = [_diagonal(slopes[layer])]
        for j in range(layer + 1, self.depth + 1):
            factors += [self._factor(j).T, _diagonal(slopes[j])]
        for j in range(self.depth - (layer + 1) + 1):
            factors += [_diagonal(slopes[self.depth - j] ** power), self._factor(self.depth - j)]
        return [*factors, _diagonal(1 / slopes[layer])]

    def times(self, factors: Sequence[Factor], column: Vector) -> Vector:
        """The product of `factors` applied to a vector (n,).

        In narrow networks the explicit matrix is formed first; in wide ones, where that takes
        n^3 long multiplications a factor, they are applied one by one.
        """
        if factors and len(column) <= WIDEST_PRODUCT:
            return reduce(np.matmul, [factor.matrix for factor in factors]) @ column
        return reduce(lambda below, factor: factor.matrix @ below, reversed(factors), column)

    def inverse_times(self, factors: Sequence[Factor], column: Vector) -> Vector:
        """The inverse of the product of `factors` applied to a vector (n,)."""
        for factor in factors:
            column = self._solve(factor, column)
        return column

    def solve(self, layer: int, drive: Vector) -> Vector:
        """W_l^-1 applied."""
        return self._solve(self._factor(layer), drive)

    def _factor(self, layer: int) -> Factor:
        W = self.W(layer)
        if len(W) > WIDEST_PRODUCT:
            return Factor(W, None)
        if layer not in self._inverses:
            self._inverses[layer] = self._inverted(W)
        return Factor(W, self._inverses[layer])

    def _inverted(self, W: np.ndarray) -> np.ndarray:
        """W^-1 by Newton's iteration, X <- X (2 - W X), which doubles the digits of each step."""
        eye = self.exactly(np.eye(len(W)))
        X = self.exactly(np.linalg.inv(W.astype(float)))
        goal = self.context.mpf(10) ** (5 - self.digits)
        for _ in range(self.digits):
            left = eye - W @ X
            if np.max(np.abs(left)) <= goal:
                return X
            X = X + X @ left
        raise ArithmeticError("weights too close to singular to be inverted in many digits")

    def _solve(self, factor: Factor, right: Vector) -> Vector:
        """The inverse applied, or float64 factors refined until all digits are used up."""
        if factor.inverse is not None:
            return factor.inverse @ right
        factors = scipy.linalg.lu_factor(factor.matrix.astype(float))
        solution, left = right * 0, right
        goal = max(abs(right)) * self.context.mpf(10) ** (5 - self.digits)
        for _ in range(self.digits):
            size = max(abs(left))
            if size <= goal:
                return solution
            step = scipy.linalg.lu_solve(factors, (left / size).astype(float))
            solution = solution + self.exactly(step) * size  # the array first: mpmath is slow else
            left = right - factor.matrix @ solution
        raise ArithmeticError("weights too close to singular to be inverted in many digits")


def _diagonal(slopes: Vector) -> Factor:
    return Factor(np.diag(slopes), np.diag(1 / slopes))


def _positive(values: Vector) -> np.ndarray:
    return (values > 0).astype(bool)
