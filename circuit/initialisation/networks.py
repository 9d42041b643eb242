"""Networks with random weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuit.activations import Activation
from circuit.checks.given import generator_of, require_choice, require_flag, shown
from circuit.checks.layers import require_decreasing, require_widths
from circuit.errors import ShapeMismatch
from circuit.initialisation.weights import INITIALISERS
from circuit.network import Network
from circuit.units.leaky_relu import leaky_relu
from circuit.units.table import activations


def initialise(
    widths: Sequence[int],
    generator: np.random.Generator | int,
    *,
    init: str = "orthogonal",
    activation: str | Activation | Sequence[str | Activation] | None = None,
    n_outputs: int | None = None,
    auxiliary: bool = True,
    whole_input: bool = False,
    dtype: str = "float64",
) -> Network:
    """A network with random weights and zero biases, as NumPy arrays.

    Parameters
    ----------
    widths : N_0 .. N_L
    generator : source of all randomness, or its seed
    init
        "orthogonal" (Haar measure), "gaussian" (standard deviation sqrt(2 / (n_in + n_out)), as in
        the paper's public code) or "unequal_rows" (orthogonal, of lengths between 1/2 and 2).
    activation
        A name, an `Activation`, or one per layer; leaky-ReLU by default.
    n_outputs
        Output units with an error signal; all of them by default.
    auxiliary
        Whether units beyond the width of the layer above are auxiliary, so that all weights are
        square; widths must then not increase. If not, each layer reads all units below.
    whole_input
        Whether layer 1 reads all inputs even so, W_1 being never inverted. If not, it reads the
        first N_1 of them, and the others are auxiliary: of images, pixels that may all be black.
    dtype
        "float64" or "float32".

    Raises
    ------
    CircuitError

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import initialise
    >>> network = initialise([64, 32, 10], np.random.default_rng(0))
    >>> network
    Network(64-32-10, leaky_relu, 10 outputs)
    >>> np.allclose(network.weights[1] @ network.weights[1].T, np.eye(10))
    True
    """
    require_widths(widths)
    generator = generator_of("generator", generator)
    require_flag("auxiliary", auxiliary)
    require_flag("whole_input", whole_input)
    if not (isinstance(dtype, str) and dtype in ("float64", "float32")):
        name = dtype if isinstance(dtype, str) else shown(dtype)
        raise ShapeMismatch(f"weights of dtype {name}; use float64 or float32")
    if auxiliary:
        require_decreasing(widths, from_layer=2 if whole_input else 1)
    require_choice("init", init, INITIALISERS)
    draw = INITIALISERS[init]
    read = widths[1:] if auxiliary else widths[:-1]
    read = (widths[0], *read[1:]) if whole_input else read
    return Network(
        weights=tuple(
            draw(width, generator, columns).astype(dtype)
            for width, columns in zip(widths[1:], read, strict=True)
        ),
        biases=tuple(np.zeros(width, dtype=dtype) for width in widths[1:]),
        activations=activations(
            leaky_relu() if activation is None else activation, len(widths) - 1
        ),
        n_inputs=widths[0],
        n_outputs=widths[-1] if n_outputs is None else n_outputs,
    )
