"""Newton's direction of the circuit in shift coordinates, and the linear systems behind it.

Owns the residual of the equations in units of the rates, the solution of a linear system with the
circuit's Jacobian, and block elimination of the circuit as it is linearised at the forward pass.
NumPy only, one network.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres

from circuit.linearisation.jacobian import jacobian_product
from circuit.numerics.arrays import finite_rows, widened
from circuit.shift_dynamics import scale_ratio, shift_velocity
from circuit.shifts import Shifts
from circuit.trial import Trial

Layers = tuple[np.ndarray, ...]

FORCING = 1e-6  # relative accuracy of a linear solve; Newton then gains up to six digits a step
DENSE_UNITS = 256  # up to so many a Jacobian is solved as a matrix where products do not suffice


def residuals(trial: Trial, shifts: Shifts) -> Layers:
    """-tau_l dd_l/dt for l = 1 .. L (batch, N_l), in units of each layer's scale.

    NaN for a sample whose rates have left the range of their units.
    """
    velocities = shift_velocity(trial, shifts)
    lost = ~finite_rows(velocities)[:, None]
    taus = trial.circuit.time_constants
    return tuple(np.where(lost, np.nan, -tau * v) for tau, v in zip(taus, velocities, strict=True))


def direction(trial: Trial, shifts: Shifts, residual: Layers) -> tuple[Layers, int]:
    """Newton's change of `shifts`, and the passes over all layers that it took.

    By GMRES from products with the Jacobian; by elimination in the matrix itself where that did not
    arrive and the circuit is small, and at once where feedback is not the exact inverse, which the
    elimination that guides GMRES takes it for. Entries that are not finite where the matrix is
    singular.
    """
    evaluations = 0
    if trial.circuit.feedback is not None and is_small(trial):
        return dense_direction(trial, shifts, residual)

    def product(flat: np.ndarray) -> np.ndarray:
        nonlocal evaluations
        evaluations += 1
        return _flat(_tangent_residuals(trial, shifts, _split(trial, flat)))

    size = sum(values.size for values in residual)
    system = LinearOperator((size, size), matvec=product, dtype=trial.error.dtype)
    eliminate = LinearOperator(
        (size, size),
        matvec=lambda flat: _flat(eliminated(trial, shifts, _split(trial, flat))),
        dtype=trial.error.dtype,
    )
    right = -_flat(residual)
    change, missed = gmres(
        system, right, M=eliminate, rtol=FORCING, atol=0.0, restart=40, maxiter=3
    )
    if missed and is_small(trial):
        return dense_direction(trial, shifts, residual, evaluations)
    # of a large circuit whatever was reached: the residual of the next state decides
    return _split(trial, change), evaluations


def is_small(trial: Trial) -> bool:
    """Whether the Jacobian of one sample may be made as a matrix."""
    return sum(trial.network.widths[1:]) <= DENSE_UNITS


def dense_direction(
    trial: Trial, shifts: Shifts, residual: Layers, evaluations: int = 0
) -> tuple[Layers, int]:
    """`direction` from the Jacobian as a matrix, sample by sample."""
    widths = trial.network.widths[1:]
    total, changes = sum(widths), []
    tangents = tuple(np.split(np.eye(total, dtype=trial.error.dtype), np.cumsum(widths)[:-1], 1))
    for sample in range(trial.error.shape[0]):
        rows = [sample] * total
        state = shifts.with_values(tuple(values[rows] for values in shifts.values))
        columns = _tangent_residuals(trial.samples(rows), state, tangents)
        right = -np.concatenate([values[sample] for values in residual])
        try:
            changes.append(np.linalg.solve(np.concatenate(columns, axis=1).T, right))
        except np.linalg.LinAlgError:
            changes.append(np.full_like(right, np.nan))
        evaluations += total
    return tuple(np.split(np.stack(changes), np.cumsum(widths)[:-1], axis=1)), evaluations


def eliminated(trial: Trial, shifts: Shifts, right: Layers) -> Layers:
    """Solve the circuit's equations, linearised at the forward pass, for the residual `right`.

    Block elimination, exact for the ITP pathway with one product and one pull-back per layer
    (docs/derivation.md, section 3); for the GAIT pathway without the output's own feed-forward
    change, which is smaller by gamma. So for every pathway through another feedback than the exact
    inverse, of a plain circuit as if it were corrected.
    """
    circuit, network = trial.circuit, trial.network
    depth, gait = network.depth, circuit.pathway.gradient_adjusted
    by_mismatch = gait or circuit.feedback is not None

    def alpha(layer: int) -> float:
        return scale_ratio(shifts, layer - 1, layer)

    def pushed(layer: int, below: np.ndarray) -> np.ndarray:
        return alpha(layer) * trial.activity.slope(layer) * network.push(layer, below)

    def pulled(layer: int, value: np.ndarray) -> np.ndarray:
        """What `value` at `layer` sends into the layer below, W_l^-1 A^{+-1} value."""
        slope = trial.activity.slope(layer)
        message = circuit.by_rows(layer, value) * slope if gait else value / slope
        pulled = circuit.pull(layer, message)
        return widened(pulled, network.widths[layer - 1]) / alpha(layer)

    if by_mismatch:
        mismatches = [right[-1]]
        for layer in range(depth - 1, 0, -1):
            n, gamma = network.n_projecting(layer), circuit.strength(layer)
            own = right[layer - 1].copy()
            own[:, :n] /= 1 - gamma
            mismatches.append(own + gamma / (1 - gamma) * pulled(layer + 1, mismatches[-1]))
        solution = [mismatches[-1]]
        for layer in range(2, depth + 1):
            solution.append(mismatches[depth - layer] + pushed(layer, solution[-1]))
        return tuple(solution)

    reduced = [right[0]]
    pivots: list[np.ndarray] = [np.ones_like(right[0][:1])]
    for layer in range(2, depth + 1):
        n, gamma = network.n_projecting(layer), circuit.strength(layer)
        kept = np.ones_like(right[layer - 1][:1])
        kept[:, :n] = 1 - gamma
        pivots.append(1 - kept * circuit.ratios[layer - 2])
        reduced.append((right[layer - 1] + kept * pushed(layer, reduced[-1])) / pivots[-1])
    solution = [reduced[-1]]
    for layer in range(depth - 1, 0, -1):
        ratio = circuit.ratios[layer - 1]
        solution.append(reduced[layer - 1] + ratio * pulled(layer + 1, solution[-1]))
    return tuple(solution[::-1])


def _tangent_residuals(trial: Trial, shifts: Shifts, tangents: Layers) -> Layers:
    """The Jacobian of `residuals` times tangents."""
    products = jacobian_product(trial, shifts, tangents)
    return tuple(-tau * p for tau, p in zip(trial.circuit.time_constants, products, strict=True))


def _flat(layers: Layers) -> np.ndarray:
    return np.concatenate([values.ravel() for values in layers])


def _split(trial: Trial, flat: np.ndarray) -> Layers:
    batch, layers, start_at = trial.error.shape[0], [], 0
    for width in trial.network.widths[1:]:
        layers.append(flat[start_at : start_at + batch * width].reshape(batch, width))
        start_at += batch * width
    return tuple(layers)
