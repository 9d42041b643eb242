"""Branches of equilibria: followed as a parameter grows, to where they lose stability or turn back.

Owns the continuation of V(x, mu) = 0 for a general vector field, and the place and kind of the
first loss of stability. Does not own the fields (`studies.strong.branches` has the circuit's),
nor the ruler by which a state counts as an equilibrium, which a field brings along: nothing that it
refuses becomes a point.

From a point with tangent (x', mu') the next is predicted along it and corrected by Newton's method
on

    V(x, mu) = 0 ,      c . ((x, mu) - prediction) = 0 .

Natural continuation takes c = (0, 1), mu itself; pseudo-arclength continuation (Keller 1977) takes
for c the tangent and so gets round a fold, where mu turns back. Natural continuation is used as
long as the tangent leans towards mu. The square of a length is |dx|^2 / (n + |x|^2) + dmu^2: beside
mu, x counts as its root mean square where that is small, and as its relative change where it is
large. Stability is that of dx/dt = V: the real part of the leading eigenvalue of dV/dx. Where it
changes sign the point is found by Brent's method along the branch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.optimize import brentq

from circuit.errors import CircuitError, NotFinite, TargetOutOfRange

NEWTON_STEPS = 8  # of one correction; quadratic convergence needs 3 or 4
LEANING = 0.7  # tangent component of mu above which natural continuation is used
STRAIGHT = 0.95  # least cosine between tangents of neighbours, so that no turn is jumped over
EASY, HARD = 3, 6  # corrections in so many steps lengthen or shorten the next step
RESOLUTION = 1e-9  # relative to the longest step: shortest step that is tried


@dataclass(frozen=True, eq=False)
class Field:
    """A vector field dx/dt = V(x, mu) with one parameter.

    Attributes
    ----------
    velocity : (x, mu) -> (n,)
    jacobian : (x, mu) -> (n, n), dV/dx
    parameter_slope : (x, mu) -> (n,), dV/dmu
    relative_residual : (x, mu) -> float
        What the tolerance is held against, in whichever way is right for this field.

    Any of them may raise `TargetOutOfRange` or `NotFinite` where the field does not exist.
    """

    velocity: Callable[[np.ndarray, float], np.ndarray]
    jacobian: Callable[[np.ndarray, float], np.ndarray]
    parameter_slope: Callable[[np.ndarray, float], np.ndarray]
    relative_residual: Callable[[np.ndarray, float], float]


@dataclass(frozen=True, eq=False)
class Point:
    """An equilibrium on a branch.

    Attributes
    ----------
    state : (n,)
    parameter : mu
    tangent : (n + 1,), unit tangent of the branch, the parameter's component last
    leading : eigenvalue of dV/dx with the largest real part; of a pair, the one above the axis
    relative_residual : of the state
    newton_steps : that its correction took
    """

    state: np.ndarray
    parameter: float
    tangent: np.ndarray
    leading: complex
    relative_residual: float
    newton_steps: int

    @property
    def stable(self) -> bool:
        """Whether small deviations die out."""
        return self.leading.real < 0


class Ending(StrEnum):
    """Why a branch was followed no further, or how it first lost stability."""

    HOPF = "Hopf bifurcation"  # a complex pair crosses the imaginary axis
    FOLD = "fold"  # a real eigenvalue crosses, and the branch turns back in mu
    BRANCH_POINT = "branch point"  # a real eigenvalue crosses, and the branch goes on
    REACHED = "stable to the largest parameter"
    UNSTABLE_START = "unstable from the start"
    LOST = "could not be followed"  # the shortest step found no equilibrium
    OUT_OF_POINTS = "ran out of points"


@dataclass(frozen=True, eq=False)
class Branch:
    """A branch as far as it was followed.

    Attributes
    ----------
    points : in order along the branch
    ending : how the branch first lost stability, or why it was left while stable
    critical : the point at which it lost stability, None where it did not
    accuracy : bound on the distance of `critical` from the crossing along the branch, relative to
        its parameter; NaN where there is none
    """

    points: tuple[Point, ...]
    ending: Ending
    critical: Point | None
    accuracy: float


def follow(
    field: Field,
    state: np.ndarray,
    parameter: float,
    *,
    largest: float,
    tolerance: float = 1e-9,
    longest_step: float = 0.04,
    accuracy: float = 1e-6,
    most_points: int = 1000,
    points_beyond: int = 0,
) -> Branch:
    """Follow the branch through an equilibrium, first towards larger parameters.

    Parameters
    ----------
    state, parameter : (n,) and float, an equilibrium or near one
    largest : parameter at which to stop; also on the way back, the starting parameter
    tolerance : on `Field.relative_residual`
    longest_step : in the length of the module's docstring
    accuracy : relative to the parameter, to which the loss of stability is located
    most_points : budget
    points_beyond : points to follow after stability is lost; 0 stops there

    Raises
    ------
    CircuitError
        Where there is no equilibrium at the start, or `largest` is not above it.
    """
    if not largest > parameter:
        raise CircuitError(f"largest parameter {largest:g} is not above the start {parameter:g}")
    along_parameter = np.append(np.zeros_like(state), 1.0)
    start = _correct(field, np.append(state, parameter), along_parameter, tolerance)
    if start is None:
        raise CircuitError(
            f"no equilibrium at the start, parameter {parameter:g}; start from a settled state"
        )
    points, ending, critical, found = [start], Ending.OUT_OF_POINTS, None, math.nan
    if not start.stable:
        ending, critical, found = Ending.UNSTABLE_START, start, 0.0
    step, left = longest_step / 4, points_beyond
    while len(points) < most_points:
        if critical is not None:
            if left == 0:
                break
            left -= 1
        here = points[-1]
        there = _advance(field, here, step, largest, tolerance)
        if there is None:
            step /= 2
            left += critical is not None
            if step < RESOLUTION * longest_step:
                ending = Ending.LOST if critical is None else ending
                break
            continue
        if here.stable and not there.stable and critical is None:
            critical, found = _locate(field, here, there, tolerance, accuracy)
            ending = _kind(here, there, critical)
        points.append(there)
        if there.newton_steps <= EASY:
            step = min(1.5 * step, longest_step)
        elif there.newton_steps >= HARD:
            step /= 1.5
        if there.parameter >= largest or there.parameter < parameter:
            ending = Ending.REACHED if critical is None else ending
            break
    return Branch(tuple(points), ending, critical, found)


def _advance(
    field: Field, here: Point, step: float, largest: float, tolerance: float
) -> Point | None:
    """The next point, or None where the step is too long."""
    prediction = np.append(here.state, here.parameter) + step * here.tangent
    natural = here.tangent[-1] > LEANING
    if prediction[-1] >= largest and natural:
        shorter = (largest - here.parameter) / here.tangent[-1]
        prediction = np.append(here.state, here.parameter) + shorter * here.tangent
        prediction[-1] = largest
    along_parameter = np.append(np.zeros_like(here.state), 1.0)
    constraint = along_parameter if natural else here.tangent
    there = _correct(field, prediction, constraint, tolerance, here)
    if there is not None and there.parameter > largest:
        part = (largest - here.parameter) / (there.parameter - here.parameter)
        state = here.state + part * (there.state - here.state)
        there = _correct(field, np.append(state, largest), along_parameter, tolerance, here)
    if there is None or _cosine(here.tangent, there.tangent, _weight(here.state)) < STRAIGHT:
        return None
    return there


def _correct(
    field: Field,
    prediction: np.ndarray,
    constraint: np.ndarray,
    tolerance: float,
    before: Point | None = None,
) -> Point | None:
    """Newton's method from `prediction` (n + 1,); None where it does not converge.

    The tangent leans to the side of that of the point `before`, or of growing parameters.
    """
    n = prediction.size - 1
    bordered = np.empty((n + 1, n + 1))
    weight = _weight(prediction[:n] if before is None else before.state)
    row, found = _dual(constraint, weight), prediction.copy()
    try:
        for steps in range(NEWTON_STEPS + 1):
            state, parameter = found[:n], float(found[n])
            bordered[:n, :n] = field.jacobian(state, parameter)
            bordered[:n, n] = field.parameter_slope(state, parameter)
            residual = field.relative_residual(state, parameter)
            if residual <= tolerance and np.all(np.isfinite(bordered[:n])):
                weight = _weight(state)
                tangent = _tangent(
                    bordered, row if before is None else _dual(before.tangent, weight)
                )
                if tangent is None and before is not None:
                    tangent = before.tangent  # at a branch point, where two branches have one each
                if tangent is None:
                    return None
                tangent = tangent / math.sqrt(_dual(tangent, weight) @ tangent)
                leading = leading_eigenvalue(bordered[:n, :n])
                return Point(state.copy(), parameter, tangent, leading, residual, steps)
            bordered[n] = row
            right = np.append(-field.velocity(state, parameter), row @ (prediction - found))
            found = found + np.linalg.solve(bordered, right)
            if not np.all(np.isfinite(found)):
                return None
    except (TargetOutOfRange, NotFinite, np.linalg.LinAlgError):
        return None
    return None


def _tangent(bordered: np.ndarray, row: np.ndarray) -> np.ndarray | None:
    """The direction in which V stays zero, not normalised; None where there are two."""
    system = np.vstack([bordered[:-1], row])
    try:
        return np.linalg.solve(system, np.append(np.zeros(row.size - 1), 1.0))
    except np.linalg.LinAlgError:
        return None


def leading_eigenvalue(jacobian: np.ndarray) -> complex:
    """The eigenvalue with the largest real part; of a complex pair, the one above the axis.

    A pair nearer than sqrt(eps) |J| to the real axis counts as real: so far apart does rounding
    move a double eigenvalue.
    """
    values = np.linalg.eigvals(jacobian)
    value = complex(values[np.argmax(values.real)])
    blur = math.sqrt(np.finfo(float).eps) * float(np.linalg.norm(jacobian))
    return complex(value.real, abs(value.imag) if abs(value.imag) > blur else 0.0)


def _locate(
    field: Field, here: Point, there: Point, tolerance: float, accuracy: float
) -> tuple[Point, float]:
    """The point between two at which the leading eigenvalue crosses, and how near to it."""
    seen: dict[float, Point] = {0.0: here}
    origin = np.append(here.state, here.parameter)
    chord = np.append(there.state, there.parameter) - origin
    reach = float(_dual(here.tangent, _weight(here.state)) @ chord)

    def abscissa(length: float) -> float:
        if length not in seen:
            # from the chord, which is near to the branch at both of its ends
            point = _correct(field, origin + length / reach * chord, here.tangent, tolerance, here)
            if point is None:
                raise CircuitError("the branch was lost between two of its points")
            seen[length] = point
        return seen[length].leading.real

    width = accuracy * max(abs(here.parameter), RESOLUTION) / 2
    try:
        root = brentq(abscissa, 0.0, reach, xtol=width, rtol=4 * np.finfo(float).eps)
    except CircuitError:
        return there, reach / max(abs(there.parameter), RESOLUTION)
    abscissa(root)
    return seen[root], accuracy


def _kind(here: Point, there: Point, critical: Point) -> Ending:
    if critical.leading.imag > 0:
        return Ending.HOPF
    return Ending.FOLD if here.tangent[-1] * there.tangent[-1] < 0 else Ending.BRANCH_POINT


def _weight(state: np.ndarray) -> float:
    """Of the square of a change of the state, beside that of the parameter."""
    return 1 / (state.size + float(state @ state))


def _dual(vector: np.ndarray, weight: float) -> np.ndarray:
    """The row that takes the inner product with `vector`."""
    return np.append(weight * vector[:-1], vector[-1])


def _cosine(one: np.ndarray, other: np.ndarray, weight: float) -> float:
    first, second = _dual(one, weight), _dual(other, weight)
    return float(first @ other / math.sqrt((first @ one) * (second @ other)))
