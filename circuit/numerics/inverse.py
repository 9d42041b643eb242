"""A square weight matrix factorised once, and what is asked of its inverse.

Owns the LU factors (SciPy's LAPACK for a NumPy matrix, torch.linalg for tensors, and for any other
array library its own `linalg.solve`, which factorises anew), the singular values, and an explicit
inverse of the single matrix for the one method that needs speed before certainty. Never forms the
inverse of a product.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import array_api_compat
import scipy.linalg

from circuit.errors import SingularWeights
from circuit.numerics.arrays import (
    Array,
    epsilon,
    is_numpy,
    largest,
    namespace,
    rows_times,
    smallest,
)


class Factorised:
    """A weight matrix `(..., n, n)` with its factors, each computed when first asked for.

    Parameters
    ----------
    weights : array (..., n, n)
    layer : int
        Index of the layer, for messages.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.numerics import Factorised
    >>> Factorised(np.diag([2.0, 4.0]), layer=2).solve(np.array([[1.0, 1.0]]))
    array([[0.5 , 0.25]])
    """

    def __init__(self, weights: Array, layer: int) -> None:
        self.weights = weights
        self.layer = layer

    def __reduce__(self) -> tuple[type[Factorised], tuple[Array, int]]:
        return type(self), (self.weights, self.layer)  # what is kept for speed is made anew

    def solve(self, rates: Array) -> Array:
        """`W^-1` applied to every row of `rates`, `(..., batch, n) -> (..., batch, n)`."""
        xp = namespace(self.weights)
        columns = xp.matrix_transpose(rates)
        if is_numpy(rates):
            if self.weights.ndim == 2 and rates.ndim == 2:
                solution, _ = self._getrs(*self._factors, columns)
                return solution.T
            return xp.matrix_transpose(
                scipy.linalg.lu_solve(self._factors, columns, check_finite=False)
            )
        if array_api_compat.is_torch_array(rates):
            import torch

            return xp.matrix_transpose(torch.linalg.lu_solve(*self._factors, columns))
        self.require_invertible()
        return xp.matrix_transpose(xp.linalg.solve(self.weights, columns))

    def columns(self, like: Array) -> Array:
        """The first columns of `W^-1`, as many as rates `(..., batch, count)` have units, as rows:
        `(..., count, n)`.
        """
        return self.solve(self._units(like))

    def _units(self, like: Array) -> Array:
        """The first rows of the identity, for each network of the stack."""
        xp, count, n = namespace(like), like.shape[-1], self.weights.shape[-1]
        units = xp.eye(count, n, dtype=like.dtype, device=array_api_compat.device(like))
        return xp.broadcast_to(units, (*like.shape[:-2], count, n))

    @cached_property
    def squared_lengths(self) -> Array:
        """N^2, the sum of the squared weights of each row, `(..., n)`."""
        return namespace(self.weights).linalg.vecdot(self.weights, self.weights)

    def solve_transposed(self, rates: Array) -> Array:
        """`W^-T` applied to every row of `rates`; of one NumPy matrix, `(batch, n)` alike."""
        solution, _ = self._getrs(*self._factors, rates.T, trans=1)
        return solution.T

    @cached_property
    def _factors(self) -> tuple[Array, Array]:
        self.require_invertible()
        if is_numpy(self.weights):
            return scipy.linalg.lu_factor(self.weights, check_finite=False)
        import torch

        return torch.linalg.lu_factor(self.weights)

    @cached_property
    def _getrs(self) -> Any:
        (getrs,) = scipy.linalg.lapack.get_lapack_funcs(("getrs",), (self._factors[0],))
        return getrs

    def pull(self, rates: Array) -> Array:
        """`solve` by the explicit inverse: faster, and less certain."""
        return rows_times(rates, self.inverse)

    def quick_pull(self, rates: Array) -> Array:
        """`pull` in float32, for rates in float32."""
        return rows_times(rates, self.low_precision[1])

    def quick_push(self, rates: Array) -> Array:
        """`W` applied to every row in float32, for rates in float32."""
        return rows_times(rates, self.low_precision[0])

    @cached_property
    def inverse(self) -> Array:
        """The explicit inverse, `(..., n, n)`. Faster to apply than `solve`, and less certain."""
        self.require_invertible()
        return namespace(self.weights).linalg.inv(self.weights)

    @cached_property
    def low_precision(self) -> tuple[Array, Array]:
        """W and its inverse in float32, for predictions that are corrected afterwards."""
        xp = namespace(self.weights)
        return xp.astype(self.weights, xp.float32), xp.astype(self.inverse, xp.float32)

    @cached_property
    def _extremes(self) -> tuple[Array, Array]:
        """Smallest and largest singular value of each square matrix, `(...)`.

        Where `W^T W` is within 1e-3 of the identity in the Frobenius norm, the bounds that this
        implies take the place of the singular values themselves.
        """
        self._require_square()
        xp = namespace(self.weights)
        n = self.weights.shape[-1]
        gram = xp.matmul(xp.matrix_transpose(self.weights), self.weights)
        eye = xp.eye(n, dtype=gram.dtype, device=array_api_compat.device(gram))
        distance = xp.linalg.matrix_norm(gram - eye) + n * epsilon(gram)
        if largest(distance) < 1e-3:
            return xp.sqrt(1 - distance), xp.sqrt(1 + distance)
        return self._exact_extremes()

    def _exact_extremes(self) -> tuple[Array, Array]:
        values = namespace(self.weights).linalg.svdvals(self.weights)
        return values[..., -1], values[..., 0]

    @cached_property
    def extreme_singular_values(self) -> tuple[float, float]:
        """Smallest and largest singular value, over the stack where there is one."""
        least, most = self._extremes
        return smallest(least), largest(most)

    @property
    def norm(self) -> float:
        """Spectral norm of W (an upper bound to rounding), which may be rectangular."""
        rows, columns = self.weights.shape[-2:]
        if rows != columns:
            return largest(self._exact_extremes()[1])
        return self.extreme_singular_values[1]

    @property
    def inverse_norm(self) -> float:
        """Spectral norm of `W^-1` (an upper bound to rounding)."""
        return 1 / self.extreme_singular_values[0]

    @cached_property
    def condition(self) -> float:
        """Condition number in the spectral norm, the worst of a stack; infinite if singular."""
        least, most = self._extremes
        return largest(most / least) if smallest(least) > 0 else float("inf")

    @property
    def worst_condition(self) -> float:
        """The condition number with which a solve keeps two digits."""
        return 0.01 / epsilon(self.weights)

    def require_invertible(self) -> None:
        """Raise `SingularWeights` where a solve would keep fewer than two digits."""
        self._require_square()
        limit = self.worst_condition
        if not self.condition <= limit:
            raise SingularWeights(
                f"W of layer {self.layer} has condition number {self.condition:.3g}, over the "
                f"{limit:.1g} that {self.weights.dtype} can invert; use orthogonal initialisation, "
                "another seed, or float64"
            )

    def _require_square(self) -> None:
        rows, columns = self.weights.shape[-2:]
        if rows != columns:
            raise SingularWeights(
                f"W of layer {self.layer} is {rows} x {columns} and has no exact inverse; use a "
                "learned inverse, or auxiliary units, which make it square"
            )
