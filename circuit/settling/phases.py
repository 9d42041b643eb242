"""A plain circuit comes to rest twice: without its nudge, and with it."""

from __future__ import annotations

from dataclasses import replace

from circuit.methods.down_and_up import mismatches_from_above
from circuit.numerics.arrays import Array, namespace
from circuit.outcome import Equilibrium
from circuit.verification.judgement import Status
from circuit.verification.samples import worst_of


def mismatches_at_rest(free: Equilibrium) -> tuple[Array, ...]:
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


def both_phases(free: Equilibrium, nudged: Equilibrium) -> Equilibrium:
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
