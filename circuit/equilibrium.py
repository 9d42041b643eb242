"""The front door: settle a circuit and get one record that says what became of it.

Owns the loop over steps, the budget, the verdict, and the record. Does not own the methods (one
file each in `circuit.methods`) nor the ruler (`circuit.verification.judgement`).

Samples of a batch do not interact. Those that have converged are set aside, and only the others go
on. So are those that have no state, such as one whose target is out of the range of its units: the
others are where they would be without it.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from circuit.brief import Brief, Rows, batch_of
from circuit.dynamics import Circuit, Trial
from circuit.errors import CircuitError, NotFinite, NotSettled, TargetOutOfRange
from circuit.given import is_whole, real, require_choice, require_flag, require_kind, shown
from circuit.method import Method, Progress
from circuit.methods.apart import apart
from circuit.methods.down_and_up import mismatches_from_above
from circuit.methods.table import METHODS
from circuit.numerics.arrays import (
    Array,
    any_true,
    epsilon,
    is_numpy,
    namespace,
    require_samples,
)
from circuit.reached import reached
from circuit.shift_dynamics import layer_terms
from circuit.shifts import ONE, Shifts, joined, require_readout
from circuit.verification import kinks
from circuit.verification.bounds import relative_error_bounds
from circuit.verification.judgement import NEAR, Judgement, Status, judge
from circuit.verification.samples import Batch, worst_of
from circuit.verification.sliding import sliding_slopes


@dataclass(frozen=True, eq=False, repr=False)
class Equilibrium(Brief):
    """What became of an attempt to settle a circuit.

    Attributes
    ----------
    trial : what was settled; of a plain circuit its nudged phase, which begins at the free one
    shifts : delta_l = y_l - y_l^f of the layers 1 .. L, with y^f the trial's `activity`
    status : of the whole; CONVERGED if every sample is
    sample_status : one per sample, in the order of the batch (of a stack, one for each entry of
        its flattened (..., batch))
    relative_residuals : L floats, the worst sample's |R_l| / |delta_l|, auxiliary units left out
    tolerance : what they were held against
    evaluations : passes over all layers that the method took
    steps : states that were judged
    model_time : seconds of the circuit's own time, or None for a method without a clock
    seconds : wall-clock time
    method : its name; "direct and newton" where the default method needed both
    free : the record of the free phase of a plain circuit, from the forward pass on, with the same
        statuses: what has none cannot be nudged. None for others, whose free phase is that pass.
    """

    trial: Trial
    shifts: Shifts
    status: Status
    sample_status: tuple[Status, ...]
    relative_residuals: tuple[float, ...]
    tolerance: float
    evaluations: int
    steps: int
    model_time: float | None
    seconds: float
    method: str
    free: Equilibrium | None = None

    def _words(self) -> list[str]:
        words = [
            self.status.value,
            batch_of(self.trial.error.shape),
            f"worst residual {max(self.relative_residuals):.1g}",
        ]
        bad = sum(status is not Status.CONVERGED for status in self.sample_status)
        if bad:
            return [*words, f"{bad} not settled"]
        # a bound takes singular values, which a line about a large network does not wait for
        if "error_bounds" in vars(self) or sum(self.trial.network.widths) <= QUICK:
            words.append(f"bound {max(self.error_bounds):.1g}")
        return words

    def _rows(self) -> Rows:
        return [
            ("layer", "relative residual"),
            *((layer, f"{size:.1e}") for layer, size in enumerate(self.relative_residuals, 1)),
        ]

    @property
    def converged(self) -> bool:
        """Whether every sample is at equilibrium within the tolerance."""
        return self.status is Status.CONVERGED

    @cached_property
    def mismatches(self) -> Shifts:
        """m_l = y_l - g_l(y_{l-1}), in the scales of the shifts; computed when first read.

        Of a plain circuit with what it is in the free phase, and then in units of the rates.
        """
        terms = layer_terms(self.trial, self.shifts)
        found = self.shifts.with_values(tuple(layer.mismatch for layer in terms))
        return found if self.trial.still is None else _with_still(found, self.trial.still)

    @cached_property
    def activities(self) -> tuple[Array, ...]:
        """y_1 .. y_L at the equilibrium, `(..., batch, N_l)`."""
        rates = self.trial.activity.rates
        return tuple(rates[layer] + self.shifts.absolute(layer) for layer in range(1, len(rates)))

    @cached_property
    def error_bounds(self) -> tuple[float, ...]:
        """For each layer, a bound on |delta - delta*| / |delta|, the worst sample.

        delta* is the true shift of the network with these weights. Computed when first read; see
        `circuit.verification.bounds`.
        """
        return relative_error_bounds(self.trial, self.shifts)

    @cached_property
    def sliding_slopes(self) -> tuple[Array, ...]:
        """For each layer, `(..., batch, N_l)`: the slope of every unit that rests at its kink, 0 of
        all others. The shifts, and an update made from them, are those of that state.

        Computed when first read; see `circuit.verification.sliding`.
        """
        return sliding_slopes(self.trial, self.shifts)

    def read_out(self, readout: str = "shift") -> Shifts:
        """The layers' local error signals: "shift" or "mismatch" (docs/derivation.md, section 4).

        Raises `CircuitError` for any other name.
        """
        require_readout(readout)
        return self.shifts if readout == "shift" else self.mismatches

    def report(self, readout: str = "shift") -> Any:
        """Whose weight change the circuit carries: `print` it, or see its `verdict`.

        Parameters and errors as `circuit.report.comparison.report`.
        """
        return reached("circuit.report.comparison.report")(self, readout)

    def to_xarray(self, readout: str = "shift") -> Any:
        """All that is known of it as labelled arrays (`circuit.report.comparison.as_dataset`)."""
        found = self.report(readout)
        return reached("circuit.report.comparison.as_dataset")(found, np.random.default_rng(0))

    def plot(self, readout: str = "shift") -> Any:
        """A figure of sizes and agreement, which a notebook shows; `savefig` writes it."""
        return reached("circuit.report.picture.picture")(self.report(readout))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to an .npz file without pickles, which is a weights file too.

        Raises `CircuitError` as `circuit.storage.networks.save_network`.
        """
        reached("circuit.storage.records.save_record")(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Equilibrium:
        """What `save` wrote, bit for bit, as NumPy arrays. Raises `CircuitError`."""
        record: Equilibrium = reached("circuit.storage.records.load_record")(path)
        return record

    def failure(self) -> str:
        """One line: which layer did not settle, how, and what may help."""
        worst = max(range(len(self.relative_residuals)), key=self.relative_residuals.__getitem__)
        bad = sum(status is not Status.CONVERGED for status in self.sample_status)
        return (
            f"{self.method}: {self.status.value} after {self.steps} steps; "
            f"{bad} of {len(self.sample_status)} samples, worst in layer {worst + 1} with relative "
            f"residual {self.relative_residuals[worst]:.2g} (tolerance {self.tolerance:.2g}); "
            f"{self._remedy()}"
        )

    def _remedy(self) -> str:
        """What may help, with the reason where it is known."""
        exact = self.trial.circuit.feedback is None
        tried = self.method.split(" and ")
        others = [name for name in OTHER_METHODS.get(self.status, ()) if name not in tried]
        others = [name for name in others if exact or not METHODS[name]().exact_only]
        instead = f", or use method {' or '.join(others)}" if others else ""
        failed = [status is not Status.CONVERGED for status in self.sample_status]
        if self.status in OTHER_METHODS and (
            reason := kinks.words(self.trial, self.shifts, failed)
        ):
            return (
                f"{reason}: use smooth units (asinh), the itp pathway, fewer layers or weaker "
                f"feedback{instead}"
            )
        remedy = REMEDIES[self.status]
        if (
            exact
            and self.status is Status.DIVERGED
            and any(factor.condition > NEAR for factor in self.trial.network.factors[1:])
        ):
            feedback = "weaker feedback"
            remedy = remedy.replace(feedback, f"{feedback} or orthogonal weights")
        return remedy + instead


# A large batch is settled block by block, so that what a method holds on its way stays small beside
# the result: about so many rates in a block, but never fewer samples than make a product quick.
BLOCK_ENTRIES = 2**19
SMALLEST_BLOCK = 64
QUICK = 1024  # units in all, of which a bound is had in a few hundredths of a second

DEFAULT = "default"  # in place of a method's name
SECOND = "newton"  # where no method was named and the first did not find an equilibrium
SEARCHED_UNITS = 1024  # up to so many in all layers
UNFOUND = {Status.DIVERGED, Status.CYCLING, Status.OUT_OF_BUDGET, Status.NOT_FINITE}

REMEDIES: dict[Status, str] = {
    Status.CONVERGED: "nothing to do",
    Status.DIVERGED: "use weaker feedback, or targets that the units can reach",
    Status.CYCLING: "strong feedback may have no equilibrium that is stable: try weaker feedback "
    "or smooth units (asinh)",
    Status.OUT_OF_BUDGET: "allow more steps",
    Status.NOT_FINITE: "use weaker feedback or smaller weights",
    Status.NOT_RESOLVABLE: "use float64, better conditioned weights, or a larger tolerance",
}

OTHER_METHODS: dict[Status, tuple[str, ...]] = {  # that may help where one has failed
    Status.DIVERGED: ("newton", "ode"),
    Status.CYCLING: ("newton",),
    Status.OUT_OF_BUDGET: ("direct", "newton"),
    Status.NOT_FINITE: ("newton",),
}


def default_method(circuit: Circuit) -> str:
    """The method that settles a circuit where none is named."""
    return "direct" if circuit.feedback is None else "sweep"


def default_tolerance(array: Array) -> float:
    """Relative residual asked of every layer by default: eps^0.64, 1e-10 or 4e-5.

    Above the rounding of a product with moderately conditioned weights (eps^0.9), below what any
    comparison of updates can see.
    """
    return epsilon(array) ** 0.64


@np.errstate(all="ignore")  # what overflows on the way is judged, not printed
def settle(
    trial: Trial,
    method: str = DEFAULT,
    *,
    tolerance: float | None = None,
    max_steps: int | None = None,
    must_converge: bool = True,
    **options: Any,
) -> Equilibrium:
    """Bring a circuit to its equilibrium.

    Parameters
    ----------
    trial : from `dynamics.begin`
    method
        A name in `circuit.methods.table.METHODS`; docs/numerics.md says which when. "default" is
        direct, and sweep where feedback is not the exact inverse; without `max_steps` and options,
        newton then looks for what these did not find (NumPy, one network of up to 1024 units).
    tolerance
        Relative residual to reach in every layer of every sample; `default_tolerance` if None.
    max_steps : budget of steps; the method's own if None
    must_converge
        True: anything but convergence raises. False: the record says what happened.
    options : of the method (see its `start`)

    Raises
    ------
    NotSettled
        With the record in its attribute `record`.
    CircuitError
        For an unknown method, a tolerance that is not positive and below 1, or an empty batch.
    """
    began = time.perf_counter()
    require_kind("trial", trial, Trial)
    second = method == DEFAULT and max_steps is None and not options
    method = default_method(trial.circuit) if method == DEFAULT else method
    require_choice("method", method, METHODS)
    require_flag("must_converge", must_converge)
    chosen = METHODS[method]()
    if chosen.exact_only and trial.circuit.feedback is not None:
        raise CircuitError(
            f"method {method} needs the exact inverse as feedback; use sweep, newton or ode"
        )
    if chosen.numpy_only and not (is_numpy(trial.error) and trial.error.ndim == 2):
        raise CircuitError(
            f"method {method} needs NumPy arrays and one network; use direct or sweep, or convert"
        )
    if tolerance is None:
        tolerance = default_tolerance(trial.error)
    elif not 0 < (tolerance := real("tolerance", tolerance)) < 1:
        raise CircuitError(
            f"tolerance {tolerance} is not positive and below 1; use for example 1e-10"
        )
    require_samples(trial.error)
    budget = chosen.budget if max_steps is None else max_steps
    if not (is_whole(budget) and budget >= 1):
        raise CircuitError(f"max_steps {shown(budget)} leaves no whole step; give 1 or more")
    chosen.require_options(options)

    def settle_phase(trial: Trial) -> Equilibrium:
        found = _settle_all(trial, chosen, tolerance, budget, options)
        return _with_second(found) if second else found

    trial = trial.from_forward_pass()
    if trial.is_free:
        free = settle_phase(trial)
        trial = trial.resting(_mismatches_at_rest(free))
        record = _after(free, settle_phase(trial))
    else:
        record = settle_phase(trial)
    record = replace(record, seconds=time.perf_counter() - began)
    if must_converge and not record.converged:
        raise NotSettled(record.failure(), record)
    return record


def _settle_all(
    trial: Trial, chosen: Method, tolerance: float, budget: int, options: dict[str, Any]
) -> Equilibrium:
    """All samples of `trial`, a large batch block by block."""
    batch = trial.error.shape[-2]
    size = max(SMALLEST_BLOCK, BLOCK_ENTRIES // sum(trial.network.widths))
    if trial.error.ndim != 2 or batch <= size:
        return _settle_block(trial, chosen, tolerance, budget, options)
    blocks = [range(first, min(first + size, batch)) for first in range(0, batch, size)]
    return _joined(
        [
            # with the whole trial, so that the block's own arrays are let go
            replace(
                _settle_block(trial.samples(rows), chosen, tolerance, budget, options),
                trial=trial,
            )
            for rows in blocks
        ]
    )


def _with_second(found: Equilibrium) -> Equilibrium:
    """The record with what `SECOND` settles of the samples that it did not."""
    trial = found.trial
    left = [i for i, status in enumerate(found.sample_status) if status in UNFOUND]
    small = sum(trial.network.widths[1:]) <= SEARCHED_UNITS
    if not (left and small and is_numpy(trial.error) and trial.error.ndim == 2):
        return found
    second = METHODS[SECOND]()
    again = _settle_all(trial.samples(left), second, found.tolerance, second.budget, {})
    statuses = list(found.sample_status)
    better = [i for i, one in enumerate(again.sample_status) if one is Status.CONVERGED]
    method = f"{found.method} and {again.method}"
    if not better:
        return replace(found, method=method)
    for place in better:
        statuses[left[place]] = Status.CONVERGED
    rows = [left[place] for place in better]
    shifts = found.shifts.with_rows(rows, again.shifts.samples(better))
    return replace(
        found,
        shifts=shifts,
        status=worst_of(statuses),
        sample_status=tuple(statuses),
        relative_residuals=_worst_residuals(trial, shifts, found.tolerance),
        evaluations=found.evaluations + again.evaluations,
        steps=found.steps + again.steps,
        method=method,
    )


def _worst_residuals(trial: Trial, shifts: Shifts, tolerance: float) -> tuple[float, ...]:
    """The worst sample's, for every layer; infinite for a state that is none."""
    try:
        found = judge(trial, shifts, tolerance).relative_residuals
    except (TargetOutOfRange, NotFinite):
        return (math.inf,) * trial.network.depth
    return tuple(math.inf if math.isnan(value) else value for value in found)


def _settle_block(
    trial: Trial, chosen: Method, tolerance: float, budget: int, options: dict[str, Any]
) -> Equilibrium:
    """The loop over steps, for all samples of `trial` at once."""
    batch = Batch(trial, tolerance, chosen)
    steps, evaluations, model_time = 1, 0, None
    progress = _apart(batch, None, lambda part, _: chosen.start(part, tolerance, **options))
    while progress is not None:
        evaluations += progress.evaluations + 1
        if progress.model_time is not None:
            model_time = (model_time or 0.0) + progress.model_time
        judgement = judge(batch.part, progress.shifts, tolerance)
        undecided = batch.note(progress, judgement, last=steps >= budget)
        if not undecided:
            break
        progress = batch.narrow(progress, undecided)
        if len(undecided) < len(judgement.silent):
            judgement = judgement.samples(undecided)
        progress = _apart(
            batch,
            (progress, judgement),
            lambda part, last: chosen.step(part, *last, **options),
        )
        steps += 1
    return Equilibrium(
        trial=trial,
        shifts=batch.shifts,
        status=batch.worst_status,
        sample_status=tuple(status for status in batch.statuses if status is not None),
        relative_residuals=batch.relative_residuals,
        tolerance=tolerance,
        evaluations=evaluations,
        steps=steps,
        model_time=model_time,
        seconds=0.0,
        method=chosen.name,
    )


Last = tuple[Progress, Judgement]


def _apart(
    batch: Batch, last: Last | None, step: Callable[[Trial, Any], Progress]
) -> Progress | None:
    """A step from the `last` state for all active samples of a batch, of which those that have
    none are given up; None if there are no others.
    """
    part = batch.part
    if part.error.ndim != 2:  # a stack is not taken apart: what is not finite goes on beside others
        return step(part, last)

    def run(rows: Sequence[int]) -> Progress:
        if len(rows) == part.error.shape[0]:
            return step(part, last)
        few = None if last is None else tuple(one.samples(rows) for one in last)
        return step(part.samples(rows), few)

    progress, gone = apart(run, part.error.shape[0])
    batch.give_up(gone)
    return progress


def _mismatches_at_rest(free: Equilibrium) -> tuple[Array, ...]:
    """Those of a free phase, `(..., batch, N_l)`; 0 where it came to nothing finite.

    From what feedback makes of the state, since they may be far smaller than what its rates are
    settled to.
    """
    found = []
    for mismatch in mismatches_from_above(free.trial, free.shifts):
        xp = namespace(mismatch)
        sound = xp.all(xp.isfinite(mismatch), axis=-1, keepdims=True)
        found.append(xp.where(sound, mismatch, xp.zeros_like(mismatch)))
    return tuple(found)


def _after(free: Equilibrium, nudged: Equilibrium) -> Equilibrium:
    """One record of both phases of a plain circuit."""
    pairs = zip(free.sample_status, nudged.sample_status, strict=True)
    statuses = tuple(after if before is Status.CONVERGED else before for before, after in pairs)
    residuals = zip(free.relative_residuals, nudged.relative_residuals, strict=True)
    times = [one.model_time for one in (free, nudged) if one.model_time is not None]
    return replace(
        nudged,
        status=worst_of(statuses),
        sample_status=statuses,
        relative_residuals=tuple(max(layer) for layer in residuals),
        evaluations=free.evaluations + nudged.evaluations,
        steps=free.steps + nudged.steps,
        model_time=sum(times) if times else None,
        free=free,
    )


def _with_still(mismatches: Shifts, still: Sequence[Array]) -> Shifts:
    """What the nudge makes of the mismatches, and those of the free phase `(..., batch, N_l)`."""
    values, scales = list(mismatches.values), list(mismatches.scales)
    for i, own in enumerate(still):
        if any_true(own != 0):  # in their scale, that of the nudge, they might overflow
            values[i], scales[i] = own + mismatches.absolute(i + 1), ONE
    return replace(mismatches, values=tuple(values), scales=tuple(scales))


def _joined(parts: list[Equilibrium]) -> Equilibrium:
    """One record of the blocks of a batch."""
    first = parts[0]
    shifts = joined([part.shifts for part in parts])
    times = [part.model_time for part in parts if part.model_time is not None]
    return replace(
        first,
        shifts=shifts,
        status=worst_of([part.status for part in parts]),
        sample_status=tuple(status for part in parts for status in part.sample_status),
        relative_residuals=tuple(
            max(layer) for layer in zip(*(p.relative_residuals for p in parts), strict=True)
        ),
        evaluations=max(part.evaluations for part in parts),
        steps=max(part.steps for part in parts),
        model_time=max(times, default=None),
    )
