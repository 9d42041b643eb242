"""What is asked of circuits with imperfect feedback once they have settled.

Owns the images of a batch that came to rest, their residual, their leading eigenvalues and their
updates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuit.equilibrium import settle
from circuit.linearisation.matrix import dense_jacobian
from circuit.outcome import Equilibrium
from circuit.plasticity import Update, updates
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.judgement import Status, judge

TOLERANCE = 1e-10  # of the residual, relative to the shift of every layer


@dataclass(frozen=True, eq=False)
class AtRest:
    """A batch of which some images, or all, came to rest.

    Attributes
    ----------
    record : of the whole batch
    settled : (batch,), whether an image is at rest, in both phases of a plain circuit
    """

    record: Equilibrium
    settled: np.ndarray

    @property
    def images(self) -> list[int]:
        """Places in the batch of those that are at rest."""
        return [int(image) for image in np.flatnonzero(self.settled)]

    @property
    def trial(self) -> Trial:
        """That of the images at rest, which begins at their free phase."""
        return self.record.trial.samples(self.images)

    @property
    def shifts(self) -> Shifts:
        """What the nudge added for the images at rest."""
        return self.record.shifts.samples(self.images)

    @property
    def worst_residual(self) -> float:
        """The largest |R_l| / |shift| of the images at rest, in the free phase |R_l| / |y_l|."""
        phases = [self.record] if self.record.free is None else [self.record.free, self.record]
        return max(
            judge(one.trial.samples(self.images), one.shifts.samples(self.images), TOLERANCE).worst
            for one in phases
        )

    def leading_eigenvalues(self, images: int) -> np.ndarray:
        """Eigenvalue with the largest real part, complex (images,), of the first images in 1/tau.

        NaN for an image that is not at rest.
        """
        found = np.full(min(images, len(self.settled)), complex(np.nan, np.nan))
        trial = self.record.trial
        for image in (one for one in self.images if one < images):
            matrix = dense_jacobian(trial, self.record.shifts, image)
            spectrum = np.linalg.eigvals(matrix * trial.circuit.time_constants[0])
            found[image] = spectrum[np.argmax(spectrum.real)]
        return found

    def updates(self) -> tuple[Update, ...]:
        """The local updates of all layers, averaged over the images at rest.

        With rates and slopes of the free phase, which is what a synapse knows.
        """
        trial = self.trial
        return updates(trial.network, trial.activity, self.shifts)


def come_to_rest(trial: Trial) -> AtRest:
    """Newton's method. An image that is not settled has no equilibrium that this found."""
    record = settle(trial, "newton", tolerance=TOLERANCE, must_converge=False)
    settled = [status is Status.CONVERGED for status in record.sample_status]
    return AtRest(record, np.array(settled))
