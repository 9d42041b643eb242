"""How strong feedback may be: the strength below which there is one free state, and it is stable.

Owns the spectrum of the coupling between layers. The free state is a minimum of

    E = sum_l gamma^l [G_l(s_l) - s_l . (W_l s_{l-1} + b_l)],   G' = f^-1,

whose Hessian, in units of sqrt(gamma^l / f'), is 1 - sqrt(gamma) T with the symmetric T that has
sqrt(f'_l) W_l sqrt(f'_{l-1}) beside its diagonal, l = 2 .. L. With the steepest slopes its largest
eigenvalue lambda bounds all states: E is convex for gamma < 1/lambda^2. Linear networks have no
stable state beyond; where units saturate there may be one. For orthogonal weights and slopes of 1
lambda = 2 cos(pi / (L + 1)).
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from circuit.network import Network
from circuit.numerics.arrays import to_numpy

DENSE_UNITS = 200  # up to so many the matrix is made


def critical_strength(network: Network, output_slope: float | None = None) -> float:
    """1/lambda^2, of a stack that of the network where it is least; infinite without a coupling.

    Parameters
    ----------
    output_slope : of the output in place of its steepest, where a nudge changes it

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import initialise
    >>> from circuit.peers import critical_strength
    >>> round(critical_strength(initialise([4, 4, 4, 4], np.random.default_rng(0))), 12)
    0.5
    """
    stack = network.weights[0].shape[:-2]
    slopes = [unit.largest_slope for unit in network.activations]
    slopes[-1] = slopes[-1] if output_slope is None else output_slope
    weights = [
        to_numpy(network.weights[layer - 1]).astype(np.float64)
        * (slopes[layer - 1] * slopes[layer - 2]) ** 0.5
        for layer in range(2, network.depth + 1)
    ]
    largest = max((_largest([one[i] for one in weights]) for i in np.ndindex(*stack)), default=0.0)
    return 1 / largest**2 if largest > 0 else float("inf")


def _largest(weights: list[np.ndarray]) -> float:
    """The largest eigenvalue of the symmetric matrix with these (N_l, n_l) beside its diagonal."""
    if not weights:
        return 0.0
    units = [weights[0].shape[1], *(one.shape[0] for one in weights)]
    ends = np.cumsum(units)
    places = [slice(end - n, end) for end, n in zip(ends, units, strict=True)]

    def coupled(x: np.ndarray) -> np.ndarray:
        out = np.zeros_like(x)
        for i, one in enumerate(weights):
            below = slice(
                places[i].start, places[i].start + one.shape[1]
            )  # the others are not read
            out[places[i + 1]] += one @ x[below]
            out[below] += one.T @ x[places[i + 1]]
        return out

    total = int(ends[-1])
    if total <= DENSE_UNITS:
        return float(np.linalg.eigvalsh(coupled(np.eye(total)))[-1])
    system = LinearOperator((total, total), matvec=coupled, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(total)  # of all modes, the same every time
    return float(eigsh(system, k=1, which="LA", v0=start, return_eigenvectors=False)[0])
