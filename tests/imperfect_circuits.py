"""Circuits with imperfect feedback by Newton's method, dense and image by image: an oracle.

A vector field, a Jacobian and a Newton of its own, in units of the rates, that share nothing with
`circuit.shift_dynamics`, `circuit.linearisation` and the methods but the activation functions.

B_l stands in for W_l^-1 in the feedback to the hidden layers (docs/derivation.md, section 2). With
h = W_{l+1} y_l + b the drive of layer l+1, u = f(h), and what the layer sends, y_{l+1} in the ITP
pathway and u + A^2 (y_{l+1} - u) in the GAIT pathway, there are two circuits:

    plain       F = B_{l+1} (f^-1(sent) - b)
    corrected   F = y_l + B_{l+1} (f^-1(sent) - h)

They are one for B = W^-1. In the plain circuit feedback does not agree with the forward pass even
where there is no error, F - y_l = (B W - 1) y_l: its free phase (gamma_L = 0) rests elsewhere. So
it is settled twice, and a layer's shift is what the nudge adds to the free phase. The corrected one
sends deviations alone, as in difference target propagation (Lee et al. 2015), and the forward pass
stays its free phase. Its mismatch m_l = y_l - f(h_l) obeys, in a linear piece and with
r = gamma / (1 - gamma), m_l = r B_{l+1} A^{+-1} m_{l+1} (GAIT +, ITP -). So the GAIT pathway with
B = W^T carries back-propagation for any weights.

A state is a deviation z from a base, the forward pass or the free phase, in units of the rates.
With p_l = f(h_l + W_l z_{l-1}) - f(h_l), and c_l = gamma (B W - 1) y_l in the free phase of the
plain circuit, else 0, what a layer demands less what it is given is

    R_l = z_l - (1 - gamma_l) p_l - gamma_l (F - F_base) - c_l
    R_L = z_L - p_L - gamma_L (e - p_L)

with e the target less the base, and gamma_L = 0 in the free phase. Differences of f and f^-1 are
those of `circuit.activations`, so that a shift of any size keeps its digits. NumPy only; time in
units of tau.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from circuit.errors import CircuitError
from circuit.network import Activity
from circuit.numerics.arrays import row_norms
from circuit.plasticity import Update, local_update
from circuit.trial import Trial

Layers = tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Imperfect:
    """A trial whose feedback goes through other matrices than the inverses.

    Attributes
    ----------
    trial : of NumPy arrays and one network
    matrices : B_1 .. B_L (n_l, N_l), of the shapes of W^T; B_1 is never used
    corrected : whether only deviations are sent down
    offsets : c_1 .. c_L (n_l), for F = B f^-1(sent) + c in the plain circuit, which is -B b where
        none are given; c_1 is never used, and the corrected circuit has none
    """

    trial: Trial
    matrices: Layers
    corrected: bool
    offsets: Layers | None = None

    def __post_init__(self) -> None:
        shapes = [matrix.shape for matrix in self.matrices]
        wanted = [weights.shape[::-1] for weights in self.trial.network.weights]
        if shapes != wanted:
            raise CircuitError(
                f"feedback matrices of shapes {shapes}; give one like the transpose of each of the "
                f"weights {wanted}"
            )

    def bias_of_feedback(self, layer: int) -> np.ndarray | float:
        """B_l b_l + c_l: what offsets add to B_l (f^-1 - b_l)."""
        if self.offsets is None:
            return 0.0
        bias = self.trial.network.biases[layer - 1]
        return self.matrices[layer - 1] @ bias + self.offsets[layer - 1]


def residual(circuit: Imperfect, base: Activity, state: Layers, error: np.ndarray | None) -> Layers:
    """R_1 .. R_L, each `(batch, N_l)`.

    Parameters
    ----------
    base : what `state` counts from: the forward pass; of the plain circuit, an equilibrium of the
        free phase where an `error` is given
    state : L arrays (batch, N_l)
    error : array (batch, N_L), target less base, zero at auxiliary outputs; None in the free phase
    """
    trial, network = circuit.trial, circuit.trial.network
    found = []
    for layer, z in enumerate(state, 1):
        n, gamma = network.n_projecting(layer), trial.circuit.strength(layer)
        p = np.zeros_like(z)
        if layer > 1:
            lifted = network.push(layer, state[layer - 2])
            p = network.activation(layer).difference(base.drive(layer), lifted, 1.0)
        demand = z - p
        if layer < network.depth:
            pulled = _feedback_change(circuit, base, state, layer)
            if not circuit.corrected and error is None:
                rates = base.rates[layer][:, :n]
                drive = network.push(layer + 1, rates)
                pulled = pulled + drive @ circuit.matrices[layer].T - rates
                pulled = pulled + circuit.bias_of_feedback(layer + 1)
            demand[:, :n] += gamma * (p[:, :n] - pulled)
        elif error is not None:
            demand[:, :n] += gamma * (p - error)[:, :n]
        found.append(demand)
    return tuple(found)


def _feedback_change(circuit: Imperfect, base: Activity, state: Layers, layer: int) -> np.ndarray:
    """F - F_base at `layer`, (batch, projecting units)."""
    network, above = circuit.trial.network, layer + 1
    n, unit, h = network.n_projecting(layer), network.activation(above), base.drive(above)
    z, k = state[above - 1], network.push(above, state[layer - 1])
    if circuit.trial.circuit.pathway.gradient_adjusted:
        p, slope = unit.difference(h, k, 1.0), unit.slope(h + k)
        deviation = circuit.trial.circuit.by_rows(above, z - p)
        if circuit.corrected:
            # the base is the forward pass, without mismatch
            message = unit.sends(unit.value(h + k), slope**2 * deviation, 1.0)
        else:
            own, still = unit.value(h), base.slope(above)
            mismatch = circuit.trial.circuit.by_rows(above, base.rates[above] - own)
            change = p + slope**2 * deviation + (slope - still) * (slope + still) * mismatch
            message = unit.sends(own + still**2 * mismatch, change, 1.0)
    else:
        message = unit.sends(base.rates[above], z, 1.0)
        if circuit.corrected:
            message = message - k
    pulled = message @ circuit.matrices[above - 1].T
    return pulled + state[layer - 1][:, :n] if circuit.corrected else pulled


def jacobians(
    circuit: Imperfect, base: Activity, state: Layers, *, nudged: bool = True
) -> np.ndarray:
    """The Jacobian of dz/dt = -R, (batch, N, N), one an image; N are the units of layers 1 .. L."""
    trial, network = circuit.trial, circuit.trial.network
    starts = np.cumsum([0, *network.widths[1:]])
    batch, total = trial.error.shape[0], int(starts[-1])
    found = np.zeros((batch, total, total))
    found[:, range(total), range(total)] = -1.0
    for layer in range(2, network.depth + 1):
        W, B, unit = (
            network.weights[layer - 1],
            circuit.matrices[layer - 1],
            network.activation(layer),
        )
        n, read = network.n_projecting(layer), network.n_projecting(layer - 1)
        k = network.push(layer, state[layer - 2])
        h, y = base.drive(layer) + k, base.rates[layer] + state[layer - 1]
        A = unit.slope(h)
        here = slice(starts[layer - 1], starts[layer])
        below = slice(starts[layer - 2], starts[layer - 2] + read)  # that projects
        kept = np.ones(network.widths[layer])
        if nudged or layer < network.depth:
            kept[:n] -= trial.circuit.strength(layer)
        found[:, here, below] += (kept * A)[:, :, None] * W
        if trial.circuit.pathway.gradient_adjusted:
            mismatch = trial.circuit.by_rows(layer, y - unit.value(h))
            sender = unit.slope(unit.inverse(unit.value(h) + A**2 * mismatch))
            by_rate = trial.circuit.by_rows(layer, A**2) / sender
            by_drive = (A + 2 * A * unit.curvature(h) * mismatch) / sender - A * by_rate
        else:
            by_drive, by_rate = np.zeros_like(A), 1 / unit.slope(unit.inverse(y))
        gamma = trial.circuit.strength(layer - 1)
        found[:, below, here] += gamma * B * by_rate[:, None, :]
        if circuit.corrected:
            by_drive = by_drive - 1
            found[:, below, below] += gamma * np.eye(read)
        found[:, below, below] += gamma * (B * by_drive[:, None, :]) @ W
    return found


NEWTON_STEPS = 30
HALVINGS = 12  # of a step that does not lower a sample's residual
RUNGS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of gamma, for what is not settled from the base


@dataclass(frozen=True, eq=False)
class Settled:
    """What became of an attempt to settle.

    Attributes
    ----------
    base : rates, drives and slopes that the shifts count from, `(batch, units)`. In the plain
        circuit the free phase, whose rates are not f of their drives.
    shifts : L arrays (batch, N_l), what the nudge added to the base
    relative_residual : (batch,), the worst layer's |R_l| / |shift|, auxiliary units left out. NaN
        where the plain circuit has no free phase.
    settled : (batch,), whether that is within the tolerance
    """

    base: Activity
    shifts: Layers
    relative_residual: np.ndarray
    settled: np.ndarray


def settle_imperfect(circuit: Imperfect, tolerance: float = 1e-9) -> Settled:
    """Equilibria by Newton's method, every image from its base, then with gamma in rungs.

    An image that is not `settled` has no equilibrium that these found. Raises `CircuitError` where
    the shifts of the lowest layer are too small for a float.
    """
    trial = circuit.trial
    if not trial.circuit.gains[0].value > 1e-250:
        raise CircuitError(
            f"feedback strengths {trial.circuit.strengths} shift layer 1 by less than 1e-250; "
            "use stronger feedback or fewer layers"
        )
    base, at_rest = trial.activity, np.ones(trial.error.shape[0], dtype=bool)
    if not circuit.corrected:
        free, relative = _equilibrium(circuit, base, None, tolerance)
        at_rest = relative <= tolerance
        base = _moved(circuit, base, free)
    shifts, relative = _equilibrium(circuit, base, trial.target - base.rates[-1], tolerance)
    relative = np.where(at_rest, relative, np.nan)
    return Settled(base, shifts, relative, relative <= tolerance)


def leading_eigenvalues(circuit: Imperfect, found: Settled, images: int) -> np.ndarray:
    """Eigenvalue with the largest real part, complex (images,), of the first images in 1/tau.

    NaN for an image that is not settled.
    """
    values = np.full(min(images, len(found.settled)), complex(np.nan, np.nan))
    chosen = found.settled & (np.arange(len(found.settled)) < images)
    if not chosen.any():
        return values
    with np.errstate(all="ignore"):
        matrices = jacobians(*_of(circuit, found.base, found.shifts, chosen))
    for image, matrix in zip(np.flatnonzero(chosen), matrices, strict=True):
        spectrum = np.linalg.eigvals(matrix)
        values[image] = spectrum[np.argmax(spectrum.real)]
    return values


def imperfect_updates(circuit: Imperfect, found: Settled) -> tuple[Update, ...]:
    """The local updates of all layers, averaged over the settled images.

    With rates and slopes of the base: what a synapse knows is the circuit's own free phase.
    """
    network, base, there = circuit.trial.network, found.base, found.settled
    return tuple(
        local_update(
            base.slope(layer)[there],
            found.shifts[layer - 1][there] / circuit.trial.circuit.gains[layer - 1].value,
            base.rates[layer - 1][there, : network.n_projecting(layer - 1)],
        )
        for layer in range(1, network.depth + 1)
    )


def _moved(circuit: Imperfect, base: Activity, state: Layers) -> Activity:
    """The base that a state makes, with the drives and slopes that its rates cause."""
    network = circuit.trial.network
    rates = (base.rates[0], *(y + z for y, z in zip(base.rates[1:], state, strict=True)))
    drives = tuple(
        network.push(layer, rates[layer - 1]) + network.biases[layer - 1]
        for layer in range(1, network.depth + 1)
    )
    slopes = tuple(network.activation(layer).slope(h) for layer, h in enumerate(drives, 1))
    return Activity(rates, drives, slopes)


@np.errstate(all="ignore")  # what overflows on the way is refused, not printed
def _equilibrium(
    circuit: Imperfect, base: Activity, error: np.ndarray | None, tolerance: float
) -> tuple[Layers, np.ndarray]:
    """The state of every image and its relative residual; in rungs where one go does not do."""
    still = tuple(np.zeros_like(rates) for rates in base.rates[1:])
    state, relative = _newton(circuit, base, still, error, tolerance)
    missing = ~(relative <= tolerance)
    if missing.any():
        other, strengths = still, circuit.trial.circuit.strengths
        for rung in RUNGS:
            weaker = replace(
                circuit.trial.circuit, strengths=tuple(rung * gamma for gamma in strengths)
            )
            part = replace(circuit, trial=replace(circuit.trial, circuit=weaker))
            other, found = _newton(part, base, other, error, tolerance)
        better = found < np.where(np.isnan(relative), np.inf, relative)
        state = tuple(
            np.where(better[:, None], new, old) for new, old in zip(other, state, strict=True)
        )
        relative = np.where(better, found, relative)
    return state, relative


def _newton(
    circuit: Imperfect, base: Activity, state: Layers, error: np.ndarray | None, tolerance: float
) -> tuple[Layers, np.ndarray]:
    """Newton's method with halving, each layer in units of its gain; in the free phase of rates."""
    trial = circuit.trial
    widths = trial.network.widths[1:]
    sizes = np.repeat(
        [1.0 if error is None else gain.value for gain in trial.circuit.gains], widths
    )
    cuts = np.cumsum(widths)[:-1]
    present = residual(circuit, base, state, error)
    for _ in range(NEWTON_STEPS):
        relative = _relative(circuit, base, state, present, error)
        going = ~(relative <= tolerance / 100)
        if not going.any():
            break
        flat = np.concatenate(present, axis=1)
        # an image that has left the range of its units, or of floats, has no step
        usable = going & np.isfinite(flat).all(axis=1)
        if not usable.any():
            break
        matrices = jacobians(*_of(circuit, base, state, usable), nudged=error is not None)
        possible = np.isfinite(matrices).all(axis=(1, 2))
        usable[usable] = possible
        step = np.zeros_like(flat)
        try:
            scaled = matrices[possible] * (sizes[None, :] / sizes[:, None])
            step[usable] = (
                sizes * np.linalg.solve(scaled, (flat[usable] / sizes)[..., None])[..., 0]
            )
        except np.linalg.LinAlgError:
            break
        before, reach = row_norms(flat / sizes), usable.astype(float)
        for _ in range(HALVINGS):
            moved = np.split(step * reach[:, None], cuts, axis=1)
            tried = tuple(z + dz for z, dz in zip(state, moved, strict=True))
            after = residual(circuit, base, tried, error)
            size = row_norms(np.concatenate(after, axis=1) / sizes)
            worse = (reach > 0) & ~(size < before)
            if not worse.any():
                break
            reach = np.where(worse, reach / 2, reach)
        better = (size < before)[:, None]
        if not better.any():
            break
        state = tuple(np.where(better, new, old) for new, old in zip(tried, state, strict=True))
        present = tuple(np.where(better, new, old) for new, old in zip(after, present, strict=True))
    return state, _relative(circuit, base, state, present, error)


