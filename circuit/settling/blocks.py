"""A large batch settled block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from circuit.method import Method
from circuit.numerics.arrays import namespace
from circuit.numerics.scale import times
from circuit.outcome import Equilibrium
from circuit.settling.loop import settle_block
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.samples import worst_of

# A large batch is settled block by block, so that what a method holds on its way stays small beside
# the result: about so many rates in a block, but never fewer samples than make a product quick.
BLOCK_ENTRIES = 2**19
SMALLEST_BLOCK = 64


def settle_all(
    trial: Trial, chosen: Method, tolerance: float, budget: int, options: dict[str, Any]
) -> Equilibrium:
    """All samples of `trial`, a large batch block by block.

    Examples
    --------
    >>> from circuit import METHODS, begin, build_circuit, initialise
    >>> from circuit.settling import settle_all
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> settle_all(trial, METHODS["direct"](), 1e-10, 10, {}).converged
    True
    """
    batch = trial.error.shape[-2]
    size = max(SMALLEST_BLOCK, BLOCK_ENTRIES // sum(trial.network.widths))
    if trial.error.ndim != 2 or batch <= size:
        return settle_block(trial, chosen, tolerance, budget, options)
    blocks = [range(first, min(first + size, batch)) for first in range(0, batch, size)]
    return _joined(
        [
            # with the whole trial, so that the block's own arrays are let go
            replace(
                settle_block(trial.samples(rows), chosen, tolerance, budget, options),
                trial=trial,
            )
            for rows in blocks
        ]
    )


def _joined(parts: list[Equilibrium]) -> Equilibrium:
    """One record of the blocks of a batch."""
    first = parts[0]
    shifts = _joined_shifts([part.shifts for part in parts])
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


def _joined_shifts(parts: Sequence[Shifts]) -> Shifts:
    """The shifts of the blocks of a batch, in the scales of the first block.

    The blocks' scales differ by powers of two, so that nothing is rounded.
    """
    first, values = parts[0], []
    for layer in range(1, first.depth + 1):
        scaled = [
            times(part.values[layer - 1], part.scales[layer - 1].over(first.scales[layer - 1]))
            for part in parts
        ]
        values.append(namespace(scaled[0]).concat(scaled, axis=-2))
    return first.with_values(tuple(values))
