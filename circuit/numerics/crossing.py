"""Functions of whole arrays, of which most entries have a simple value and only some pay for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from circuit.numerics.arrays import Array, is_numpy, namespace, put_units


def where_crossing(
    stays: Array, simple: Array, exact: Callable[..., Array], arrays: tuple[Array, ...]
) -> Array:
    """`simple` for the units that stay on their piece, `exact(*arrays)` for the others."""
    (found,) = replace_crossing(stays, (simple,), lambda *some: (exact(*some),), arrays)
    return found


def replace_crossing(
    stays: Array,
    simple: tuple[Array, ...],
    exact: Callable[..., tuple[Array, ...]],
    arrays: tuple[Array, ...],
) -> tuple[Array, ...]:
    """`where_crossing` for functions of several results. All arrays have the shape of `stays`."""
    xp = namespace(simple[0])
    if is_numpy(stays):
        staying = np.count_nonzero(stays)
        if staying == stays.size:
            return simple
        if staying == 0:  # as smooth units have it
            return exact(*arrays)
        if stays.size - staying <= stays.size // 2:
            units = np.flatnonzero(~stays)
            solved = exact(*(array.reshape(-1)[units] for array in arrays))
            pairs = zip(simple, solved, strict=True)
            return tuple(put_units(old, units, new) for old, new in pairs)
    elif bool(xp.all(stays)):
        return simple
    pairs = zip(simple, exact(*arrays), strict=True)
    return tuple(xp.where(stays, old, new) for old, new in pairs)
