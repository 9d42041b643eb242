"""The warning of weights whose inverse float arithmetic serves badly.

Owns from where on that is said, and the words.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from circuit.errors import IllConditioned
from circuit.numerics.arrays import epsilon
from circuit.numerics.inverse import Factorised

ASKED = 0.64  # the relative residual asked for by default is eps to this power


def ill_conditioned(factors: Sequence[Factorised]) -> str:
    """What is to be said of weights that are inverted and near singular; "" of others.

    That is from a condition number on at which the rounding of a product with the inverse reaches
    the residual that is asked for by default: 4e5 in float64, 3e2 in float32.

    Parameters
    ----------
    factors : of W_1 .. W_L; W_1 is never inverted
    """
    square = {
        layer: float(one.condition)
        for layer, one in enumerate(factors[1:], 2)
        if one.weights.shape[-1] == one.weights.shape[-2]
    }
    if not square:
        return ""
    layer = max(square, key=square.__getitem__)
    most = epsilon(factors[0].weights) ** (ASKED - 1)
    if square[layer] < most:
        return ""
    return (
        f"W of layer {layer} has a condition number of {square[layer]:.1e}, over {most:.0e}: error "
        "bounds, and what an update is allowed to be off, mean little; train with a pull towards "
        "orthogonal weights, leave out units that are silent or copies of others, or use float64"
    )


def warned(factors: Sequence[Factorised]) -> tuple[str, ...]:
    """The same as notes of a network, none or one, of which Python's warnings tell too."""
    words = ill_conditioned(factors)
    if words:
        warnings.warn(words, IllConditioned, stacklevel=4)
    return (words,) if words else ()
