"""Claims on GRAIT-prop and its circuit: increments adjusted to the lengths of rows of W.

Owns the circuit's spectrum as section 8 of docs/derivation.md has it, and the networks whose rows
are orthogonal and of unequal lengths. The sides of the other claims are those of Eq. 21 (`rules`)
and of the GAIT circuit's mismatch (`mismatch`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg

from analysis.derivation.both_sides import UNEQUAL, without_crossing
from analysis.derivation.claim import Check, ClaimPlan
from analysis.derivation.equilibria import trial_of
from analysis.derivation.mismatch import mismatch_chain
from analysis.derivation.random_networks import GAMMAS, Case, case, cases
from analysis.derivation.rounding import EPS, row_departure
from analysis.derivation.rules import against_back_propagation, against_literal
from circuit.linearisation.matrix import dense_jacobian

GAUSSIAN = (("linear", "gaussian"), ("leaky_relu", "gaussian"))
SPECTRA = ((3, 6, 0), (5, 8, 3))  # depth, width, and units at the output without a target


def literal(plan: ClaimPlan) -> Iterator[Check]:
    """GRAIT-prop against Alg. 1 with epsilon = gamma A^2 N^2 and absolute targets, any weights."""
    for found in cases(plan, (*UNEQUAL, *GAUSSIAN), (1e-6, 0.1), shallowest=2, deepest=10):
        yield against_literal(without_crossing(found, ("grait",)), "grait")


def back_propagation(plan: ClaimPlan) -> Iterator[Check]:
    """Orthogonal rows of any lengths, linear piece: GRAIT-prop is BP at every gamma."""
    for found in cases(plan, UNEQUAL, shallowest=2):
        yield against_back_propagation(without_crossing(found, ("grait",)), "grait")


def other_rows_are_not_bp(plan: ClaimPlan) -> Iterator[Check]:
    """Control: Gaussian rows."""
    for found in cases(plan, GAUSSIAN, GAMMAS[1:2], shallowest=2):
        yield against_back_propagation(found, "grait", control=True)


def as_printed_is_not_bp(plan: ClaimPlan) -> Iterator[Check]:
    """Control: Eq. 16 as printed, orthogonal rows of unequal lengths."""
    for found in cases(plan, UNEQUAL, GAMMAS[1:2], shallowest=2):
        yield against_back_propagation(found, "gait", control=True)


def mismatch(plan: ClaimPlan) -> Iterator[Check]:
    """m_l = r_l W^T A m_{l+1} at the equilibrium state, with nothing left of the lengths."""
    for found in cases(plan, UNEQUAL, (1e-6, 0.01), deepest=6):
        yield mismatch_chain(found, "grait")


def mismatch_is_not_bp(plan: ClaimPlan) -> Iterator[Check]:
    """Controls: Gaussian rows; and the GAIT circuit with unequal lengths."""
    for found in cases(plan, (("leaky_relu", "gaussian"),), (0.01,), shallowest=2, deepest=6):
        yield mismatch_chain(found, "grait", control=True)
    for found in cases(plan, UNEQUAL[1:], (0.01,), shallowest=2, deepest=6):
        yield mismatch_chain(found, "gait", control=True)


def bidiagonal(found: Case) -> np.ndarray:
    """M: one block row for the mismatch of each layer, and one for the nudge.

    sqrt(1 - gamma_l) on the diagonal (1 for a unit without feedback), below it
    -sqrt(gamma_l) A_{l+1} W_{l+1}, and at the foot of the last column sqrt(gamma_L).
    """
    network, widths = found.network, found.network.widths[1:]
    starts = np.cumsum([0, *widths])
    M = np.zeros((starts[-1] + network.n_outputs, starts[-1]))
    for layer, gamma in enumerate(found.gammas, 1):
        n, first = network.n_projecting(layer), starts[layer - 1]
        kept = np.where(np.arange(widths[layer - 1]) < n, 1 - gamma, 1.0)
        M[first : starts[layer], first : starts[layer]] = np.diag(np.sqrt(kept))
        lift = -np.eye(n)
        if layer < network.depth:
            lift = found.slopes[layer + 1][:, None] * network.weights[layer]
        M[starts[layer] : starts[layer] + len(lift), first : first + n] = -np.sqrt(gamma) * lift
    return M


def spectrum(plan: ClaimPlan) -> Iterator[Check]:
    """The eigenvalues are minus the squared singular values of M: real and negative."""
    for found in _of_spectra(plan, UNEQUAL):
        yield _eigenvalues(found, "grait")


def other_spectra(plan: ClaimPlan) -> Iterator[Check]:
    """Controls: Gaussian rows; and the GAIT circuit with unequal lengths."""
    for found in _of_spectra(plan, GAUSSIAN):
        yield _eigenvalues(found, "grait")
    for found in _of_spectra(plan, UNEQUAL):
        yield _eigenvalues(found, "gait")


def _of_spectra(plan: ClaimPlan, kinds: tuple[tuple[str, str], ...]) -> Iterator[Case]:
    for depth, width, without in SPECTRA:
        for units, init in kinds:
            for seed in plan.seeds:
                for gamma in (0.1, 0.5):
                    yield case(depth, width, units, init, gamma, seed, n_outputs=width - without)


def _eigenvalues(found: Case, pathway: str) -> Check:
    """The library's Jacobian at the forward pass, scaled by known numbers that make it symmetric
    where rows are orthogonal: eigenvalues then move by no more than the matrix (Weyl). Absolute.
    """
    network, gammas = found.network, found.gammas
    trial = trial_of(found, pathway)
    scale, precision = [], 1.0
    for layer, gamma in enumerate(gammas, 1):
        n = network.n_projecting(layer)
        kept = np.where(np.arange(network.widths[layer]) < n, 1 - gamma, 1.0)
        scale.append(np.sqrt(kept / precision))
        precision *= gamma / (1 - gamma)
    flat = np.concatenate(scale)
    scaled = dense_jacobian(trial, trial.at_rest()) * flat[None, :] / flat[:, None]
    got = scipy.linalg.eigvals(scaled)
    wanted = np.sort(-(np.linalg.svd(bidiagonal(found), compute_uv=False) ** 2))
    gap = max(float(np.max(np.abs(np.sort(got.real) - wanted))), float(np.max(np.abs(got.imag))))
    rows = max(float(np.linalg.cond(W)) * float(np.linalg.norm(W, 2)) ** 2 for W in network.weights)
    apart = 0.0
    if pathway == "grait" and found.subject.init == "unequal_rows":
        lengths = [float(np.linalg.norm(W, 2)) for W in network.weights[1:]]
        apart = max(
            row_departure(W) * (1 + n) for W, n in zip(network.weights[1:], lengths, strict=True)
        )
    bound = (len(scaled) + 8 * rows) * EPS * max(1.0, float(np.linalg.norm(scaled, 2))) + apart
    largest, measured = float(np.max(wanted)), float(np.max(got.real))
    return Check(
        found.subject, largest, measured, gap, bound, f"{pathway}, largest eigenvalue shown"
    )
