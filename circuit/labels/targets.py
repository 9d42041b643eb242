"""Targets of the output units, from labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuit.checks.given import is_whole, require_choice, shown
from circuit.errors import CircuitError, ShapeMismatch
from circuit.numerics.arrays import to_numpy


def one_hot(
    labels: Any, classes: int | Sequence[Any] | np.ndarray, dtype: str = "float64"
) -> np.ndarray:
    """Labels as rows with 1 at their class and 0 elsewhere, (samples, classes).

    Parameters
    ----------
    labels : (samples,)
        Whole numbers from 0 on where `classes` is their number, or members of `classes`.
    classes : how many there are, or all of them, in the order of the outputs
    dtype : "float64" or "float32"

    Raises
    ------
    CircuitError, ShapeMismatch
        For a label of no class, or what is one-hot already.

    Examples
    --------
    >>> from circuit.labels import one_hot
    >>> one_hot(["cat", "owl"], ["owl", "cat", "dog"])
    array([[0., 1., 0.],
           [1., 0., 0.]])
    """
    require_choice("dtype", dtype, ("float64", "float32"))
    found = np.asarray(to_numpy(labels))
    if found.ndim != 1:
        again = " (they look one-hot already: give them as targets)" if _is_one_hot(found) else ""
        raise ShapeMismatch(
            f"labels have shape {found.shape}{again}; give one label for each sample"
        )
    if is_whole(classes):
        if found.dtype.kind not in "iu":
            raise CircuitError(
                f"labels have dtype {found.dtype}; give whole numbers, or all classes by name"
            )
        known = np.arange(classes)
    else:
        known = np.asarray(classes)
    if known.ndim != 1 or len(known) == 0 or len(np.unique(known)) < len(known):
        raise CircuitError(f"classes = {shown(classes)}: give their number, or each of them once")
    hits = found[:, None] == known[None, :]
    if not isinstance(hits, np.ndarray) or not hits.any(axis=1).all():
        bad = 0 if not isinstance(hits, np.ndarray) else int(np.argmin(hits.any(axis=1)))
        raise CircuitError(
            f"label {shown(found[bad].item())} of sample {bad} is none of the {len(known)} "
            f"classes ({shown(known[0].item())} to {shown(known[-1].item())})"
        )
    return hits.astype(dtype)


def _is_one_hot(values: np.ndarray) -> bool:
    """Whether every row is one 1 among zeros."""
    if values.ndim != 2 or values.dtype.kind not in "iufb":
        return False
    return bool(np.all((values == 0) | (values == 1)) and np.all(values.sum(axis=1) == 1))
