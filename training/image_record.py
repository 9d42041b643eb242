"""Images beside their labels or targets, and the refusal of what is none.

Owns the record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

N_CLASSES = 10  # of every data set that has a name


class ImageError(ValueError):
    """Image data that cannot be had or used. The message is one line: the value and the remedy."""


@dataclass(frozen=True, eq=False)  # eq=False: two arrays compare to an array, not to a truth value
class Images:
    """Images beside their labels.

    name: one of `DATASETS`.
    inputs: (n_images, side * side) float, every pixel in [0, 1], the rows of an image in turn.
    labels: (n_images,) int64, from 0 to n_classes - 1.
    side: pixels per side of the square images.
    remark: how pixels were scaled, where that is not the usual way; else empty.
    targets: (n_images, n_classes), what outputs are to be where that is not one-hot; else None. Of
        images without labels, which then are -1.
    """

    name: str
    inputs: NDArray[Any]
    labels: NDArray[np.int64]
    side: int
    n_classes: int = N_CLASSES
    remark: str = ""
    targets: NDArray[Any] | None = None
