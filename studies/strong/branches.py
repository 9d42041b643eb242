"""The circuit's equilibrium as its feedback grows from nothing.

Owns the circuit as a vector field with one parameter, gamma.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.continuation import Branch, Field, follow
from circuit.errors import CircuitError
from circuit.linearisation.matrix import dense_jacobian
from circuit.numerics.scale import ONE
from circuit.shift_dynamics import shift_velocity
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.judgement import judge


def circuit_field(trial: Trial) -> Field:
    """The circuit of one sample, with the feedback strength of all its layers as the parameter.

    The state is the shift of the layers 1 .. L in units of the rates, one after the other; time is
    in units of tau, one for all layers. The forward pass, 0, is the equilibrium at gamma = 0. The
    vector field is affine in gamma, so that its slope is the difference between gamma = 1 and 0.
    The relative residual is that of the project's ruler.

    Raises
    ------
    CircuitError
        For more than one sample.
    """
    if trial.error.ndim != 2 or trial.error.shape[0] != 1:
        raise CircuitError(
            f"a branch of {trial.error.shape[:-1]} samples at once; use trial.samples([i])"
        )
    depth, borders = trial.network.depth, np.cumsum(trial.network.widths[1:])[:-1]

    def at(strength: float) -> Trial:
        circuit = replace(trial.circuit, time_constants=(1.0,) * depth)
        return replace(trial, circuit=circuit.at_limits((strength,) * depth))

    def shifts(state: np.ndarray) -> Shifts:
        values = tuple(layer[None, :] for layer in np.split(state, borders))
        return Shifts(values, (ONE,) * depth, (ONE,) * depth)

    @np.errstate(all="ignore")  # what overflows on the way is refused by `follow`
    def velocity(state: np.ndarray, strength: float) -> np.ndarray:
        return np.concatenate(shift_velocity(at(strength), shifts(state)), axis=1)[0]

    @np.errstate(all="ignore")
    def jacobian(state: np.ndarray, strength: float) -> np.ndarray:
        return np.asarray(dense_jacobian(at(strength), shifts(state)))

    @np.errstate(all="ignore")
    def parameter_slope(state: np.ndarray, strength: float) -> np.ndarray:
        return velocity(state, 1.0) - velocity(state, 0.0)

    @np.errstate(all="ignore")
    def relative_residual(state: np.ndarray, strength: float) -> float:
        return judge(at(strength), shifts(state), 0.0).worst

    return Field(velocity, jacobian, parameter_slope, relative_residual)


def feedback_branch(
    trial: Trial,
    *,
    largest: float = 0.98,
    points_beyond: int = 0,
    longest_step: float = 0.04,
    most_points: int = 1000,
) -> Branch:
    """The equilibrium of one sample as the feedback strength of all layers grows from 0.

    Parameters
    ----------
    trial : of one sample; the strengths of its circuit do not matter
    largest, points_beyond, longest_step, most_points : as in `follow`
    """
    return follow(
        circuit_field(trial),
        np.zeros(sum(trial.network.widths[1:])),
        0.0,
        largest=largest,
        points_beyond=points_beyond,
        longest_step=longest_step,
        most_points=most_points,
    )
