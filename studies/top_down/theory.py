"""What theory says of circuits with strong top-down input, without settling any.

Owns the formulas. Does not own the circuits (`studies.top_down.circuit`), whose equations and
letters are used here.

In a linear piece of the ITP pathway z_l = c_l D_{l+1}^-1 .. D_L^-1 e, with one number c_l a layer,
as D_l z_{l-1} = c_{l-1} (..) e and D_{l+1}^-1 z_{l+1} = c_{l+1} (..) e: all of the circuit, its
eigenvalues included, is that of a chain of numbers. With gamma = 1 below the output the spectrum is
known exactly for bent units and both pathways.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

from studies.top_down.circuit import Layers, TopDown


def chain_gains(depth: int, keep: float, take: float, nudge: float) -> np.ndarray:
    """c_1 .. c_L of a linear piece of the ITP pathway: z_l = c_l D_{l+1}^-1 .. D_L^-1 e.

    c_l = keep c_{l-1} + take c_{l+1}, c_0 = 0, and c_L = (1 - nudge) c_{L-1} + nudge: a dense
    solve. Infinite where the chain has no equilibrium.
    """
    end = np.zeros(depth)
    end[-1] = nudge
    try:
        return np.linalg.solve(np.eye(depth) - _chain(depth, keep, take, nudge), end)
    except np.linalg.LinAlgError:
        return np.full(depth, np.inf)


def chain_abscissa(depth: int, keep: float, take: float, nudge: float) -> float:
    """Largest real part of the eigenvalues, in 1/tau, where every output has a target.

    Of a linear piece of the ITP pathway, whatever the weights, each eigenvalue as often as there
    are units in a layer. A tridiagonal matrix with positive products of its off-diagonals is
    similar to the symmetric one with their roots.
    """
    chain = _chain(depth, keep, take, nudge)
    products = np.diagonal(chain, 1) * np.diagonal(chain, -1)
    return float(eigvalsh_tridiagonal(np.full(depth, -1.0), np.sqrt(products))[-1])


def _chain(depth: int, keep: float, take: float, nudge: float) -> np.ndarray:
    below = np.full(depth - 1, keep)
    below[-1:] = 1 - nudge
    return np.diag(below, -1) + np.diag(np.full(depth - 1, take), 1)


def replaced_eigenvalues(circuit: TopDown, state: Layers, image: int = 0) -> np.ndarray:
    """All eigenvalues of `replacing` with gamma = 1 at its equilibrium, (N,), in 1/tau.

    Exact for bent units and any weights. Every layer l + 1 >= 2 has lost its mismatch there; in
    terms of its drive q = W y_l + b, layer l obeys dq/dt = -q + f^-1(y_{l+1}) (ITP) or, with the
    slopes a of layer l + 1, dq/dt = -a^2 q + a y_{l+1} (GAIT). That is a cascade but for the
    output, dy_L/dt = -y_L + (1 - gamma_L) f(q) + gamma_L t:

        ITP   -1 (layers 1 .. L-2)      -1 +- sqrt(1 - gamma_L)
        GAIT  -a^2 (layers 2 .. L-1)    -(1 + a^2)/2 +- sqrt((1 + a^2)^2 / 4 - a^2 gamma_L)

    and a^2 N^2 for a^2 (GRAIT),

    with gamma_L = 0, and so an eigenvalue 0, for each unit above layer 1 that nobody reads and that
    has no target. For one layer, -1.
    """
    network, adjusted = circuit.network, circuit.pathway.gradient_adjusted
    if network.depth == 1:
        return np.full(network.widths[1], -1.0)
    found = [np.full(network.widths[1] - network.n_projecting(1), -1.0)]  # driven by the input
    for layer in range(2, network.depth + 1):
        n = network.n_projecting(layer)
        h = circuit.activity.drive(layer) + network.push(layer, state[layer - 2])
        a2 = np.ones(h.shape[1])
        if adjusted:
            slope = network.activation(layer).slope(h)[[image]]
            a2 = circuit.by_rows(layer, slope**2)[0]
        nudge = np.zeros(len(a2))
        if layer < network.depth:
            found.append(-a2[:n])
            a2, nudge = a2[n:], nudge[n:]
        else:
            nudge[:n] = circuit.nudge
        middle = (1 + a2) / 2
        root = np.sqrt(np.maximum(middle**2 - a2 * nudge, 0.0))
        found += [-middle - root, -a2 * nudge / (middle + root)]  # the small one without cancelling
    return np.concatenate(found)
