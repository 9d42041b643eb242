"""Adam (Kingma and Ba 2015): how far a parameter moves, given the direction in which it should.

Owns the running means of a direction and of its square, and the step made from them. Does not own
where the direction comes from: nothing here knows of weights or of learning rules.

With d the direction of descent (minus the gradient), entry by entry,

    m <- beta1 m + (1 - beta1) d ,      v <- beta2 v + (1 - beta2) d^2
    parameter <- parameter + learning_rate  m' / (sqrt(v') + epsilon)

where m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t) in step t = 1, 2, ..., or m and v themselves
where the correction of their bias towards the zeros that they started from is left out.
"""

from __future__ import annotations

import numpy as np

from circuit.numerics.arrays import Array, is_numpy, namespace
from circuit.settings.learning import Adam

BLOCK = 32768  # entries; eight arrays of them fit into a cache of 1 MB
REFERENCE = Adam(beta2=0.99, bias_correction=False)  # of the paper's public code


def step(
    adam: Adam, steps: int, parameter: Array, direction: Array, first: Array, second: Array
) -> tuple[Array, Array, Array]:
    """The parameter after one more step, with its two means.

    Parameters
    ----------
    steps : how many were made before this one
    parameter, direction, first, second : arrays of one shape
        `direction` is minus the gradient; `first` and `second` are m and v, zeros at first.
    """
    length, least = _scales(adam, steps)
    if is_numpy(parameter):
        return _numpy_step(adam, length, least, parameter, direction, first, second)
    xp = namespace(parameter, direction)
    first = adam.beta1 * first + (1 - adam.beta1) * direction
    second = adam.beta2 * second + (1 - adam.beta2) * (direction * direction)
    return parameter + length * (first / (xp.sqrt(second) + least)), first, second


def _scales(adam: Adam, steps: int) -> tuple[float, float]:
    """Factors a, b with which the step a m / (sqrt(v) + b) is that of m' and v'."""
    if not adam.bias_correction:
        return adam.learning_rate, adam.epsilon
    root = (1 - adam.beta2 ** (steps + 1)) ** 0.5
    return adam.learning_rate * root / (1 - adam.beta1 ** (steps + 1)), adam.epsilon * root


def _numpy_step(
    adam: Adam,
    length: float,
    least: float,
    parameter: np.ndarray,
    direction: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same, block by block: a dozen passes over what is in the cache, not over the arrays."""
    shape, dtype = parameter.shape, parameter.dtype
    new = np.empty(shape, dtype), np.empty(shape, dtype), np.empty(shape, dtype)
    flat = [array.reshape(-1) for array in (parameter, direction, first, second, *new)]
    room = np.empty(min(BLOCK, parameter.size), parameter.dtype)
    for start in range(0, parameter.size, BLOCK):
        p, d, m, v, moved, mean, square = (array[start : start + BLOCK] for array in flat)
        work = room[: d.size]
        np.multiply(m, adam.beta1, out=mean)
        np.multiply(d, 1 - adam.beta1, out=work)
        np.add(mean, work, out=mean)
        np.multiply(v, adam.beta2, out=square)
        np.multiply(d, d, out=work)
        np.multiply(work, 1 - adam.beta2, out=work)
        np.add(square, work, out=square)
        np.sqrt(square, out=work)
        np.add(work, least, out=work)
        np.divide(mean, work, out=work)
        np.multiply(work, length, out=work)
        np.add(p, work, out=moved)
    return new
