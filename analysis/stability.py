"""How fast, how surely and along which detours a linearised circuit comes to rest.

Owns measures of one Jacobian J, a square matrix with dx/dt = J x for a deviation x. Does not own
Jacobians (`circuit.linearisation`, `analysis.linearised`) nor what is done with the
measures.

Functions take J as a NumPy array (n, n), the last two as a SciPy LinearOperator with a transpose,
in inverse units of some time, in which their times are then given too: J tau gives times in units
of tau.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eig, eigvalsh, expm
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import ArpackError, LinearOperator, eigs, eigsh

from circuit.errors import CircuitError

STEPS_PER_DOUBLING = 16  # instants looked at before their distance doubles
INSTANTS = 4096  # after which the look ahead ends
TURN = 0.8  # of an oscillation of the norm, radians: what a step that is doubled may pass over
NEAR_THE_TOP = 0.95  # of the highest norm on the grid: lower peaks are not searched
PEAK_WIDTH = 1e-3  # of the distance of a peak's neighbours, within which its time is found
FIRST_STEP = 0.1  # of the scan for transient growth, in units of 1 / |J|
LARGEST_GROWTH = 1e70  # fourth powers of larger entries would leave the range of floats
POWER_STEPS = 4  # pairs of multiplications with J and J' for a rough norm
BASIS = 40  # Krylov vectors that ARPACK keeps; the more, the fewer restarts
RESTARTS = 300
EIGENVALUE_ACCURACY = 1e-9  # relative, asked of ARPACK
GROWTH_ACCURACY = 1e-5


@dataclass(frozen=True)
class Leading:
    """The eigenvalue with the largest real part (one of a pair), and how far it may be off.

    Both NaN where it was not found.
    """

    value: complex
    error: float


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues, and what rounding has done to them.

    Attributes
    ----------
    eigenvalues : complex array (n,)
    errors : array (n,). To first order, how far rounding may have moved each: the rounding of J
        times the eigenvalue's condition number 1 / |w* v|. Infinite for a defective one.
    """

    eigenvalues: np.ndarray
    errors: np.ndarray

    @property
    def abscissa(self) -> float:
        """Largest real part: deviations die out in the end if and only if it is negative."""
        return float(self.eigenvalues.real.max())

    @property
    def abscissa_error(self) -> float:
        """What rounding may have done to it."""
        return float(self.errors[np.argmax(self.eigenvalues.real)])

    @property
    def euler_step(self) -> float:
        """`largest_euler_step`."""
        return largest_euler_step(self.eigenvalues)

    @property
    def euler_step_error(self) -> float:
        """What rounding may have done to that: 2 |dz| / |z|^2 at the eigenvalue that decides."""
        z = self.eigenvalues
        deciding = int(np.argmin(-2 * z.real / np.maximum(np.abs(z) ** 2, 1e-300)))
        return float(2 * self.errors[deciding] / max(np.abs(z[deciding]) ** 2, 1e-300))


def spectrum(jacobian: np.ndarray) -> Spectrum:
    """Eigenvalues of J.

    A matrix far from normal has eigenvalues that rounding moves by far more than eps |J|; with them
    comes an estimate of how far (Golub and Van Loan, section 7.2.2). Raises `CircuitError` unless J
    is a finite square matrix, as all functions here.
    """
    jacobian = _checked(jacobian)
    values, left, right = eig(jacobian, left=True, right=True)
    with np.errstate(divide="ignore"):
        condition = 1 / np.abs(np.sum(left.conj() * right, axis=0))
    rounding = np.finfo(float).eps * np.linalg.norm(jacobian)
    return Spectrum(values, rounding * condition)


def numerical_abscissa(jacobian: np.ndarray) -> float:
    """Largest eigenvalue of (J + J') / 2: the fastest that the norm of a deviation can grow at
    first.
    """
    jacobian = _checked(jacobian)
    n = len(jacobian)
    symmetric = (jacobian + jacobian.T) / 2
    return float(eigvalsh(symmetric, subset_by_index=[n - 1, n - 1])[0])


