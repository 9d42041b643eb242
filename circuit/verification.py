"""Whether a state is an equilibrium, and how far it can be from the true one.

Owns the one ruler that every method's result is measured with. Does not own the methods.

The residual R_l of layer l (see `dynamics`) is compared with the shift of the same layer, sample by
sample, auxiliary units left out, and the worst sample counts. Any norm of the whole state would be
blind: a shift may be 1e-12 of the rate that it is a shift of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from circuit.arrays import (
    Array,
    any_true,
    epsilon,
    largest,
    namespace,
    product_rounding,
    row_norms,
)
from circuit.dynamics import Balance, Trial, balance, scale_ratio
from circuit.shifts import Shifts


class Status(StrEnum):
    """What became of an attempt to settle a circuit."""

    CONVERGED = "converged"
    DIVERGED = "diverged"
    CYCLING = "cycling"
    OUT_OF_BUDGET = "ran out of budget"
    NOT_FINITE = "not finite"
    NOT_RESOLVABLE = "not resolvable in this precision"


@dataclass(frozen=True, eq=False)
class Judgement:
    """A state measured.

    Attributes
    ----------
    terms : the balance of the state
    residual_norms : L arrays (..., batch), |R_l| per sample in units of the layer's scale. An upper
        bound, |W^-1| |W R_l|, where that bound was already below the tolerance.
    shift_norms : L arrays (..., batch), |d_l| per sample in units of the layer's scale
    relative_residuals : L floats, the worst sample's |R_l| / |d_l|
    rounding_floors : L floats, the relative residual that rounding alone leaves
    """

    terms: Balance
    residual_norms: tuple[Array, ...]
    shift_norms: tuple[Array, ...]
    relative_residuals: tuple[float, ...]
    rounding_floors: tuple[float, ...]

    @property
    def worst(self) -> float:
        """The largest relative residual (infinite for a state that is not finite)."""
        if any(math.isnan(value) for value in self.relative_residuals):
            return math.inf
        return max(self.relative_residuals)


def judge(trial: Trial, shifts: Shifts, tolerance: float) -> Judgement:
    """Measure `shifts` against the equations.

    Parameters
    ----------
    tolerance
        Below it, an upper bound of the residual is good enough; above it, the residual is computed.
    """
    circuit, network = trial.circuit, trial.network
    terms = balance(trial, shifts, push_demands=True)
    residual_norms, shift_norms, relative, floors = [], [], [], []
    for layer in range(1, network.depth + 1):
        n = network.n_projecting(layer)
        shift_norm = row_norms(shifts.values[layer - 1][..., :n])
        condition = 1.0
        if layer == network.depth:
            residual_norm = row_norms(terms.demands[-1])
            worst = _relative(residual_norm, shift_norm)
        else:
            above = network.factors[layer]
            weight = circuit.strength(layer) * scale_ratio(shifts, layer + 1, layer)
            pushed = terms.demand_drives[layer - 1] - weight * terms.messages[layer]
            residual_norm = above.inverse_norm * row_norms(pushed)
            worst = _relative(residual_norm, shift_norm)
            condition = above.condition
            if not worst <= tolerance:
                residual_norm = row_norms(above.solve(pushed))
                worst = _relative(residual_norm, shift_norm)
        residual_norms.append(residual_norm)
        shift_norms.append(shift_norm)
        relative.append(worst)
        floors.append(product_rounding(epsilon(trial.error), n) * (1 + condition))
    return Judgement(
        terms,
        tuple(residual_norms),
        tuple(shift_norms),
        tuple(relative),
        tuple(floors),
    )


def _relative(residual: Array, shift: Array) -> float:
    """Worst |R|/|d| over samples; 0/0 counts as 0."""
    xp = namespace(residual)
    if any_true(shift == 0):
        still = (shift == 0) & (residual == 0)
        residual = xp.where(still, xp.zeros_like(residual), residual)
        shift = xp.where(still, xp.ones_like(shift), shift)
        if any_true(shift == 0):
            return float("inf")
    return largest(residual / shift)
