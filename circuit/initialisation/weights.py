"""Random matrices that weights begin as."""

from __future__ import annotations

import numpy as np


def orthogonal(
    width: int, generator: np.random.Generator, columns: int | None = None
) -> np.ndarray:
    """A random orthogonal matrix from the Haar measure (Mezzadri 2007), (width, width).

    With another number of `columns` the shorter of rows and columns are orthonormal.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.initialisation import orthogonal
    >>> W = orthogonal(3, np.random.default_rng(0), 5)
    >>> np.allclose(W @ W.T, np.eye(3))
    True
    """
    columns = width if columns is None else columns
    q, r = np.linalg.qr(generator.standard_normal((max(width, columns), min(width, columns))))
    q = q * np.sign(np.diagonal(r))
    return q.T if columns > width else q


def gaussian(width: int, generator: np.random.Generator, columns: int | None = None) -> np.ndarray:
    """Independent Gaussian weights with variance 2 / (n_in + n_out), (width, columns).

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.initialisation import gaussian
    >>> W = gaussian(300, np.random.default_rng(0), 100)
    >>> W.shape, bool(abs(W.var() / (2 / 400) - 1) < 0.05)
    ((300, 100), True)
    """
    columns = width if columns is None else columns
    return generator.standard_normal((width, columns)) / np.sqrt((width + columns) / 2)


def unequal_rows(
    width: int, generator: np.random.Generator, columns: int | None = None
) -> np.ndarray:
    """Orthogonal rows of lengths evenly between 1/2 and 2, (width, columns): what Eq. 23 allows.

    With fewer columns than rows, the rows of `orthogonal` times such lengths.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.initialisation import unequal_rows
    >>> W = unequal_rows(3, np.random.default_rng(0), 5)
    >>> lengths = np.linalg.norm(W, axis=1)
    >>> np.allclose(W @ W.T, np.diag(lengths**2)), bool((lengths >= 0.5).all())
    (True, True)
    """
    directions = orthogonal(width, generator, columns)
    return generator.uniform(0.5, 2.0, (width, 1)) * directions


INITIALISERS = {"orthogonal": orthogonal, "gaussian": gaussian, "unequal_rows": unequal_rows}
"""Ways to draw a matrix of weights."""
