"""Whether a state is an equilibrium, and how far it can be from the true one.

Owns the one ruler that every method's result is measured with.

The residual R_l of layer l (see `shift_dynamics`) is compared with the shift of the same layer,
sample by sample, auxiliary units left out, and the worst sample counts. Any norm of the whole state
would be blind: a shift may be 1e-12 of the rate that it is a shift of. A layer without any shift is
at rest only where there is no error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np

from circuit.numerics.arrays import (
    Array,
    any_true,
    epsilon,
    flattened,
    largest,
    namespace,
    product_rounding,
    row_norms,
    take_rows,
    to_numpy,
)
from circuit.records.brief import Brief
from circuit.shift_dynamics import LayerTerms, layer_terms, scale_ratio
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.sliding import (
    balanced_hull,
    balanced_messages,
    has_kink,
    near_a_kink,
)

NEAR = 1.01  # condition number up to which |W^-1| |W R| stands for |R|


class Status(StrEnum):
    """What became of an attempt to settle a circuit.

    Examples
    --------
    >>> from circuit import Status, begin, build_circuit, initialise, settle
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> settle(trial, must_converge=False).status is Status.CONVERGED
    True
    """

    CONVERGED = "converged"
    DIVERGED = "diverged"
    CYCLING = "cycling"
    OUT_OF_BUDGET = "ran out of budget"
    NOT_FINITE = "not finite"
    NOT_RESOLVABLE = "not resolvable in this precision"


@dataclass(frozen=True, eq=False, repr=False)
class Judgement(Brief):
    """A state measured.

    Attributes
    ----------
    auxiliaries : for each layer the feed-forward shift of its units without feedback, (..., batch,
        auxiliary); None where there are none
    residual_norms : L arrays (..., batch), |R_l| per sample in units of the layer's scale. An upper
        bound, |W^-1| |W R_l|, where that bound was already below the tolerance, or where it is no
        more than 1 % too large.
    shift_norms : L arrays (..., batch), |d_l| per sample in units of the layer's scale
    relative_residuals : L floats, the worst sample's |R_l| / |d_l|
    rounding_floors : L floats, the relative residual that rounding alone leaves
    tolerance : what the state is held against
    silent : (samples,), whether the output error of a sample, or what the output feels of it, is
        exactly zero
    lenient : of how many layers from the bottom it is no fault to have no shift at all

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.verification import judge
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> judge(trial, trial.at_rest(), 1e-10).worst  # nothing has shifted, though there is an error
    inf
    """

    auxiliaries: tuple[Array | None, ...]
    residual_norms: tuple[Array, ...]
    shift_norms: tuple[Array, ...]
    relative_residuals: tuple[float, ...]
    rounding_floors: tuple[float, ...]
    tolerance: float
    silent: np.ndarray
    lenient: int = 0

    @property
    def worst(self) -> float:
        """The largest relative residual (infinite for a state that is not finite)."""
        if any(math.isnan(value) for value in self.relative_residuals):
            return math.inf
        return max(self.relative_residuals)

    @cached_property
    def by_sample(self) -> np.ndarray:
        """Relative residuals (L, samples): NaN for a state that is not finite."""
        rows: list[np.ndarray] = []
        for residual, shift in zip(self.residual_norms, self.shift_norms, strict=True):
            residual, shift = flattened(residual), flattened(shift)
            silent = self.silent | True if len(rows) < self.lenient else self.silent
            rows.append(relative_to(shift, residual, silent))
        return np.array(rows)

    def samples(self, rows: Sequence[int]) -> Judgement:
        """The same of some samples of the batch (of one network, not of a stack)."""

        def few(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
            return tuple(None if array is None else take_rows(array, rows) for array in arrays)

        return replace(
            self,
            auxiliaries=few(self.auxiliaries),
            residual_norms=few(self.residual_norms),
            shift_norms=few(self.shift_norms),
            relative_residuals=tuple(map(float, self.by_sample[:, list(rows)].max(axis=1))),
            silent=self.silent[list(rows)],
        )


def relative_to(whole: np.ndarray, part: np.ndarray, silent: np.ndarray) -> np.ndarray:
    """Part / whole of every sample; infinite where there is no whole, and also 0/0, unless the
    sample is `silent`, which has no output error: then nothing is the right answer. NaN where the
    whole is beyond all floats: beside it everything would be nothing.
    """
    nothing = whole == 0
    found = part / np.where(nothing, 1.0, np.where(np.isinf(whole), np.nan, whole))
    right = silent & (part == 0)
    return np.asarray(np.where(nothing & ~np.isnan(part), np.where(right, 0.0, np.inf), found))


def jumps_at_kinks(trial: Trial) -> bool:
    """Whether what is sent down jumps: the GAIT circuit of units with kinks.

    See docs/derivation.md, section 4.
    """
    gait = trial.circuit.pathway.gradient_adjusted
    return gait and any(map(has_kink, trial.network.activations))


def judge(trial: Trial, shifts: Shifts, tolerance: float) -> Judgement:
    """Measure `shifts` against the equations.

    Parameters
    ----------
    tolerance
        Below it, an upper bound of the residual is good enough; above it, the residual is computed
        unless the weights are so near to orthogonal that the bound is the residual.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.verification import judge
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> judge(trial, settle(trial).shifts, 1e-10).worst < 1e-12
    True
    """
    circuit, network = trial.circuit, trial.network
    auxiliaries: list[Array | None] = []
    residual_norms, shift_norms, relative, floors = [], [], [], []
    xp = namespace(trial.error)
    # with no error, or none that is felt, nothing is the right answer
    silent = xp.all((trial.error == 0) | (circuit.strengths[-1] == 0), axis=-1)

    def measure(layer: int, residual_norm: Array) -> float:
        shift = shifts.values[layer - 1][..., : network.n_projecting(layer)]
        shift_norms.append(row_norms(shift))
        return _relative(residual_norm, shift_norms[-1], silent)

    def measure_other(layer: int, residual: Array, above: LayerTerms | None = None) -> None:
        """Where feedback is not the exact inverse, which may leave a layer without any shift."""
        n, whole = network.n_projecting(layer), shifts.values[layer - 1]
        if trial.is_free:  # in a free phase nothing need shift: it is held against the rates
            whole = whole + trial.activity.rates[layer]
        residual_norm = row_norms(residual)
        shift_norms.append(row_norms(whole[..., :n]))
        right = silent | (trial.is_free or layer < network.depth)
        worst = _relative(residual_norm, shift_norms[-1], right)
        bent = above is not None and kinked and has_kink(network.activation(layer + 1))
        if above is not None and bent and worst > tolerance:
            *_, residual_norm = balanced_hull(trial, shifts, layer + 1, above, demand)
            worst = _relative(residual_norm, shift_norms[-1], right)
        condition = circuit.round_trips[layer - 1] if layer < network.depth else 1.0
        note(layer, residual_norm, worst, condition)

    def note(layer: int, residual_norm: Array, worst: float, condition: float) -> None:
        residual_norms.append(residual_norm)
        relative.append(worst)
        rounding = product_rounding(epsilon(trial.error), network.n_projecting(layer))
        floors.append(rounding * (1 + condition))

    kinked = jumps_at_kinks(trial)
    # layer by layer, so that a deep circuit's terms are never held all at once
    exact, demand = circuit.feedback is None, None
    for layer, terms in enumerate(layer_terms(trial, shifts, push_demands=exact), 1):
        n = network.n_projecting(layer)
        driven, auxiliary = terms.feedforward_shift, n < network.widths[layer]
        auxiliaries.append(None if driven is None or not auxiliary else +driven[..., n:])
        if not exact:
            if layer > 1:
                weight = circuit.strength(layer - 1) * scale_ratio(shifts, layer, layer - 1)
                residual = demand - weight * circuit.pull(layer, terms.message)
                measure_other(layer - 1, residual, terms)
            if layer == network.depth:
                measure_other(layer, terms.demand)
            demand = terms.demand
            continue
        if layer > 1:
            below, here = layer - 1, network.factors[layer - 1]
            weight = circuit.strength(below) * scale_ratio(shifts, layer, below)
            pushed = terms.demand_drive - weight * terms.message
            residual_norm = here.inverse_norm * row_norms(pushed)
            worst = measure(below, residual_norm)
            if not (worst <= tolerance or here.condition < NEAR):
                residual_norm = row_norms(here.solve(pushed))
                worst = _relative(residual_norm, shift_norms[-1], silent)
            if worst > tolerance and kinked and has_kink(network.activation(layer)):
                at_kinks = _residual_at_kinks(trial, shifts, layer, terms, weight)
                if at_kinks is not None:
                    residual_norm = namespace(pushed).minimum(residual_norm, at_kinks)
                    worst = _relative(residual_norm, shift_norms[-1], silent)
            note(below, residual_norm, worst, here.condition)
        if layer == network.depth:
            residual_norm = row_norms(terms.demand)
            note(layer, residual_norm, measure(layer, residual_norm), 1.0)
    return Judgement(
        tuple(auxiliaries),
        tuple(residual_norms),
        tuple(shift_norms),
        tuple(relative),
        tuple(floors),
        tolerance,
        to_numpy(silent).reshape(-1),
        0 if exact else network.depth if trial.is_free else network.depth - 1,
    )


def _residual_at_kinks(
    trial: Trial, shifts: Shifts, layer: int, terms: LayerTerms, weight: float
) -> Array | None:
    """|R| of the layer below `layer`, (..., batch), with the best slope at every unit of `layer`
    that is rather at its kink; how far it is from there counts as well. None where no unit is.
    """
    here = trial.network.factors[layer - 1]
    if not near_a_kink(trial, shifts, layer, terms, terms.demand_drive - weight * terms.message):
        return None
    _, message, away = balanced_messages(trial, shifts, layer, terms)
    residual = row_norms(here.solve(terms.demand_drive - weight * message))
    return residual + here.inverse_norm * row_norms(away)


def _relative(residual: Array, shift: Array, silent: Array) -> float:
    """Worst |R|/|d| over samples; 0/0 counts as 0 where there is no error, else as infinite. NaN
    where the norm of a shift is beyond all floats.
    """
    xp = namespace(residual)
    if any_true(shift == float("inf")):
        return float("nan")
    if any_true(shift == 0):
        still = (shift == 0) & (residual == 0) & silent
        residual = xp.where(still, xp.zeros_like(residual), residual)
        shift = xp.where(still, xp.ones_like(shift), shift)
        if any_true(shift == 0):
            return float("inf")
    return largest(residual / shift)
