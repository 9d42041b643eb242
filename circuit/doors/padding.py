"""Auxiliary units that make the weights of a trained network square, so that they have an inverse.

Owns the rows that are added, and the record of them. Does not own what auxiliary units are
(`circuit.network`) nor feedback that needs no inverse (`circuit.learned_inverse`).

W_l (N_l, n_l) of the layers 2 .. L with N_l < n_l gets n_l - N_l rows more: units that nobody reads
and no feedback reaches, so that every output is what it was. W_1 is never inverted, and stays.
The answer of the circuit depends on the rows. With

    orthonormal   rows orthogonal to those of W and to each other, W with them has the inverse
                  [W^+, Q^T]: what comes down from the units of the network is their pseudo-inverse,
                  and the choice among such rows makes no difference
    gaussian      independent entries of variance 1 / n_l: an inverse that lies askew, as that of a
                  circuit would whose auxiliary units were never trained

the first is what to take unless the second is the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from circuit.checks.given import generator_of, require_choice
from circuit.errors import CircuitError, ShapeMismatch, SingularWeights
from circuit.numerics.arrays import Array, to_numpy
from circuit.records.brief import Brief

ORTHONORMAL, GAUSSIAN = ROWS = ("orthonormal", "gaussian")


@dataclass(frozen=True, eq=False, repr=False)
class Padding(Brief):
    """What became of weights that were padded.

    Attributes
    ----------
    weights, biases : of the layers 1 .. L, square from layer 2 on
    rows : of which kind
    added : auxiliary units of the layers 1 .. L

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.doors import pad
    >>> padding = pad([np.eye(3), np.ones((1, 3))], [np.zeros(3), np.zeros(1)])
    >>> padding.added, padding.rows
    ((0, 2), 'orthonormal')
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    rows: str
    added: tuple[int, ...]

    @property
    def words(self) -> str:
        """What was added, in one line; "" where nothing was."""
        places = [
            f"{count} to layer {layer}" for layer, count in enumerate(self.added, 1) if count > 0
        ]
        if not places:
            return ""
        kind = (
            "orthonormal rows, orthogonal to those that were there (what comes down is as through "
            "the pseudo-inverse)"
            if self.rows == ORTHONORMAL
            else "Gaussian rows (the answer depends on them; orthonormal ones are the usual choice)"
        )
        return (
            f"auxiliary units were added, so that weights are square: {', '.join(places)}; {kind}"
        )


def pad(
    weights: Sequence[Array],
    biases: Sequence[Array],
    rows: str = ORTHONORMAL,
    generator: np.random.Generator | None = None,
) -> Padding:
    """Add auxiliary units until all weights but W_1 are square.

    Parameters
    ----------
    weights, biases : of the layers 1 .. L of one network, not of a stack
    rows : "orthonormal" or "gaussian"
    generator : of Gaussian rows; orthonormal ones are not drawn

    Raises
    ------
    CircuitError
        For a layer that has more units than it reads: no row makes its weights square.
    SingularWeights
        Where the rows that are there depend on each other.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.doors import pad
    >>> W = pad([np.eye(3), np.ones((1, 3))], [np.zeros(3), np.zeros(1)]).weights[1]
    >>> W.shape, np.allclose(W[1:] @ W[0], 0)
    ((3, 3), True)
    """
    require_choice("rows", rows, ROWS)
    if rows == GAUSSIAN:
        generator = generator_of("generator", generator)
    if any(W.ndim != 2 for W in weights):
        raise ShapeMismatch("the weights are a stack of networks; pad one network at a time")
    dtype = to_numpy(weights[0]).dtype
    more: list[np.ndarray] = []
    longer: list[np.ndarray] = []
    added = []
    for layer, (W, bias) in enumerate(zip(weights, biases, strict=True), 1):
        W, bias = to_numpy(W), to_numpy(bias)
        extra = _rows(W, layer, rows, generator) if layer > 1 else W[:0]
        more.append(np.concatenate([W, extra.astype(dtype)]))
        longer.append(np.concatenate([bias, np.zeros(len(extra), dtype)]))
        added.append(len(extra))
    return Padding(tuple(more), tuple(longer), rows, tuple(added))


def _rows(
    W: np.ndarray, layer: int, rows: str, generator: np.random.Generator | None
) -> np.ndarray:
    """The rows to be added to W (N, n): (n - N, n)."""
    units, read = W.shape
    if units > read:
        raise CircuitError(
            f"layer {layer} has {units} units that read {read}, and no auxiliary unit makes its "
            "weights square; leave it as it is, with feedback through the pseudo-inverse "
            '(build_circuit(..., feedback="pseudo-inverse"), --feedback pseudo-inverse)'
        )
    if generator is not None and rows == GAUSSIAN:
        return generator.standard_normal((read - units, read)) / np.sqrt(read)
    _, values, right = np.linalg.svd(W.astype(np.float64), full_matrices=True)
    if values[-1] <= values[0] * max(W.shape) * np.finfo(W.dtype).eps:
        raise SingularWeights(
            f"the {units} rows of W of layer {layer} depend on each other (rank "
            f"{np.linalg.matrix_rank(W)}), and no row that is added gives them an inverse; leave "
            "out units that are silent or copies of others, or use feedback through the "
            "pseudo-inverse"
        )
    return right[units:]
