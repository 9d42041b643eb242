"""Real trajectories: the rate equations integrated in time by SciPy's solvers.

Owns the integration in shift coordinates, where each layer is accurate relative to its own shift.
NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.integrate import solve_ivp

from circuit.arrays import all_finite
from circuit.dynamics import Trial, velocity
from circuit.errors import CircuitError, NotFinite
from circuit.methods.method import Method, Progress
from circuit.shift_dynamics import shift_velocity
from circuit.shifts import Shifts
from circuit.verification import Judgement

INTEGRATORS = ("RK45", "RK23", "DOP853", "LSODA", "Radau", "BDF")
STRETCH = 5.0  # time constants between two judgements


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
        trial, progress.shifts, [duration], integrator=integrator, rtol=rtol
    )
    return Progress(states[0], evaluations, model_time=duration)


METHOD = Method("ode", start, step, numpy_only=True, budget=100, restless=True)


def integrate(
    trial: Trial,
    initial: Shifts,
    times: Sequence[float] | np.ndarray,
    *,
    integrator: str = "RK45",
    rtol: float = 1e-8,
    fixed_step: float | None = None,
) -> tuple[list[Shifts], int]:
    """The trajectory of the nudged circuit.

    Parameters
    ----------
    initial : state at time 0, such as `trial.at_rest()`
    times : seconds, increasing, at which the state is wanted
    integrator : one of `INTEGRATORS`
    rtol : relative tolerance of a step; the absolute one is rtol times each layer's scale
    fixed_step : seconds; the integrator then takes steps of this length and no error control

    Returns
    -------
    The states at `times`, and the number of evaluations of the vector field.

    Raises
    ------
    CircuitError, NotFinite
    """
    if integrator not in INTEGRATORS:
        raise CircuitError(
            f"integrator {integrator!r} is unknown; choose from {', '.join(INTEGRATORS)}"
        )
    widths, batch = trial.network.widths[1:], trial.error.shape[0]
    ends = np.cumsum([batch * width for width in widths])

    def layers(flat: np.ndarray) -> tuple[np.ndarray, ...]:
        parts = np.split(flat.astype(trial.error.dtype, copy=False), ends[:-1])
        return tuple(p.reshape(batch, w) for p, w in zip(parts, widths, strict=True))

    def field(time: float, flat: np.ndarray) -> np.ndarray:
        velocities = shift_velocity(trial, initial.with_values(layers(flat)))
        if not all_finite(velocities):  # SciPy would shorten its step for ever
            raise NotFinite(
                f"the rates leave the range of the units, or of floats, near {time:g} s; use "
                "weaker feedback, targets that the units can reach, or method direct"
            )
        return np.concatenate([values.ravel() for values in velocities])

    control: dict[str, float] = {"rtol": rtol, "atol": rtol}
    if fixed_step is not None:
        # error control that accepts every step, each as long as is allowed
        control = {"rtol": 1e6, "atol": 1e6, "first_step": fixed_step, "max_step": fixed_step}
    solution = solve_ivp(
        field,
        (0.0, float(times[-1])),
        np.concatenate([values.ravel() for values in initial.values]),
        method=integrator,
        t_eval=np.asarray(times, dtype=float),
        **control,
    )
    if solution.status != 0:
        raise NotFinite(
            f"{integrator} stopped at {solution.t[-1] if len(solution.t) else 0.0:g} s of "
            f"{times[-1]:g} s ({solution.message}); use weaker feedback or method newton"
        )
    states = [initial.with_values(layers(column)) for column in solution.y.T]
    return states, int(solution.nfev)


def free_phase(
    trial: Trial,
    times: Sequence[float] | np.ndarray,
    *,
    integrator: str = "RK45",
    rtol: float = 1e-8,
) -> tuple[np.ndarray, ...]:
    """Rates of the circuit without nudge, from rest (y = 0), with feedback on.

    Parameters
    ----------
    times : seconds, increasing

    Returns
    -------
    L arrays (times, batch, N_l). They settle on the forward pass.
    """
    batch, widths = trial.error.shape[0], trial.network.widths[1:]
    ends = np.cumsum([batch * width for width in widths])

    def layers(flat: np.ndarray) -> list[np.ndarray]:
        parts = np.split(flat, ends[:-1])
        return [part.reshape(batch, width) for part, width in zip(parts, widths, strict=True)]

    def field(_: float, flat: np.ndarray) -> np.ndarray:
        return np.concatenate([v.ravel() for v in velocity(trial, layers(flat), nudged=False)])

    solution = solve_ivp(
        field,
        (0.0, float(times[-1])),
        np.zeros(ends[-1], dtype=trial.error.dtype),
        method=integrator,
        t_eval=np.asarray(times, dtype=float),
        rtol=rtol,
        atol=rtol,
    )
    states = [layers(column) for column in solution.y.T]
    return tuple(np.stack([state[i] for state in states]) for i in range(len(widths)))