def transient_growth(jacobian: np.ndarray) -> float:
    """The largest norm of expm(J t) over t >= 0: how much a deviation may grow before it dies out.

    Exactly 1 where the norm falls from the start (numerical abscissa not positive). Otherwise the
    norm, of all directions, is taken over a grid of times whose distance doubles as they grow, as
    long as no oscillation is passed over, and every peak that may be the highest is searched
    between its neighbours. The look ahead may end at the first T with |expm(J T)| <= 1 or less, for
    any later time is a time before T followed by such a factor.

    NaN where that T has not come within the look ahead (an unstable or nearly unstable J), or the
    growth exceeds 1e70.
    """
    jacobian = _checked(jacobian)
    if numerical_abscissa(jacobian) <= 0:
        return 1.0
    step = FIRST_STEP / float(np.linalg.norm(jacobian, 2))
    found = spectrum(jacobian)
    if found.abscissa > found.abscissa_error:
        return float("nan")
    fastest = 2 * float(np.abs(found.eigenvalues.imag).max())  # oscillation of a squared norm
    factor, present = expm(jacobian * step), np.eye(len(jacobian))
    times, norms = [0.0], [1.0]
    while len(times) <= INSTANTS:
        for _ in range(STEPS_PER_DOUBLING):
            present = factor @ present
            if not np.max(np.abs(present)) < LARGEST_GROWTH:
                return float("nan")
            times.append(times[-1] + step)
            norms.append(_norm_of(present))
            if norms[-1] <= 1:
                return _highest(jacobian, np.array(times), np.array(norms))
        if fastest * step < TURN:
            factor, step = factor @ factor, 2 * step
    return float("nan")


def largest_euler_step(eigenvalues: np.ndarray) -> float:
    """The step of the explicit Euler method above which some deviation grows from step to step.

    The smallest of -2 Re(z) / |z|^2 over the eigenvalues z of J: |1 + h z| < 1 for every smaller h.
    0 where an eigenvalue does not lie in the left half-plane.
    """
    eigenvalues = np.asarray(eigenvalues)
    if not eigenvalues.real.max() < 0:
        return 0.0
    return float(np.min(-2 * eigenvalues.real / np.abs(eigenvalues) ** 2))


def settling_times(
    jacobian: np.ndarray,
    end: np.ndarray,
    widths: Sequence[int],
    *,
    fraction: float = 1e-3,
    step: float = 0.125,
    longest: float = 2000.0,
) -> np.ndarray:
    """When each layer's shift has come, for good, within `fraction` of its end value.

    The linearised circuit started at the forward pass: what is still missing at time t is
    expm(J t) end. It is followed on a grid of distance `step`, between two instants its logarithm
    is taken to be linear, and the look ahead ends when all layers are a hundredth of `fraction`
    away at once, or after `longest`.

    Parameters
    ----------
    jacobian : (n, n), in coordinates in which the layers' end values are of like size, or rounding
        hides the small ones (`in_units_of`)
    end : (n,), the layers' end values in the same coordinates
    widths : of the layers, which make up n
    fraction : of the norm of the layer's end value

    Returns
    -------
    array (layers,) of times. NaN for all if the look ahead ended without that, as in an unstable
    circuit; NaN for a layer that does not move.
    """
    jacobian = _checked(jacobian)
    starts = np.cumsum([0, *widths[:-1]])
    squares = np.add.reduceat(end**2, starts)
    propagator = expm(jacobian * step)
    missing, history = end, [np.zeros(len(widths))]
    found = np.full(len(widths), np.nan)
    with np.errstate(all="ignore"):  # an unstable circuit leaves all bounds
        while len(history) * step <= longest:
            missing = propagator @ missing
            ratio = 0.5 * np.log(np.add.reduceat(missing**2, starts) / squares)
            history.append(ratio)
            if np.all((ratio < np.log(fraction / 100)) | (squares == 0)):
                break
        else:
            return found
    logs, wanted = np.array(history), np.log(fraction)
    for layer in np.flatnonzero(squares > 0):
        last = int(np.flatnonzero(logs[:, layer] > wanted)[-1])
        before, after = logs[last, layer], max(logs[last + 1, layer], wanted - 100)
        found[layer] = step * (last + (before - wanted) / (before - after))
    return found


def in_units_of(jacobian: np.ndarray, sizes: Sequence[float], widths: Sequence[int]) -> np.ndarray:
    """J in coordinates in which layer l is measured in units of `sizes[l-1]`: a similarity."""
    each = np.repeat(np.asarray(sizes, dtype=float), widths)
    coupled = jacobian != 0  # two sizes far apart meet only where nothing couples them
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        return np.where(coupled, jacobian * (each[None, :] / each[:, None]), 0.0)


