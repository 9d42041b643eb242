"""A batch on its way to equilibrium: which samples are done, and what became of each.

Owns the verdict on every sample from the history of its residuals, and the bookkeeping that lets
finished samples rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from circuit.errors import NotFinite, TargetOutOfRange
from circuit.method import Method, Progress
from circuit.numerics.arrays import (
    Array,
    finite_rows,
    flattened,
    namespace,
    put_rows,
    row_norms,
    take_rows,
)
from circuit.shift_dynamics import scale_ratio
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.judgement import Judgement, Status, judge, jumps_at_kinks

RISE_OF_DIVERGENCE = 1e3  # a residual this much over its lowest is on its way out
LONGEST_CYCLE = 8  # in steps
SAME = 1e-6  # two residuals that differ by less, relatively, count as the same
HARDLY = 1e-2  # of the tolerance: a change below it does not count
ROUNDING_SLACK = 16  # residuals up to this much over their rounding floor are put down to rounding

WORST_FIRST = (
    Status.NOT_FINITE,
    Status.DIVERGED,
    Status.CYCLING,
    Status.OUT_OF_BUDGET,
    Status.NOT_RESOLVABLE,
    Status.CONVERGED,
)


class Batch:
    """The samples of a trial, those that are decided and those that go on.

    Attributes
    ----------
    part : the trial of the samples that go on
    shifts : the latest state of every sample
    statuses : one per sample, None while undecided
    """

    def __init__(self, trial: Trial, tolerance: float, method: Method) -> None:
        self.part = self._trial = trial
        self.shifts = trial.at_rest()
        self.tolerance = tolerance
        self.method = method
        self.n_samples = int(np.prod(trial.error.shape[:-1]))
        self.statuses: list[Status | None] = [None] * self.n_samples
        self.residuals = np.full((trial.network.depth, self.n_samples), np.inf)
        self._splittable = trial.error.ndim == 2
        self._jumps = jumps_at_kinks(trial)
        self._active = list(range(self.n_samples))
        self._history: list[np.ndarray] = []  # worst residual of each active sample, by step

    @property
    def worst_status(self) -> Status:
        """The status of the batch: that of the sample that fared worst."""
        return worst_of([status for status in self.statuses if status is not None])

    @property
    def relative_residuals(self) -> tuple[float, ...]:
        """The worst sample's relative residual, for every layer."""
        worst = self.residuals.max(axis=1)
        return tuple(float("inf") if math.isnan(value) else float(value) for value in worst)

    def note(self, progress: Progress, judgement: Judgement, *, last: bool) -> list[int]:
        """Take in a judged state. Returns the places, among the active samples, still undecided."""
        kept = progress.shifts.with_values(
            _with_exact_auxiliaries(progress.shifts, judgement.auxiliaries)
        )
        self._store(kept)
        residuals = self._as_kept(progress.shifts, kept, judgement, last)
        self.residuals[:, self._active] = residuals
        worst = residuals.max(axis=0)
        self._history.append(worst)
        floors = np.array(judgement.rounding_floors)[:, None]
        if progress.floors is not None:
            floors = np.maximum(floors, progress.floors)
        floors = np.maximum(self.tolerance, ROUNDING_SLACK * floors)
        near_floor = (residuals <= floors).all(axis=0)
        undecided = []
        for place, sample in enumerate(self._active):
            status = self._verdict(place, bool(near_floor[place]), last)
            if status is None:
                undecided.append(place)
            self.statuses[sample] = status
        if not self._splittable and undecided:
            return list(range(len(self._active)))
        return undecided

    def give_up(self, places: Sequence[int]) -> None:
        """Let active samples rest whose next state is none: the last one is kept."""
        if not places:
            return
        fates = self._fates
        for place in places:
            self.statuses[self._active[place]] = fates[self._active[place]]
        gone = set(places)
        self._keep([place for place in range(len(self._active)) if place not in gone])

    @cached_property
    def _fates(self) -> tuple[Status, ...]:
        """What to call a sample that came to a state that is none."""
        trial, units = self._trial, self._trial.network.activations
        sound = finite_rows((trial.error, *trial.activity.rates, *trial.activity.drives))
        try:
            lost = np.isnan(judge(trial, trial.at_rest(), self.tolerance).by_sample).any(axis=0)
        except (TargetOutOfRange, NotFinite):
            lost = np.zeros_like(sound)
        bounded = any(unit.inverse_difference_or_nan is not None for unit in units)
        usual = Status.DIVERGED if bounded else Status.NOT_FINITE
        # rates that have come to the end of their range, to rounding, have no inverse at rest
        return tuple(
            Status.NOT_FINITE if not whole else Status.NOT_RESOLVABLE if saturated else usual
            for whole, saturated in zip(sound, lost, strict=True)
        )

    def _verdict(self, place: int, near_floor: bool, last: bool) -> Status | None:
        past = [float(worst[place]) for worst in self._history]
        now = past[-1]
        if math.isnan(now):
            return self._fates[self._active[place]]
        if now <= self.tolerance:
            return Status.CONVERGED
        if near_floor and len(past) > 2 and now > 0.5 * min(past[-3:-1]):
            return Status.NOT_RESOLVABLE
        if not self.method.restless:
            if now > RISE_OF_DIVERGENCE * min(past):
                return Status.DIVERGED
            recent, before = past[-self.method.patience :], past[: -self.method.patience]
            stands = self._jumps and before and min(recent) >= self.method.gain * min(before)
            if stands or repeats(past):
                return Status.CYCLING
        if last:
            return Status.NOT_RESOLVABLE if near_floor else Status.OUT_OF_BUDGET
        return None

    def narrow(self, progress: Progress, undecided: Sequence[int]) -> Progress:
        """Let the decided samples rest; returns the state of the others."""
        if not self._splittable or len(undecided) == len(self._active):
            return progress
        self._keep(undecided)
        return progress.samples(undecided)

    def _keep(self, places: Sequence[int]) -> None:
        if not places:  # the part keeps its last samples, since a batch of none is none
            self._active = []
            return
        self.part = self.part.samples(places)
        self._active = [self._active[place] for place in places]
        self._history = [worst[list(places)] for worst in self._history]

    def _as_kept(
        self, judged: Shifts, kept: Shifts, judgement: Judgement, last: bool
    ) -> np.ndarray:
        """Relative residuals (L, active samples) of the state that is kept, in which units without
        feedback follow what drives them: they are sent down too. Of samples that would be done; it
        is judged anew where that may take it over the tolerance.
        """
        residuals = judgement.by_sample
        done = (residuals.max(axis=0) <= self.tolerance) | last
        if not done.any():
            return residuals
        with np.errstate(all="ignore"):  # of rates at the end of their range, whose slope is none
            more = self._moved(judged, kept, judgement)
        done &= more.max(axis=0) > HARDLY * self.tolerance
        residuals = np.where(done, residuals + more, residuals)
        rows = np.flatnonzero(done & (residuals.max(axis=0) > self.tolerance)).tolist()
        if rows and not self._splittable:
            return judge(self.part, kept, self.tolerance).by_sample
        if rows:
            part, values = self.part.samples(rows), [take_rows(one, rows) for one in kept.values]
            few = kept.with_values(tuple(values))
            residuals[:, rows] = judge(part, few, self.tolerance).by_sample
        return residuals

    def _moved(self, judged: Shifts, kept: Shifts, judgement: Judgement) -> np.ndarray:
        """By how much the residual of every layer may have grown, relative to its shift, (L, active
        samples): what the units above it send down otherwise, to first order, and a margin.
        """
        part, circuit = self.part, self.part.circuit
        found = np.zeros((part.network.depth, len(self._active)))
        for layer in range(2, part.network.depth + 1):
            old, new = judged.values[layer - 1], kept.values[layer - 1]
            if old is new:
                continue
            if circuit.feedback is None:
                back = part.network.factors[layer - 1].inverse_norm
            else:
                back = circuit.feedback.norms[layer - 2]
            weight = circuit.strength(layer - 1) * scale_ratio(kept, layer, layer - 1)
            whole = flattened(judgement.shift_norms[layer - 2])
            reach = back * weight / np.where(whole > 0, whole, 1.0)
            unit, gap = part.network.activation(layer), new - old
            if unit.smallest_slope > 0 and not circuit.pathway.row_adjusted:
                # at the most, which mostly is nothing that counts
                steepest = (unit.largest_slope / unit.smallest_slope) ** 2 * unit.largest_slope
                found[layer - 2] = reach * steepest * flattened(row_norms(gap))
                if np.all(found[layer - 2] <= HARDLY * self.tolerance):
                    continue
            slope = part.activity.slope(layer)
            change = circuit.by_rows(layer, circuit.pathway.local(slope, gap)) / slope
            if unit.piecewise_linear:  # another slope where the move may cross the kink
                xp = namespace(new)
                farthest = 2 * kept.scales[layer - 1].value / unit.smallest_slope
                crossing = xp.abs(part.activity.drive(layer)) <= farthest * xp.abs(new)
                steeper = unit.largest_slope / unit.smallest_slope
                change = xp.where(crossing, steeper * change, change)
            else:
                change = 2 * change  # the slope at the sender is known to a factor
            found[layer - 2] = reach * flattened(row_norms(change))
        return found

    def _store(self, shifts: Shifts) -> None:
        values = shifts.values
        if len(self._active) < self.n_samples:
            pairs = zip(self.shifts.values, values, strict=True)
            values = tuple(put_rows(old, self._active, new) for old, new in pairs)
        self.shifts = shifts.with_values(values)


def worst_of(statuses: Sequence[Status]) -> Status:
    """The status of the whole: that of the sample that fared worst."""
    return next(status for status in WORST_FIRST if status in statuses)


def _with_exact_auxiliaries(
    shifts: Shifts, auxiliaries: Sequence[Array | None]
) -> tuple[Array, ...]:
    """The shifts, with those of units that get no feedback set to what drives them."""
    return tuple(
        value
        if driven is None
        else namespace(value).concat([value[..., : -driven.shape[-1]], driven], axis=-1)
        for value, driven in zip(shifts.values, auxiliaries, strict=True)
    )


def repeats(past: list[float]) -> bool:
    """Whether the last residuals went through a cycle twice (four times for a standstill)."""
    for length in range(1, LONGEST_CYCLE + 1):
        span = max(length, 3)
        if len(past) < length + span:
            return False
        recent, before = past[-span:], past[-span - length : -length]
        if all(abs(a - b) <= SAME * a for a, b in zip(recent, before, strict=True)):
            return True
    return False
