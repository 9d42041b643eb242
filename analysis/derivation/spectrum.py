"""Claims on the spectrum of the ITP circuit, without and with auxiliary units.

Owns the eigenvalues as printed, and how far rounding can move those of the library's Jacobian.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.linalg
import scipy.optimize

from analysis.derivation.both_sides import PIECEWISE
from analysis.derivation.claim import Check, ClaimPlan
from analysis.derivation.equilibria import STRENGTHS, trial_of
from analysis.derivation.random_networks import Case, case, cases
from analysis.derivation.rounding import EPS
from circuit.linearisation.matrix import dense_jacobian


def spectrum(plan: ClaimPlan) -> Iterator[Check]:
    """-1 + 2 sqrt(gamma (1 - gamma)) cos(k pi/(L+1)), each n-fold, whatever the weights."""
    for found in cases(plan, PIECEWISE, STRENGTHS, deepest=30):
        depth, n = found.network.depth, found.subject.width
        if depth * n > 300 or (found.subject.init == "gaussian" and depth > 3):
            continue  # the eigenvectors' condition is that of the product of weights
        if found.subject.units == "leaky_relu" and depth > 10:
            continue
        yield _eigenvalues(found, [(chain(found.gammas[0], depth), n)])


def spectrum_with_auxiliary_units(plan: ClaimPlan) -> Iterator[Check]:
    """The union over chains, each as long as the layer in which it ends."""
    shapes: list[tuple[tuple[int, ...], int]] = [((6,) * 4, 2), ((7, 6, 5, 3), 2)]
    if plan.full:
        shapes += [((16,) * 6, 10), ((12, 10, 8, 8, 5, 5), 3)]
    for widths, n_outputs in shapes:
        depth = len(widths) - 1
        for units, init in PIECEWISE:
            for seed in plan.seeds:
                for gamma in (0.01, 0.4, 0.8):
                    found = case(
                        depth, widths[1], units, init, gamma, seed,
                        widths=widths, n_outputs=n_outputs,
                    )  # fmt: skip
                    chains = [(chain(gamma, depth), n_outputs)]
                    for layer in range(1, depth + 1):
                        ending = widths[layer] - found.network.n_projecting(layer)
                        chains.append((chain_to_auxiliary(gamma, layer), ending))
                    yield _eigenvalues(found, chains)


def chain(gamma: float, length: int) -> np.ndarray:
    """Eigenvalues of a chain whose last unit is nudged."""
    angles = np.arange(1, length + 1) * np.pi / (length + 1)
    return -1 + 2 * math.sqrt(gamma * (1 - gamma)) * np.cos(angles)


def chain_to_auxiliary(gamma: float, length: int) -> np.ndarray:
    """Of a chain of l layers that ends in a unit which nobody reads and nothing nudges.

    The cosines of the angles that solve (1 - gamma) sin((l+1) theta) = gamma sin((l-1) theta). For
    gamma < (l+1)/(2l) there are l of them; above, the outermost two are those of an imaginary
    angle and its mirror image, +-cosh(phi).
    """
    if length == 1:
        return np.array([-1.0])

    def condition(theta: float) -> float:
        return (1 - gamma) * math.sin((length + 1) * theta) - gamma * math.sin((length - 1) * theta)

    def hyperbolic(phi: float) -> float:
        return (1 - gamma) * math.sinh((length + 1) * phi) - gamma * math.sinh((length - 1) * phi)

    band = 2 * math.sqrt(gamma * (1 - gamma))
    grid = np.linspace(1e-6, math.pi - 1e-6, 40 * length + 1)
    signs = np.sign([condition(theta) for theta in grid])
    places = np.flatnonzero(signs[1:] != signs[:-1])
    angles = [scipy.optimize.brentq(condition, grid[i], grid[i + 1], xtol=1e-15) for i in places]
    cosines = np.cos(angles)
    if gamma > (length + 1) / (2 * length):
        # the eigenvalues lie between -2 and 0, so that cosh(phi) < 1/band
        phi = scipy.optimize.brentq(hyperbolic, 1e-9, math.acosh(1 / band), xtol=1e-15)
        cosines = np.concatenate([cosines, [math.cosh(phi), -math.cosh(phi)]])
    return -1 + band * cosines


def _eigenvalues(found: Case, chains: Sequence[tuple[np.ndarray, int]]) -> Check:
    """The Jacobian of the library at the forward pass. Absolute errors: eigenvalues have size 1.

    It is scaled by known numbers, r^(l/2) for layer l, which leaves its eigenvalues: without them
    the eigenvectors of weak feedback would be as good as parallel. What remains of their condition
    is that of D_{l+1} ... D_L, and Bauer and Fike (1960) bound the error by it times that of the
    matrix.
    """
    network, gamma = found.network, found.gammas[0]
    wanted = np.sort(np.concatenate([np.repeat(values, count) for values, count in chains]))
    trial = trial_of(found, "itp")
    jacobian = dense_jacobian(trial, trial.at_rest())
    widths = network.widths[1:]
    r = (1 - gamma) / gamma
    scale = np.concatenate([np.full(width, r ** (l / 2)) for l, width in enumerate(widths)])  # noqa: E741
    scaled = jacobian * scale[None, :] / scale[:, None]
    got = scipy.linalg.eigvals(scaled)
    gap = max(float(np.max(np.abs(np.sort(got.real) - wanted))), float(np.max(np.abs(got.imag))))
    largest, smallest = 1.0, 1.0
    lifted = np.eye(network.widths[-1])
    for layer in range(network.depth, 1, -1):
        D = found.slopes[layer][:, None] * network.weights[layer - 1]
        n = len(D)
        lifted = scipy.linalg.block_diag(lifted, np.eye(n - len(lifted))) @ D
        values = np.linalg.svd(lifted, compute_uv=False)
        largest, smallest = max(largest, 1 / values[-1]), min(smallest, 1 / values[0])
    condition = largest / smallest
    if any(count for _, count in chains[1:]):
        # the scalar chains with an auxiliary end are not symmetric: r^(1/2) more
        condition *= math.sqrt(r) if r > 1 else 1 / math.sqrt(r)
    total = len(scaled)
    rows = max(float(np.linalg.cond(W)) for W in network.weights)
    perturbed = (total + 4 * rows) * EPS * float(np.linalg.norm(scaled, 2))
    bound = condition * perturbed + 1e-15
    least = float(np.max(wanted))
    measured = float(np.max(got.real))
    return Check(found.subject, least, measured, gap, bound, "largest eigenvalue shown")
