"""Every sample by itself: a step for a batch, without those samples with which it cannot be made.

Owns how such samples are found and left out, so that all others are where they would be without
them, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from circuit.errors import NotFinite, TargetOutOfRange
from circuit.method import Progress
from circuit.numerics.arrays import all_finite, finite_rows

Run = Callable[[Sequence[int]], Progress]  # a step for the samples at those places of a batch


def apart(run: Run, samples: int) -> tuple[Progress | None, list[int]]:
    """The state of those samples that have one, and the places of the others.

    None where no sample has one. With the samples that have none the step is made again without
    them, as often as it takes.
    """
    going: list[int] = list(range(samples))
    gone: list[int] = []
    while going:
        progress, lost = _tried(run, going)
        if not lost:
            return progress, sorted(gone)
        gone += lost
        going = sorted(set(going) - set(lost))
    return None, gone


def _tried(run: Run, places: list[int]) -> tuple[Progress | None, list[int]]:
    """The step for some samples, and those of them for which it gives nothing finite.

    Where the step is refused for all of them, each half is tried by itself.
    """
    try:
        progress = run(places)
    except (TargetOutOfRange, NotFinite):
        middle = len(places) // 2
        if middle == 0:
            return None, places
        lost = _tried(run, places[:middle])[1] + _tried(run, places[middle:])[1]
        return None, lost or places
    values = progress.shifts.values
    if all_finite(values):
        return progress, []
    return progress, [places[i] for i in (~finite_rows(values)).nonzero()[0]]
