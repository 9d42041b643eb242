"""The loop over steps: judge the state of every sample, and let a method improve those that go on.

Samples of a batch do not interact. Those that have converged are set aside, and only the others go
on. So are those that have no state, such as one whose target is out of the range of its units: the
others are where they would be without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from circuit.method import Method, Progress
from circuit.methods.apart import apart
from circuit.outcome import Equilibrium
from circuit.trial import Trial
from circuit.verification.judgement import Judgement, judge
from circuit.verification.samples import Batch

Last = tuple[Progress, Judgement]


def settle_block(
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