def leading_eigenvalue(operator: LinearOperator, generator: np.random.Generator) -> Leading:
    """The eigenvalue of J with the largest real part, from products with J and J'.

    By ARPACK, once for J and once for J', each from its own random start. The error is, to first
    order, (residual + rounding) times the condition number 1 / |w v| of the eigenvalue. NaN where
    one of them did not converge, or where the two found different eigenvalues, as when a start
    held next to nothing of one.

    Parameters
    ----------
    generator : of the starts
    """
    missing = Leading(complex(np.nan, np.nan), float("nan"))
    n, norm = operator.shape[0], _norm(operator, generator)
    found = []
    for matrix in (operator, operator.T):
        pair = _by_arpack(eigs, matrix, "LR", EIGENVALUE_ACCURACY, generator)
        if pair is None:
            return missing
        value, vector = pair
        if value.imag < 0:
            value, vector = value.conj(), vector.conj()
        rest = matrix.matvec(vector.real) + 1j * matrix.matvec(vector.imag) - value * vector
        found.append((value, vector, float(np.linalg.norm(rest))))
    (value, right, residual), (other, left, other_residual) = found
    with np.errstate(divide="ignore"):
        condition = 1 / abs(np.sum(left * right))
    unsure = max(residual, other_residual) + np.finfo(float).eps * n**0.5 * norm
    error = float(unsure * condition)
    if not abs(value - other) <= 2 * error:
        return missing
    return Leading(complex(value), error)


def largest_initial_growth(operator: LinearOperator, generator: np.random.Generator) -> float:
    """`numerical_abscissa` from products with J and J', by ARPACK.

    Within the residual of the true one, 1e-5 of it or of 1. NaN where it did not converge.
    """
    n = operator.shape[0]
    symmetric = LinearOperator(
        (n, n), matvec=lambda x: (operator.matvec(x) + operator.rmatvec(x)) / 2, dtype=float
    )
    pair = _by_arpack(eigsh, symmetric, "LA", GROWTH_ACCURACY, generator)
    if pair is None:
        return float("nan")
    value, vector = float(pair[0].real), pair[1]
    residual = float(np.linalg.norm(symmetric.matvec(vector) - value * vector))
    return value if residual <= 10 * GROWTH_ACCURACY * max(abs(value), 1.0) else float("nan")


def _by_arpack(
    solve: Callable[..., tuple[np.ndarray, np.ndarray]],  # eigs or eigsh
    operator: LinearOperator,
    which: str,
    accuracy: float,
    generator: np.random.Generator,
) -> tuple[np.number, np.ndarray] | None:
    """One eigenvalue and its vector from a random start; None where ARPACK did not converge."""
    n = operator.shape[0]
    start = generator.standard_normal(n)
    try:
        values, vectors = solve(
            operator,
            k=1,
            which=which,
            ncv=min(BASIS, n),
            v0=start,
            tol=accuracy,
            maxiter=RESTARTS,
        )
    except ArpackError:
        return None
    return values[0], vectors[:, 0]


def _norm(operator: LinearOperator, generator: np.random.Generator) -> float:
    """About the spectral norm of J."""
    vector = generator.standard_normal(operator.shape[0])
    size = 0.0
    for _ in range(2 * POWER_STEPS):
        vector = operator.rmatvec(operator.matvec(vector / np.linalg.norm(vector)))
        size = float(np.linalg.norm(vector) ** 0.5)
    return size


def _checked(jacobian: np.ndarray) -> np.ndarray:
    """J as float64. Raises `CircuitError` unless it is a finite square matrix."""
    jacobian = np.asarray(jacobian, dtype=float)
    if jacobian.ndim != 2 or jacobian.shape[0] != jacobian.shape[1] or not jacobian.size:
        raise CircuitError(f"a Jacobian of shape {jacobian.shape}; give a square matrix")
    if not np.all(np.isfinite(jacobian)):
        raise CircuitError("the Jacobian is not finite; use weaker feedback or smaller weights")
    return jacobian


def _norm_of(matrix: np.ndarray) -> float:
    """The spectral norm, from the largest eigenvalue of M'M: all directions are in it."""
    n = len(matrix)
    square = eigvalsh(matrix.T @ matrix, subset_by_index=[n - 1, n - 1])[0]
    return float(np.sqrt(max(square, 0.0)))


def _highest(jacobian: np.ndarray, times: np.ndarray, norms: np.ndarray) -> float:
    """The highest |expm(J t)|, given its values over a grid that ends below the peaks."""
    best = float(norms.max())
    for i in range(1, len(times) - 1):
        if norms[i] >= max(norms[i - 1], norms[i + 1]) and norms[i] >= NEAR_THE_TOP * norms.max():
            found = minimize_scalar(
                lambda t: -_norm_of(expm(jacobian * t)),
                bounds=(times[i - 1], times[i + 1]),
                method="bounded",
                options={"xatol": PEAK_WIDTH * (times[i + 1] - times[i - 1])},
            )
            best = max(best, -float(found.fun))
    return best
