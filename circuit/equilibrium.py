"""The front door: settle a circuit and get one record that says what became of it.

Owns what may be asked of it. The loop over steps stands in `circuit.settling`, the methods in
`circuit.methods`, the ruler in `circuit.verification.judgement`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from circuit.checks.given import is_whole, real, require_flag, require_kind, shown
from circuit.errors import CircuitError, NotSettled
from circuit.method import Method
from circuit.methods.table import DEFAULT, named
from circuit.numerics.arrays import Array, epsilon, is_numpy, require_samples
from circuit.outcome import Equilibrium
from circuit.settling.blocks import settle_all
from circuit.settling.phases import both_phases, mismatches_at_rest
from circuit.settling.second import with_second
from circuit.trial import Trial


def default_tolerance(array: Array) -> float:
    """Relative residual asked of every layer by default: eps^0.64, 1e-10 or 4e-5.

    Above the rounding of a product with moderately conditioned weights (eps^0.9), below what any
    comparison of updates can see.
    """
    return epsilon(array) ** 0.64


@np.errstate(all="ignore")  # what overflows on the way is judged, not printed
def settle(
    trial: Trial,
    method: str | Method = DEFAULT,
    *,
    tolerance: float | None = None,
    max_steps: int | None = None,
    must_converge: bool = True,
    **options: Any,
) -> Equilibrium:
    """Bring a circuit to its equilibrium.

    Parameters
    ----------
    trial : from `dynamics.begin`
    method
        A name in `circuit.methods.table.METHODS`; docs/numerics.md says which when. "default" is
        direct, and sweep where feedback is not the exact inverse; without `max_steps` and options,
        newton then looks for what these did not find (NumPy, one network of up to 1024 units). Or a
        `Method` of your own (docs/extending.md).
    tolerance
        Relative residual to reach in every layer of every sample; `default_tolerance` if None.
    max_steps : budget of steps; the method's own if None
    must_converge
        True: anything but convergence raises. False: the record says what happened.
    options : of the method (see its `start`)

    Raises
    ------
    NotSettled
        With the record in its attribute `record`.
    CircuitError
        For an unknown method, a tolerance that is not positive and below 1, or an empty batch.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> settle(trial)
    Equilibrium(converged, 1 image, worst residual ..., bound ...)
    """
    began = time.perf_counter()
    require_kind("trial", trial, Trial)
    second = method == DEFAULT and max_steps is None and not options
    require_flag("must_converge", must_converge)
    chosen = method if isinstance(method, Method) else named(method, trial.circuit)
    if chosen.exact_only and trial.circuit.feedback is not None:
        raise CircuitError(
            f"method {chosen.name} needs the exact inverse as feedback; use sweep, newton or ode"
        )
    if chosen.numpy_only and not (is_numpy(trial.error) and trial.error.ndim == 2):
        raise CircuitError(
            f"method {chosen.name} needs NumPy arrays and one network; use direct or sweep, or "
            "convert"
        )
    if tolerance is None:
        tolerance = default_tolerance(trial.error)
    elif not 0 < (tolerance := real("tolerance", tolerance)) < 1:
        raise CircuitError(
            f"tolerance {tolerance} is not positive and below 1; use for example 1e-10"
        )
    require_samples(trial.error)
    budget = chosen.budget if max_steps is None else max_steps
    if not (is_whole(budget) and budget >= 1):
        raise CircuitError(f"max_steps {shown(budget)} leaves no whole step; give 1 or more")
    chosen.require_options(options)

    def settled(trial: Trial) -> Equilibrium:
        found = settle_all(trial, chosen, tolerance, budget, options)
        return with_second(found) if second else found

    trial = trial.from_forward_pass()
    if trial.is_free:
        free = settled(trial)
        trial = trial.resting(mismatches_at_rest(free))
        record = both_phases(free, settled(trial))
    else:
        record = settled(trial)
    record = replace(record, seconds=time.perf_counter() - began)
    if must_converge and not record.converged:
        raise NotSettled(record.failure(), record)
    return record
