"""Where a circuit with imperfect feedback comes to rest, how surely, and what it tells synapses.

Owns Newton's method for such a circuit, its leading eigenvalues and its updates. Does not own the
equations nor their Jacobian (`analysis.imperfection`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.imperfection import Imperfect, Layers, jacobians, residual
from circuit.arrays import row_norms
from circuit.errors import CircuitError
from circuit.network import Activity
from circuit.plasticity import Update, local_update

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
