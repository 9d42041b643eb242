"""What became of an attempt to settle a circuit: one record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from circuit.numerics.arrays import Array, any_true
from circuit.numerics.scale import ONE
from circuit.records.brief import Brief, Rows, batch_of
from circuit.records.reached import reached
from circuit.settling.remedies import remedy
from circuit.shift_dynamics import layer_terms
from circuit.shifts import Shifts, require_readout
from circuit.trial import Trial
from circuit.verification.bounds import relative_error_bounds
from circuit.verification.judgement import Status
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

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> settle(trial).method, max(settle(trial).error_bounds) < 1e-9
    ('direct', True)
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

        delta* is the true shift of the network with these weights; through plain feedback, from the
        free phase as it stands here (`free` has a bound of its own). See `verification.bounds`.
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
        """All that is known of it as labelled arrays (`circuit.report.labelled.as_dataset`)."""
        found = self.report(readout)
        return reached("circuit.report.labelled.as_dataset")(found, np.random.default_rng(0))

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
        """What `save` wrote, all but `free`, bit for bit as NumPy arrays. Raises `CircuitError`."""
        record: Equilibrium = reached("circuit.storage.records.load_record")(path)
        return record

    def failure(self) -> str:
        """One line: which layer did not settle, how, and what may help."""
        worst = max(range(len(self.relative_residuals)), key=self.relative_residuals.__getitem__)
        failed = [status is not Status.CONVERGED for status in self.sample_status]
        words = remedy(self.trial, self.shifts, self.status, failed, self.method)
        return (
            f"{self.method}: {self.status.value} after {self.steps} steps; "
            f"{sum(failed)} of {len(failed)} samples, worst in layer {worst + 1} with relative "
            f"residual {self.relative_residuals[worst]:.2g} (tolerance {self.tolerance:.2g}); "
            f"{words}"
        )


QUICK = 1024  # units in all, of which a bound is had in a few hundredths of a second


def _with_still(mismatches: Shifts, still: Sequence[Array]) -> Shifts:
    """What the nudge makes of the mismatches, and those of the free phase `(..., batch, N_l)`."""
    values, scales = list(mismatches.values), list(mismatches.scales)
    for i, own in enumerate(still):
        if any_true(own != 0):  # in their scale, that of the nudge, they might overflow
            values[i], scales[i] = own + mismatches.absolute(i + 1), ONE
    return replace(mismatches, values=tuple(values), scales=tuple(scales))
