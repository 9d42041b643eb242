"""Brian2's Euler steps through the free and the nudged phase.

Owns the reading of shifts off Brian2's rates for the front door.

A shift is the difference of two rates in float64 here, so it has only as many digits as
`circuit.brian.float_floor` leaves. Once the residual is down at that floor, more time brings
nothing, and a step returns the state as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuit.brian.limits import float_floors, longest_step, settling_time
from circuit.brian.objects import read_rates, set_nudge, set_rates
from circuit.brian.phases import BrianCircuit, advance, build, whole_steps
from circuit.errors import CircuitError
from circuit.method import Method, Progress
from circuit.numerics.arrays import epsilon
from circuit.numerics.scale import ONE
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.judgement import Judgement

LONGEST_STRETCH = 2000  # Euler steps
SMALLEST_GAIN = -130  # log10; the square of rounding errors in units of it must not overflow
FLOOR_SLACK = 64  # residuals up to this many times the float floor are put down to it


def start(
    trial: Trial,
    tolerance: float,
    *,
    time_step: float | None = None,
    stretch: float | None = None,
    codegen: str = "numpy",
) -> Progress:
    """Run the free phase from the forward pass on, and a first stretch of the nudged phase.

    Parameters
    ----------
    time_step
        Seconds of an Euler step; the smallest time constant by default, which Euler's method takes
        without overshoot since the circuit's eigenvalues lie around -1/tau. Less where long rows
        of weights make the GRAIT circuit faster (`circuit.brian.limits.longest_step`).
    stretch
        Seconds of the nudged phase between two judgements; by default
        `circuit.brian.limits.settling_time`, or 2000 steps if that is less.
    codegen : "numpy" or "cython"

    Raises
    ------
    CircuitError
        Also where feedback is so weak that rates could not even hold the rounding of a shift.
    """
    for layer, gain in enumerate(trial.circuit.gains, 1):
        if gain.log10 < SMALLEST_GAIN:
            raise CircuitError(
                f"the shift of layer {layer} is of size 1e{gain.log10:.0f}, far below the rounding "
                "of the rates that Brian2 keeps; use method direct, or stronger feedback"
            )
    return _stretch(trial, trial.at_rest(), time_step, stretch, codegen)


def step(
    trial: Trial,
    progress: Progress,
    judgement: Judgement,
    *,
    time_step: float | None = None,
    stretch: float | None = None,
    codegen: str = "numpy",
) -> Progress:
    """Run another stretch of the nudged phase, after a short free phase."""
    floors = _floors(trial, progress.shifts)
    # where the floor is near 1 the layer's shift has no digits, and its residual says nothing
    if np.all(np.minimum(judgement.by_sample, 1.0) <= FLOOR_SLACK * floors):
        return Progress(progress.shifts, 0, 0.0, 4 * floors)
    return _stretch(trial, progress.shifts, time_step, stretch, codegen)


METHOD = Method("brian2", start, step, numpy_only=True, budget=5, restless=True)


def _stretch(
    trial: Trial,
    shifts: Shifts,
    time_step: float | None,
    stretch: float | None,
    codegen: str,
) -> Progress:
    """From `shifts` onwards for a stretch of the nudged phase.

    The free phase before it starts from the forward pass, which differs from Brian2's own state of
    rest by rounding only: the two sum in different orders, and the difference of the phases must
    not contain that.
    """
    circuit = trial.circuit
    shortest = min(circuit.time_constants)
    time_step = longest_step(circuit) if time_step is None else time_step
    built = build(trial, step=time_step, record=0, codegen=codegen)
    if stretch is None:
        stretch = min(settling_time(circuit), LONGEST_STRETCH * float(time_step))
    if trial.is_free:
        return _free_stretch(trial, shifts, built, stretch)
    set_rates(built.pieces, trial.activity.rates[1:])
    set_nudge(built.pieces, False)
    free_steps = whole_steps(built.pieces, (circuit.network.depth + 5) * shortest)
    advance(built, free_steps, must_be_finite=False)
    free = read_rates(built.pieces)
    moved = [rate + shifts.absolute(layer) for layer, rate in enumerate(free, 1)]
    set_rates(built.pieces, moved)
    set_nudge(built.pieces, True)
    nudged_steps = whole_steps(built.pieces, stretch, "stretch")
    advance(built, nudged_steps, must_be_finite=False)
    nudged = read_rates(built.pieces)
    difference = [after - before for after, before in zip(nudged, free, strict=True)]
    shifts = shifts.with_values(_in_scales(difference, shifts))
    steps, model_time = free_steps + nudged_steps, float(built.network.t_)
    # what rounding of the rates leaves in the shifts, with a few roundings on the way
    return Progress(shifts, steps, model_time, 4 * _floors(trial, shifts))


def _free_stretch(trial: Trial, shifts: Shifts, built: BrianCircuit, stretch: float) -> Progress:
    """From `shifts` onwards for a stretch of the free phase of a plain circuit."""
    rest = trial.activity.rates[1:]
    moved = [rate + shifts.absolute(layer) for layer, rate in enumerate(rest, 1)]
    set_rates(built.pieces, moved)
    set_nudge(built.pieces, False)
    steps = whole_steps(built.pieces, stretch, "stretch")
    advance(built, steps, must_be_finite=False)
    pairs = zip(read_rates(built.pieces), rest, strict=True)
    shifts = shifts.with_values(_in_scales([after - before for after, before in pairs], shifts))
    model_time = float(built.network.t_)
    return Progress(shifts, steps, model_time, 4 * _floors(trial, shifts))


def _floors(trial: Trial, shifts: Shifts) -> np.ndarray:
    """What rounding of the rates leaves of a residual, (L, samples): beside a shift, or in the free
    phase beside the rates.
    """
    if trial.is_free:
        return np.full((shifts.depth, trial.error.shape[0]), epsilon(trial.error))
    return float_floors(trial, shifts)


def _in_scales(absolute: Sequence[np.ndarray], shifts: Shifts) -> tuple[np.ndarray, ...]:
    """Shifts in units of the rates, converted to the scales of `shifts`."""
    plain = Shifts(tuple(absolute), (ONE,) * shifts.depth, shifts.scales)
    return tuple(plain.per_gain(layer) for layer in range(1, shifts.depth + 1))
