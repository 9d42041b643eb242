"""What may help where a circuit did not settle."""

from __future__ import annotations

from collections.abc import Sequence

from circuit.methods.table import METHODS
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification import kinks
from circuit.verification.judgement import NEAR, Status

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


def remedy(
    trial: Trial, shifts: Shifts, status: Status, failed: Sequence[bool], method: str
) -> str:
    """In words, with the reason where it is known.

    Parameters
    ----------
    shifts : where the attempt ended
    failed : of every sample, whether it did not settle
    method : the name of what was tried
    """
    exact = trial.circuit.feedback is None
    tried = method.split(" and ")
    others = [name for name in OTHER_METHODS.get(status, ()) if name not in tried]
    others = [name for name in others if exact or not METHODS[name]().exact_only]
    instead = f", or use method {' or '.join(others)}" if others else ""
    if status in OTHER_METHODS and (reason := kinks.words(trial, shifts, failed)):
        return (
            f"{reason}: use smooth units (asinh), the itp pathway, fewer layers or weaker "
            f"feedback{instead}"
        )
    found = REMEDIES[status]
    if (
        exact
        and status is Status.DIVERGED
        and any(factor.condition > NEAR for factor in trial.network.factors[1:])
    ):
        feedback = "weaker feedback"
        found = found.replace(feedback, f"{feedback} or orthogonal weights")
    return found + instead
