"""The warning of weights whose inverse float arithmetic serves badly.

Owns from where on that is said, and the words. Does not own the condition (`circuit.numerics`).
"""

from __future__ import annotations

import warnings
from dataclasses import replace

from circuit.equilibrium import default_tolerance
from circuit.errors import IllConditioned
from circuit.network import Network
from circuit.numerics.arrays import epsilon


def ill_conditioned(network: Network) -> str:
    """What is to be said of weights that are inverted and near singular; "" of others.

    That is from a condition number on at which the rounding of a product with the inverse reaches
    the residual that is asked for by default: 4e5 in float64, 3e2 in float32.
    """
    square = {
        layer: float(factors.condition)
        for layer, factors in enumerate(network.factors[1:], 2)  # W_1 is never inverted
        if factors.weights.shape[-1] == factors.weights.shape[-2]
    }
    if not square:
        return ""
    layer = max(square, key=square.__getitem__)
    most = default_tolerance(network.weights[0]) / epsilon(network.weights[0])
    if square[layer] < most:
        return ""
    return (
        f"W of layer {layer} has a condition number of {square[layer]:.1e}, over {most:.0e}: error "
        "bounds, and what an update is allowed to be off, mean little; train with a pull towards "
        "orthogonal weights, leave out units that are silent or copies of others, or use float64"
    )


def with_warning(network: Network) -> Network:
    """The network with this note, of which Python's warnings tell too."""
    words = ill_conditioned(network)
    if not words or words in network.notes:
        return network
    warnings.warn(words, IllConditioned, stacklevel=4)
    return replace(network, notes=(*network.notes, words))
