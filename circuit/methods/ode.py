"""Real trajectories: the rate equations integrated in time by SciPy's solvers.

Owns the integration in shift coordinates, where each layer of each sample is accurate relative to
its own shift, however small the error that drives it. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from circuit.dynamics import velocity
from circuit.errors import CircuitError, NotFinite
from circuit.method import Method, Progress
from circuit.methods.newton.steps import Layers, eliminated, residuals
from circuit.numerics.arrays import all_finite
from circuit.shift_dynamics import shift_velocity
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.judgement import Judgement

INTEGRATORS = ("RK45", "RK23", "DOP853", "LSODA", "Radau", "BDF")
STRETCH = 5.0  # time constants between two judgements
MOST_EVALUATIONS = 20_000  # in a stretch
NEAR = 0.5  # relative residual below which a shift is about as large as it gets


def start(trial: Trial, tolerance: float, **options: object) -> Progress:
    """The forward pass, where the nudged phase begins."""
    return Progress(trial.at_rest(), 0, model_time=0.0)


def step(
    trial: Trial,
    progress: Progress,
    judgement: Judgement,
    *,
    integrator: str = "RK45",
    rtol: float | None = None,
) -> Progress:
    """The next five time constants of the slowest layer.

    `rtol` is the integrator's relative tolerance per step; a hundredth of the present worst
    residual if None, so that early stretches are not integrated more finely than they deserve.
    """
    duration = STRETCH * max(trial.circuit.time_constants)
    if rtol is None:
        floor = 20 * np.finfo(trial.error.dtype).eps
        rtol = float(np.clip(0.01 * judgement.worst, floor, 1e-3))
    states, evaluations = integrate(
        trial, progress.shifts, [duration], integrator=integrator, rtol=rtol, most=MOST_EVALUATIONS
    )
    return Progress(states[0], evaluations, model_time=duration)


METHOD = Method("ode", start, step, numpy_only=True, budget=100, restless=True)


class _Enough(Exception):
    """So many evaluations as were allowed; `state` is where the last one was."""

    def __init__(self, state: np.ndarray) -> None:
        super().__init__()
        self.state = np.array(state)


def integrate(
    trial: Trial,
    initial: Shifts,
    times: Sequence[float] | np.ndarray,
    *,
    integrator: str = "RK45",
    rtol: float = 1e-8,
    fixed_step: float | None = None,
    most: float = math.inf,
) -> tuple[list[Shifts], int]:
    """The trajectory of the nudged circuit.

    Parameters
    ----------
    initial : state at time 0, such as `trial.at_rest()`
    times : seconds, increasing, at which the state is wanted
    integrator : one of `INTEGRATORS`
    rtol : relative tolerance of a step; the absolute one is rtol times `expected_sizes`
    fixed_step : seconds; the integrator then takes steps of this length and no error control
    most : evaluations after which it goes no further: along a kink that units rest at, error
        control asks for ever shorter steps. All later states are then the one that it had come to.

    Returns
    -------
    The states at `times`, and the number of evaluations of the vector field.

    Raises
    ------
    CircuitError
        For an unknown integrator.
    NotFinite
        Where the integrator gave up on its way.
    """
    if integrator not in INTEGRATORS:
        raise CircuitError(
            f"integrator {integrator!r} is unknown; choose from {', '.join(INTEGRATORS)}"
        )
    units = Units.of(expected_sizes(trial, initial), initial.values)

    count = 0

    def field(time: float, flat: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        if count > most:
            raise _Enough(flat)
        velocities = shift_velocity(trial, initial.with_values(units.unpack(flat)))
        if not all_finite(velocities):  # SciPy would shorten its step for ever
            raise NotFinite(
                f"the rates leave the range of the units, or of floats, near {time:g} s; use "
                "weaker feedback, targets that the units can reach, or method direct"
            )
        return units.pack(velocities)

    control = _control(rtol, fixed_step)
    try:
        columns, evaluations = _solved(
            field, units.pack(initial.values), times, integrator, control
        )
    except _Enough as reached:
        columns, evaluations = np.stack([reached.state] * len(times)), count
    return [initial.with_values(units.unpack(column)) for column in columns], evaluations


def _control(rtol: float, fixed_step: float | None) -> dict[str, float]:
    """What SciPy is told of errors and steps."""
    if fixed_step is None:
        return {"rtol": rtol, "atol": rtol}
    # error control that accepts every step, each as long as is allowed
    return {"rtol": 1e6, "atol": 1e6, "first_step": fixed_step, "max_step": fixed_step}


def free_phase(
    trial: Trial,
    times: Sequence[float] | np.ndarray,
    *,
    integrator: str = "RK45",
    rtol: float = 1e-8,
    fixed_step: float | None = None,
) -> tuple[np.ndarray, ...]:
    """Rates of the circuit without nudge, from rest (y = 0), with feedback on.

    Parameters
    ----------
    times : seconds, increasing
    fixed_step : as of `integrate`

    Returns
    -------
    L arrays (times, batch, N_l). They settle on the forward pass.

    Raises
    ------
    NotFinite
        Where the integrator gave up on its way.
    """
    forward = trial.activity.rates[1:]
    units = Units.of(_positive([_largest(rates) for rates in forward]), forward)

    def field(_: float, flat: np.ndarray) -> np.ndarray:
        return units.pack(velocity(trial, units.unpack(flat), nudged=False))

    rest = units.pack(tuple(np.zeros_like(rates) for rates in forward))
    columns, _ = _solved(field, rest, times, integrator, _control(rtol, fixed_step))
    states = [units.unpack(column) for column in columns]
    return tuple(np.stack([state[i] for state in states]) for i in range(len(forward)))


@dataclass(frozen=True)
class Units:
    """In what each layer of each sample is measured, so that one tolerance serves them all.

    Attributes
    ----------
    sizes : L arrays (batch, 1), positive
    widths : N_1 .. N_L
    dtype : of the circuit's own arithmetic; the integrators' is float64
    """

    sizes: Layers
    widths: tuple[int, ...]
    dtype: np.dtype

    @staticmethod
    def of(sizes: Layers, like: Layers) -> Units:
        """These sizes for layers such as `like`."""
        return Units(sizes, tuple(values.shape[1] for values in like), like[0].dtype)

    def pack(self, layers: Layers) -> np.ndarray:
        """All entries of L arrays (batch, N_l) as one vector, in these units."""
        pairs = zip(layers, self.sizes, strict=True)
        return np.concatenate([(values / size).ravel() for values, size in pairs], dtype=float)

    def unpack(self, flat: np.ndarray) -> Layers:
        """The layers of such a vector."""
        batch = self.sizes[0].shape[0]
        parts = np.split(flat, np.cumsum([batch * width for width in self.widths])[:-1])
        return tuple(
            (part.reshape(batch, width) * size).astype(self.dtype, copy=False)
            for part, width, size in zip(parts, self.widths, self.sizes, strict=True)
        )


def expected_sizes(trial: Trial, state: Shifts) -> Layers:
    """How large the shifts of each layer of each sample get, L arrays (batch, 1).

    What they are in `state` where the residual is small beside them. Elsewhere the larger of that
    and of what they come to in the circuit as it is linearised at the forward pass, which follows
    the size of the error.
    """
    rest = state.with_values(tuple(np.zeros_like(values) for values in state.values))
    ahead = eliminated(trial, rest, residuals(trial, rest))
    sizes = []
    for values, missing, end in zip(state.values, residuals(trial, state), ahead, strict=True):
        now = _largest(values)
        near = _largest(missing) < NEAR * now
        sizes.append(np.where(near, now, np.fmax(now, _largest(end))))
    return _positive(sizes)


def _largest(values: np.ndarray) -> np.ndarray:
    """The largest size in each sample, (batch, 1)."""
    return np.abs(values).max(axis=1, keepdims=True)


def _positive(sizes: Sequence[np.ndarray]) -> Layers:
    """The sizes, with 1 for what is zero (a sample without error) or not finite."""
    return tuple(np.where((size > 0) & np.isfinite(size), size, 1.0) for size in sizes)


def _solved(
    field: Callable[[float, np.ndarray], np.ndarray],
    start_at: np.ndarray,
    times: Sequence[float] | np.ndarray,
    integrator: str,
    control: dict[str, float],
) -> tuple[np.ndarray, int]:
    """States at `times` (times, entries) and evaluations; `NotFinite` where it stops before."""
    if not np.isfinite(field(0.0, start_at)).all():  # some integrators would go round for ever
        raise NotFinite("the trajectory's first step is not finite; use weaker feedback")
    from scipy.integrate import solve_ivp  # takes a while to load, and other methods need it not

    solution = solve_ivp(
        field,
        (0.0, float(times[-1])),
        start_at,
        method=integrator,
        t_eval=np.asarray(times, dtype=float),
        **control,
    )
    if solution.status != 0:
        last = solution.t[-1] if len(solution.t) else 0.0  # a list where no time was reached
        raise NotFinite(
            f"{integrator} stopped after {last:g} s of {times[-1]:g} s ({solution.message}); "
            "use weaker feedback or method newton"
        )
    return solution.y.T, int(solution.nfev)
