"""Which images of a trial come to rest, within a budget that a study can afford.

Owns the methods that are tried one after the other, and their budgets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from circuit.equilibrium import settle
from circuit.network import Network
from circuit.outcome import Equilibrium
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.judgement import Status

# Steps that methods may take, so that images without an equilibrium do not cost more than all
# others: of `direct`, and of what is tried on the images that it leaves. In the GAIT circuit with
# kinks nothing settled more than next to none of those (docs/feedback_strength.md).
STEPS_OF_DIRECT = {
    ("smooth", "itp"): 16,
    ("smooth", "gait"): 16,
    ("kinked", "itp"): 100,
    ("kinked", "gait"): 40,
    ("smooth", "grait"): 16,
    ("kinked", "grait"): 40,
}
SECOND = {
    ("smooth", "itp"): ("newton", 8),
    ("smooth", "gait"): ("newton", 8),
    ("smooth", "grait"): ("newton", 8),
    ("kinked", "itp"): ("sweep", 400),
}


@dataclass(frozen=True, eq=False)
class SettledImages:
    """The images of a trial that came to rest.

    Attributes
    ----------
    trial : of those images only, or of the whole batch where none did
    shifts, mismatches : theirs
    statuses : of all images, in the order of the batch
    images : places in the batch of those that came to rest
    """

    trial: Trial
    shifts: Shifts
    mismatches: Shifts
    statuses: tuple[Status, ...]
    images: tuple[int, ...]

    @property
    def fraction(self) -> float:
        """Of the batch that came to rest."""
        return len(self.images) / len(self.statuses)

    @property
    def status(self) -> str:
        """One word or two for all of it."""
        if len(self.images) == len(self.statuses):
            return Status.CONVERGED.value
        if self.images:
            return "settled in part"
        return next(status.value for status in Status if status in self.statuses)

    def only(self, place: int) -> SettledImages:
        """One of the images that came to rest, by its place among them."""
        return replace(
            self,
            trial=self.trial.samples([place]),
            shifts=self.shifts.samples([place]),
            mismatches=self.mismatches.samples([place]),
            images=self.images[place : place + 1],
        )

    def read_out(self, readout: str) -> Shifts:
        """The layers' local error signals, "shift" or "mismatch"."""
        return self.shifts if readout == "shift" else self.mismatches


@np.errstate(all="ignore")  # images that ran out of range are left out, not printed
def settle_most(trial: Trial) -> SettledImages:
    """Bring as many images to rest as `direct` can, and after it the method in `SECOND`.

    An image that neither can settle keeps the status that `direct` gave it: within their budgets
    no equilibrium was found, which is not to say that there is none.
    """
    record = settle_directly(trial)
    second_method = SECOND.get((_kind(trial.network), trial.circuit.pathway.name))
    statuses = list(record.sample_status)
    shifts, mismatches = record.shifts, record.mismatches
    left = [i for i, status in enumerate(statuses) if status is not Status.CONVERGED]
    if left and second_method is not None:
        name, steps = second_method
        second = settle(trial.samples(left), name, max_steps=steps, must_converge=False)
        for place, status in enumerate(second.sample_status):
            if status is Status.CONVERGED:
                statuses[left[place]] = status
        shifts = shifts.with_rows(left, second.shifts)
        mismatches = mismatches.with_rows(left, second.mismatches)
    images = tuple(i for i, status in enumerate(statuses) if status is Status.CONVERGED)

    if len(images) in {0, len(statuses)}:
        return SettledImages(trial, shifts, mismatches, tuple(statuses), images)

    return SettledImages(
        trial.samples(images),
        shifts.samples(images),
        mismatches.samples(images),
        tuple(statuses),
        images,
    )


def settle_directly(trial: Trial) -> Equilibrium:
    """By the default method, within its budget."""
    steps = STEPS_OF_DIRECT[_kind(trial.network), trial.circuit.pathway.name]
    return settle(trial, "direct", max_steps=steps, must_converge=False)


def _kind(network: Network) -> str:
    """Whether units curve or bend at a kink (or, linear, do neither)."""
    return "kinked" if all(unit.piecewise_linear for unit in network.activations) else "smooth"
