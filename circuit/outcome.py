"""What became of an attempt to settle a circuit: one record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from circuit.methods.table import METHODS
from circuit.numerics.arrays import Array, any_true
from circuit.records.brief import Brief, Rows, batch_of
from circuit.records.reached import reached
from circuit.shift_dynamics import layer_terms
from circuit.shifts import ONE, Shifts, require_readout
from circuit.trial import Trial
from circuit.verification import kinks
from circuit.verification.bounds import relative_error_bounds
from circuit.verification.judgement import NEAR, Status
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
    method : its name
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
        others = [name for name in OTHER_METHODS.get(self.status, ()) if name != self.method]
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


QUICK = 1024  # units in all, of which a bound is had in a few hundredths of a second


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
}


def _with_still(mismatches: Shifts, still: Sequence[Array]) -> Shifts:
    """What the nudge makes of the mismatches, and those of the free phase `(..., batch, N_l)`."""
    values, scales = list(mismatches.values), list(mismatches.scales)
    for i, own in enumerate(still):
        if any_true(own != 0):  # in their scale, that of the nudge, they might overflow
            values[i], scales[i] = own + mismatches.absolute(i + 1), ONE
    return replace(mismatches, values=tuple(values), scales=tuple(scales))
