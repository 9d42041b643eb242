"""What a method for settling a circuit is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from inspect import signature

import numpy as np

from circuit.errors import CircuitError
from circuit.records.brief import Brief
from circuit.shifts import Shifts


@dataclass(frozen=True, eq=False, repr=False)
class Progress(Brief):
    """A state and what it took to get there from the last.

    Attributes
    ----------
    shifts : the state
    evaluations : passes over all layers (each one matrix product per layer or more)
    model_time : seconds of the circuit's own time that went by; None if the method has no clock
    floors : (L, samples), relative error that the method's own arithmetic leaves in the shift of
        each layer; None for a method that computes in shift coordinates
    memory : (samples,), numbers that the method wants to see again at its next step
    """

    shifts: Shifts
    evaluations: int
    model_time: float | None = None
    floors: np.ndarray | None = None
    memory: np.ndarray | None = None

    def samples(self, rows: Sequence[int]) -> Progress:
        """The state of some samples of the batch."""
        memory = None if self.memory is None else self.memory[list(rows)]
        floors = None if self.floors is None else self.floors[:, list(rows)]
        return replace(self, shifts=self.shifts.samples(rows), memory=memory, floors=floors)


@dataclass(frozen=True, eq=False, repr=False)
class Method(Brief):
    """One way to look for the equilibrium.

    Attributes
    ----------
    start : (trial, tolerance, **options) -> Progress
    step : (trial, progress, judgement, **options) -> Progress. The scales of the shifts stay those
        of the start. The batch may have shrunk since the last step. Both give what is not finite
        for a sample that has left the range of its units or of floats; where they raise
        `TargetOutOfRange` or `NotFinite`, they are asked again without such samples.
    numpy_only : whether it needs NumPy arrays and one network
    exact_only : whether it needs the exact inverse as feedback
    budget : steps that it may take by default
    restless : whether its residual may rise for a while on the way to an equilibrium, so that a
        rise is no sign of divergence
    patience, gain
        Of a sample that may have no equilibrium: steps that it may take while its lowest residual
        falls by less than the factor `gain`.
    """

    name: str
    start: Callable[..., Progress]
    step: Callable[..., Progress]
    numpy_only: bool = False
    exact_only: bool = False
    budget: int = 50
    restless: bool = False
    patience: int = 30
    gain: float = 1.0

    def require_options(self, options: Iterable[str]) -> None:
        """Raise `CircuitError` for the first option that a step does not take."""
        parameters = signature(self.step).parameters.values()
        known = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
        for name in options:
            if name not in known:
                listed = ", ".join(known) or "none"
                raise CircuitError(
                    f"method {self.name} has no option {name!r}; its options: {listed}"
                )
