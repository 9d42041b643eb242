"""Random numbers that are found again from a key and a count.

Owns the way from a network's key and the number of a step to the numbers drawn in it, so that no
generator has to be kept beside a network: a run that goes on from a file draws what it would have
drawn.

Keys are an int64 array `(...)`, one for each network of a stack, which draws as it would alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import array_api_compat
import numpy as np

from circuit.errors import CircuitError, ShapeMismatch
from circuit.numerics.arrays import Array, is_numpy, namespace, to_numpy

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def signs(keys: Array, count: Sequence[int], like: Array, units: int) -> Array:
    """Independent numbers +1 or -1, `(..., batch, units)` for `like` `(..., batch, any)`.

    They have mean 0 and variance 1, and cost a tenth of normal ones.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.numerics import signs
    >>> drawn = signs(np.array(7), (0,), np.zeros((100, 4)), 4)
    >>> np.unique(drawn), np.array_equal(drawn, signs(np.array(7), (0,), np.zeros((100, 4)), 4))
    (array([-1.,  1.]), True)
    """
    table = _both(like.dtype.char if is_numpy(like) else str(like.dtype).rpartition(".")[2])

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        size = math.prod(shape)
        bits = np.frombuffer(generator.bytes(-(-size // 8)), dtype=np.uint8)
        return table[np.unpackbits(bits, count=size)].reshape(shape)

    return _drawn(draw, keys, count, like, units)


@cache
def _both(dtype: str) -> np.ndarray:
    """The two signs, in the NumPy dtype of that name."""
    return np.array([-1, 1], dtype=dtype)


def normals(keys: Array, count: Sequence[int], like: Array, units: int) -> Array:
    """Independent standard normal numbers, of the shape of `signs`.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.numerics import normals
    >>> drawn = normals(np.array(7), (0,), np.zeros((1000, 4)), 4)
    >>> drawn.shape, bool(abs(drawn.mean()) < 0.1), bool(abs(drawn.std() - 1) < 0.1)
    ((1000, 4), True, True)
    """

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return generator.standard_normal(shape)

    return _drawn(draw, keys, count, like, units)


def _drawn(draw: Draw, keys: Array, count: Sequence[int], like: Array, units: int) -> Array:
    """`draw` with the generator of every key. Raises `CircuitError` for keys that do not fit."""
    each, stack = to_numpy(keys), tuple(like.shape[:-2])
    if each.shape != stack:
        raise ShapeMismatch(f"keys have shape {each.shape}; give one for each network, {stack}")
    if each.dtype.kind not in "iu" or (each < 0).any():
        raise CircuitError(f"keys {each.tolist()}: give whole numbers, 0 or more")
    shape = (like.shape[-2], units)
    drawn = [draw(np.random.default_rng([int(key), *count]), shape) for key in each.flat]
    found = np.stack(drawn).reshape(*stack, *shape) if stack else drawn[0]
    if is_numpy(like):
        return found.astype(like.dtype, copy=False)
    device = array_api_compat.device(like)
    return namespace(like).asarray(found, dtype=like.dtype, device=device)
