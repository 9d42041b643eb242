"""Feedback weights that are not quite the inverse of the feed-forward weights.

Owns the ways in which they may be wrong, each with a size, and how far that takes them from the
inverse.

Weights are square NumPy matrices (N, N) of one layer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from circuit.initialisation.weights import orthogonal


def noisy_inverse(weights: np.ndarray, size: float, generator: np.random.Generator) -> np.ndarray:
    """W^-1 with every synapse off by a random part of itself.

    The entries are W^-1 (1 + c N), N Gaussian, with c such that |B - W^-1| = size |W^-1| in the
    Frobenius norm.
    """
    inverse = np.linalg.inv(weights)
    noise = inverse * generator.standard_normal(weights.shape)
    return inverse + noise * (size * np.linalg.norm(inverse) / np.linalg.norm(noise))


def stale_inverse(weights: np.ndarray, size: float, generator: np.random.Generator) -> np.ndarray:
    """The inverse of what W was before a change dW of size |dW| = size |W|, (W - dW)^-1."""
    change = generator.standard_normal(weights.shape)
    change *= size * np.linalg.norm(weights) / np.linalg.norm(change)
    return np.linalg.inv(weights - change)


def transpose(weights: np.ndarray, size: float, generator: np.random.Generator) -> np.ndarray:
    """W^T. Its distance from the inverse is a matter of W; `size` does not enter."""
    return weights.T.copy()


IMPERFECTIONS: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "noisy": noisy_inverse,
    "stale": stale_inverse,
    "transposed": transpose,
}


def spread(weights: np.ndarray, size: float, generator: np.random.Generator) -> np.ndarray:
    """W times a symmetric matrix whose eigenvalues have equally spaced logarithms around 0.

    They reach to +- size sqrt(3)/2, so that for orthogonal W and small `size` the transpose is at
    the relative distance `size` from the inverse.
    """
    n = len(weights)
    basis = orthogonal(n, generator)
    logarithms = size * np.sqrt(3) / 2 * np.linspace(-1, 1, n)
    return weights @ (basis * np.exp(logarithms)) @ basis.T


def distance(feedback: np.ndarray, weights: np.ndarray) -> float:
    """|B - W^-1| / |W^-1| in the Frobenius norm."""
    inverse = np.linalg.inv(weights)
    return float(np.linalg.norm(feedback - inverse) / np.linalg.norm(inverse))
