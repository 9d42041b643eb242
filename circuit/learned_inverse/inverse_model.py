"""Ways back through the layers that take the place of the exact inverse, learned or given.

Owns the feedback weights of all layers, what is asked of them, and those that are made from the
feed-forward weights.

The model of layer l is linear in the drive that the rates of the layer stand for,

    g_l^(y_l) = B_l f_l^-1(y_l) + c_l ,      B_l (n_l, N_l) ,      l = 2 .. L,

so that one with no error exists for square weights: B = W^-1, c = -W^-1 b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import array_api_compat

from circuit.checks.given import is_sequence, require_kind
from circuit.errors import ShapeMismatch
from circuit.network import Network
from circuit.numerics.arrays import Array, largest, namespace, require_finite, rows_times
from circuit.records.brief import Brief


@dataclass(frozen=True, eq=False, repr=False)
class InverseModel(Brief):
    """g_l^ of the layers 2 .. L.

    Attributes
    ----------
    weights : L-1 arrays (..., n_l, N_l), B_2 .. B_L
    biases : L-1 arrays (..., n_l), c_2 .. c_L
    exact : whether N^2 is that of the rows of W, as for W^-1 or its pseudo-inverse itself

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.learned_inverse import InverseModel
    >>> network = initialise([4, 3, 2], 0, auxiliary=False)
    >>> model = InverseModel((network.weights[1].T,), (np.zeros(3),))
    >>> trial = begin(build_circuit(network, feedback=model), [[0.1, 0.2, 0.3, 0.4]], [1])
    >>> settle(trial).status.value
    'converged'
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    exact: bool = False

    def pull(self, layer: int, drives: Array) -> Array:
        """`B_l` applied, `(..., batch, n) -> (..., batch, n_l)`; the other drives are 0."""
        matrix = self.weights[layer - 2]
        if drives.shape[-1] < matrix.shape[-1]:
            matrix = matrix[..., : drives.shape[-1]]
        return rows_times(drives, matrix)

    def squared_lengths(self, network: Network, layer: int) -> Array:
        """What takes the place of N^2 where B does of W^-1, `(..., N_l)`; 0 where b_i is."""
        if self.exact:
            return network.squared_lengths(layer)
        xp, sent = namespace(self.weights[layer - 2]), self.weights[layer - 2]
        square = xp.sum(sent * sent, axis=-2)
        both = xp.sum(xp.matrix_transpose(network.weights[layer - 1]) * sent, axis=-2)
        return xp.where(square > 0, both / xp.where(square > 0, square, 1 + square), 0 * both)

    def reconstruct(self, layer: int, drives: Array) -> Array:
        """g^ at drives `(..., batch, N_l)` of `layer`."""
        bias = namespace(drives).expand_dims(self.biases[layer - 2], axis=-2)
        return self.pull(layer, drives) + bias

    def round_trip(self, network: Network, layer: int) -> float:
        """A bound on |B_l| |W_l| in the spectral norm, the worst of a stack; cheap, and at most
        the square root of the width too large.
        """
        W, B = network.weights[layer - 1], self.weights[layer - 2]
        xp = namespace(W)
        grams = (xp.matmul(one, xp.matrix_transpose(one)) for one in (W, xp.matrix_transpose(B)))
        up, down = (xp.linalg.matrix_norm(gram) for gram in grams)
        return largest(xp.sqrt(up * down))

    @cached_property
    def norms(self) -> tuple[float, ...]:
        """Spectral norms of B_2 .. B_L, the largest of a stack."""
        return tuple(largest(namespace(B).linalg.svdvals(B)) for B in self.weights)

    def defects(self, network: Network) -> tuple[float, ...]:
        """|B W - 1| of the layers 2 .. L, of the units that are read; spectral norms."""
        found = []
        for B, W in zip(self.weights, network.weights[1:], strict=True):
            xp, product = namespace(B), namespace(B).matmul(B, W)
            device = array_api_compat.device(product)
            eye = xp.eye(product.shape[-1], dtype=product.dtype, device=device)
            found.append(largest(xp.linalg.svdvals(product - eye)))
        return tuple(found)

    def astype(self, dtype: object) -> InverseModel:
        """The same in another precision."""

        def cast(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
            return tuple(namespace(array).astype(array, dtype) for array in arrays)

        return InverseModel(cast(self.weights), cast(self.biases), self.exact)


def require_model(network: Network, model: InverseModel) -> None:
    """Raise `ShapeMismatch` unless the model leads back through the layers 2 .. L."""
    require_kind("inverse model", model, InverseModel)
    found = [tuple(one.shape) for one in (*model.weights, *model.biases)]
    sizes = [(tuple(one.shape[:-2]), *one.shape[-2:]) for one in network.weights[1:]]
    wanted = [(*stack, read, units) for stack, units, read in sizes]
    wanted += [(*stack, read) for stack, _, read in sizes]
    if found != wanted:
        raise ShapeMismatch(
            f"an inverse model of shapes {found}; this network needs {wanted}, weights and then "
            "biases of the layers 2 .. L"
        )


def exact_model(network: Network) -> InverseModel:
    """B = W^-1 and c = -W^-1 b of a network with square weights.

    Raises `SingularWeights`.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import initialise
    >>> from circuit.learned_inverse import exact_model
    >>> network = initialise([3, 3, 3], 0)
    >>> np.allclose(exact_model(network).weights[0] @ network.weights[1], np.eye(3))
    True
    """
    return _given(network, [factors.inverse for factors in network.factors[1:]])


def pseudo_inverse_model(network: Network) -> InverseModel:
    """B = W^+, the pseudo-inverse of Moore and Penrose, and c = -W^+ b: weights of any shape.

    W^T N^-2 where rows are orthogonal, so that GRAIT-prop is back-propagation without auxiliary
    units. What these would add below, W^+ leaves out (docs/derivation.md, section 8).

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import initialise
    >>> from circuit.learned_inverse import pseudo_inverse_model
    >>> network = initialise([4, 3, 2], 0, auxiliary=False)
    >>> np.allclose(pseudo_inverse_model(network).weights[0], np.linalg.pinv(network.weights[1]))
    True
    """
    weights = network.weights[1:]
    return _given(network, [namespace(matrix).linalg.pinv(matrix) for matrix in weights])


def model_of_matrices(network: Network, matrices: Sequence[Array]) -> InverseModel:
    """B_2 .. B_L as they are given, arrays (..., n_l, N_l), with c = -B b and N^2 of the rows of W.

    Raises
    ------
    ShapeMismatch, NotFinite

    Examples
    --------
    >>> from circuit import initialise
    >>> from circuit.learned_inverse import model_of_matrices
    >>> network = initialise([4, 3, 2], 0, auxiliary=False)
    >>> model_of_matrices(network, [network.weights[1].T]).weights[0].shape
    (3, 2)
    """
    wanted = [tuple(namespace(W).matrix_transpose(W).shape) for W in network.weights[1:]]
    found = [tuple(getattr(one, "shape", ())) for one in matrices] if is_sequence(matrices) else []
    if wanted != found:
        raise ShapeMismatch(
            f"feedback matrices of shapes {found}; give B_2 .. B_L, one like the transpose of each "
            f"of the weights above layer 1, {wanted}"
        )
    namespace(*matrices, *network.weights)
    for layer, matrix in enumerate(matrices, 2):
        if matrix.dtype != network.weights[0].dtype:
            raise ShapeMismatch(
                f"B of layer {layer} has dtype {matrix.dtype}, the weights "
                f"{network.weights[0].dtype}; convert one"
            )
        require_finite(matrix, f"B of layer {layer}", "use finite feedback weights")
    return _given(network, matrices)


def _given(network: Network, weights: Sequence[Array]) -> InverseModel:
    biases = [
        -rows_times(bias[..., None, :], matrix)[..., 0, :]
        for bias, matrix in zip(network.biases[1:], weights, strict=True)
    ]
    return InverseModel(tuple(weights), tuple(biases), exact=True)