def _of(
    circuit: Imperfect, base: Activity, state: Layers, images: np.ndarray
) -> tuple[Imperfect, Activity, Layers]:
    """The circuit, the base and the state of some images."""
    rows = np.flatnonzero(images)
    part = replace(circuit, trial=circuit.trial.samples(rows.tolist()))
    activity = Activity(
        tuple(rates[rows] for rates in base.rates),
        tuple(drives[rows] for drives in base.drives),
        tuple(slopes[rows] for slopes in base.slopes),
    )
    return part, activity, tuple(z[rows] for z in state)


def _relative(
    circuit: Imperfect, base: Activity, state: Layers, residuals: Layers, error: np.ndarray | None
) -> np.ndarray:
    """The worst layer's residual against its shift, (batch,); in the free phase against rates."""
    network, worst = circuit.trial.network, np.zeros(circuit.trial.error.shape[0])
    for layer in range(1, network.depth + 1):
        n = network.n_projecting(layer)
        yard = state[layer - 1] if error is not None else base.rates[layer] + state[layer - 1]
        size, scale = row_norms(residuals[layer - 1][:, :n]), row_norms(yard[:, :n])
        ratio = np.where(size == 0, 0.0, size / np.where(scale > 0, scale, np.nan))
        if error is not None and layer == network.depth:
            # feedback may leave a layer below without any shift, but not the output with an error
            ratio = np.where((scale == 0) & error[:, :n].any(axis=1), np.inf, ratio)
        worst = np.where(np.isnan(ratio), np.inf, np.maximum(worst, ratio))
    return worst
