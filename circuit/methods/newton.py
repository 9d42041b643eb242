"""Newton-Krylov: for smooth units, strong feedback, and whatever the structured methods miss.

Owns an inexact Newton iteration in shift coordinates. The linear systems are solved by SciPy's
GMRES from matrix-free Jacobian products, preconditioned by block elimination of the circuit as it
is linearised at the forward pass. NumPy only.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres

from circuit.arrays import row_norms
from circuit.dynamics import Trial
from circuit.jacobian import jacobian_product
from circuit.methods.method import Method, Progress
from circuit.methods.sweep import sweep
from circuit.shift_dynamics import scale_ratio, shift_velocity
from circuit.shifts import Shifts
from circuit.verification import Judgement

Layers = tuple[np.ndarray, ...]

HALVINGS = 3  # of a Newton step that does not lower a sample's residual, before a sweep instead
LEAST_DECREASE = 0.1  # of a sample's residual, relative, for a full step
FORCING = 1e-6  # relative accuracy of a linear solve; Newton then gains up to six digits a step


def start(trial: Trial, tolerance: float) -> Progress:
    """The forward pass."""
    return Progress(trial.at_rest(), 0)


def newton_step(trial: Trial, progress: Progress, judgement: Judgement) -> Progress:
    """One Newton step, halved where it would raise a sample's residual; a sweep where that does not
    help.
    """
    shifts, evaluations = progress.shifts, 0

    def residuals(state: Shifts) -> Layers:
        nonlocal evaluations
        evaluations += 1
        velocities = shift_velocity(trial, state)
        taus = trial.circuit.time_constants
        return tuple(-tau * v for tau, v in zip(taus, velocities, strict=True))

    def product(flat: np.ndarray) -> np.ndarray:
        nonlocal evaluations
        evaluations += 1
        products = jacobian_product(trial, shifts, _split(trial, flat))
        taus = trial.circuit.time_constants
        return _flat(tuple(-tau * p for tau, p in zip(taus, products, strict=True)))

    residual = residuals(shifts)
    size = sum(values.size for values in residual)
    system = LinearOperator((size, size), matvec=product, dtype=trial.error.dtype)
    eliminate = LinearOperator(
        (size, size),
        matvec=lambda flat: _flat(precondition(trial, shifts, _split(trial, flat))),
        dtype=trial.error.dtype,
    )
    right = -_flat(residual)
    # the convergence of GMRES is not looked at: the residual of the next state decides
    change, _ = gmres(system, right, M=eliminate, rtol=FORCING, atol=0.0, restart=40, maxiter=3)
    steps = _split(trial, change)

    before = _sample_norms(residual)
    reach = np.ones_like(before)
    for _ in range(HALVINGS):
        values = tuple(
            value + reach[:, None] * step for value, step in zip(shifts.values, steps, strict=True)
        )
        after = _sample_norms(residuals(shifts.with_values(values)))
        worse = ~(after <= (1 - LEAST_DECREASE * reach) * before)
        if not worse.any():
            break
        reach = np.where(worse, reach / 2, reach)
    if worse.any():
        # at a kink there may be no descent along Newton's direction; a sweep needs none
        swept = sweep(trial, progress, judgement)
        evaluations += swept.evaluations
        values = tuple(
            np.where(worse[:, None], other, value)
            for other, value in zip(swept.shifts.values, values, strict=True)
        )
    return Progress(shifts.with_values(values), evaluations)


METHOD = Method("newton", start, newton_step, numpy_only=True, budget=60)


def precondition(trial: Trial, shifts: Shifts, right: Layers) -> Layers:
    """Solve the circuit's equations, linearised at the forward pass, for the residual `right`.

    Block elimination, exact for the ITP pathway with one product and one pull-back per layer
    (docs/derivation.md, section 3); for the GAIT pathway without the output's own feed-forward
    change, which is smaller by gamma.
    """
    circuit, network = trial.circuit, trial.network
    depth, gait = network.depth, circuit.pathway.gradient_adjusted

    def alpha(layer: int) -> float:
        return scale_ratio(shifts, layer - 1, layer)

    def pushed(layer: int, below: np.ndarray) -> np.ndarray:
        return alpha(layer) * trial.activity.slope(layer) * network.push(layer, below)

    def pulled(layer: int, value: np.ndarray) -> np.ndarray:
        """What `value` at `layer` sends into the layer below, W_l^-1 A^{+-1} value."""
        slope = trial.activity.slope(layer)
        message = circuit.by_rows(layer, value) * slope if gait else value / slope
        return network.pull(layer, message) / alpha(layer)

    if gait:
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


def _flat(layers: Layers) -> np.ndarray:
    return np.concatenate([values.ravel() for values in layers])


def _split(trial: Trial, flat: np.ndarray) -> Layers:
    batch, layers, start_at = trial.error.shape[0], [], 0
    for width in trial.network.widths[1:]:
        layers.append(flat[start_at : start_at + batch * width].reshape(batch, width))
        start_at += batch * width
    return tuple(layers)


def _sample_norms(residual: Layers) -> np.ndarray:
    """Size of each sample's residual over all layers, in units of the layers' scales."""
    return np.sqrt(sum(row_norms(values) ** 2 for values in residual))
