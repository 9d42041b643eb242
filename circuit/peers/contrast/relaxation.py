"""By how much a layer overshoots in a sweep, so as to meet what its neighbour will answer.

Owns the factors 1/P_l. Does not own the sweeps (`circuit.peers.contrast.sweeps`).

What a layer's change makes of the layers above comes back to it: eliminated from the output down,
the linearised equations have the pivots

    P_L = 1,   P_l = 1 - gamma A_l W_{l+1}^T (A / P)_{l+1} W_{l+1},   A = diag f'(h),

full matrices, of which each image has its own. In place of W^T D W stands its mean diagonal, the
sum of N_i^2 D_i over the n units that are read, N_i being the lengths of rows; for orthogonal
weights of linear units it is the matrix itself, and one sweep is the solution. Elsewhere every
sweep gains a factor of two or three. Pivots of 1/2 and more are over-relaxation by no more than
two; those of orthogonal weights are for gamma below 1/4. An image with a smaller one has none, and
sweeps as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from circuit.network import Network
from circuit.numerics.arrays import Array, namespace

LEAST_PIVOT = 0.5

Factors = tuple[Array | None, ...]  # of the layers 1 .. L; None is 1


def relaxation(
    network: Network, gamma: float, slopes: Sequence[Array], output_slope: Array
) -> Factors:
    """1/P of the layers 1 .. L, `(..., batch, N_l)`.

    Parameters
    ----------
    slopes : L arrays (..., batch, N_l), f' where the equations are linearised
    output_slope : that of the outputs with their nudge
    """
    xp, sure = namespace(output_slope), True
    carried, pivots = output_slope, list[Array]()
    for layer in range(network.depth - 1, 0, -1):
        n, slope = network.n_projecting(layer), slopes[layer - 1]
        lengths = network.squared_lengths(layer + 1)[..., None, :]
        back = gamma * xp.sum(lengths * carried, axis=-1, keepdims=True) / n
        pivot = 1 - back * slope
        if n < slope.shape[-1]:  # nobody reads the others
            ones = xp.ones_like(slope[..., n:])
            pivot = xp.concat([pivot[..., :n], ones], axis=-1)
        sure = sure & xp.all(pivot >= LEAST_PIVOT, axis=-1, keepdims=True)
        carried = slope / xp.maximum(pivot, LEAST_PIVOT)
        pivots.insert(0, pivot)
    return (*(xp.where(sure, 1 / pivot, xp.ones_like(pivot)) for pivot in pivots), None)
