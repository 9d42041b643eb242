"""Circuits with one increment, at the output, and strong top-down input below it (section 9).

Owns two readings of such a circuit, their equilibria and Jacobians. Does not own what theory says
of them (`studies.top_down.theory`) nor the circuit of weak feedback (`circuit.dynamics`).

With z_l = y_l - y_l^f the deviation from the forward pass, p_l = f(h_l + W_l z_{l-1}) - f(h_l) what
it does to a layer's own drive, m_l = z_l - p_l its mismatch and Phi_l = F_{l+1} - y_l^f what comes
from above (docs/derivation.md, section 2), all hidden layers obey

    dz_l/dt = -z_l + keep p_l + take Phi_l ,     dz_L/dt = -z_L + (1 - gamma_L) p_L + gamma_L e

in units of tau. Units that nobody reads have keep 1 and take 0.

    replacing   keep = 1 - gamma, take = gamma: the circuit of section 2; gamma = 1 is the inverse
                alone, y_l = F_{l+1}, and a layer does not hear the one below
    added       keep = 1, take = kappa: the whole feed-forward drive, and on top of it kappa times
                what top-down input has become since the free phase, which has to be remembered

Added without memory, y_l = g(y_{l-1}) + kappa (F_{l+1} - y_l), is `replacing` with gamma =
kappa / (1 + kappa), faster by 1 + kappa: kappa = 1 is gamma = 1/2. NumPy only.

Below 1, `replacing` is a `circuit.circuit.Circuit`, which `circuit.settle` settles as well
(`test_top_down.py::test_replacing_below_one_is_the_circuit_that_settle_knows`). The two others are
none: gamma = 1 leaves z_l - Phi_l, in which a layer's own mismatch has no part to solve for, and
`added` leaves z_l - p_l - kappa Phi_l, where p_l keeps its whole weight whatever kappa is. And the
study goes on from states of its own, such as full targets, from which `settle` does not start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from circuit.errors import CircuitError, NotFinite, TargetOutOfRange
from circuit.feedback import PATHWAYS, Gain
from circuit.losses import output_error
from circuit.network import Activity, Network, forward
from circuit.rules import target_propagation

Layers = tuple[np.ndarray, ...]

READINGS = ("replacing", "added")
STEPS = 20  # of Newton's method on each rung
HALVINGS = 12
DECREASE = 0.01  # of the residual, that is asked of a whole step
SMALL_STEP = 1e-5  # of Newton's method, against the deviation, at what is called an equilibrium
RUNGS = (1 / 8, 1 / 2, 1.0)  # of the output error, where one go does not do


@dataclass(frozen=True, eq=False)
class TopDown:
    """A circuit with strong top-down input, its input clamped and a target set.

    Attributes
    ----------
    activity : the forward pass of a batch
    error : array (batch, N_L), target less forward pass; zero at outputs without a target
    pathway : what a layer sends down
    keep, take : of the layers 1 .. L-1
    nudge : gamma_L, in [0, 1]; 0 is the free phase
    """

    network: Network
    activity: Activity
    error: np.ndarray
    pathway: Gain
    keep: float
    take: float
    nudge: float

    def by_rows(self, layer: int, deviation: np.ndarray) -> np.ndarray:
        """The deviation of `layer` times N^2 where the pathway adjusts it to the rows of W."""
        return self.pathway.by_rows(deviation, layer, self.network.squared_lengths)


def strong_circuit(
    network: Network,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    pathway: str,
    reading: str,
    strength: float,
    nudge: float,
) -> TopDown:
    """The circuit around `network`.

    Parameters
    ----------
    inputs, targets : arrays (batch, N_0), (batch, n_outputs)
    pathway : "itp", "gait" or "grait"
    reading : one of `READINGS`
    strength : gamma of the hidden layers (replacing), in (0, 1]; kappa (added), positive

    Raises
    ------
    CircuitError
    """
    if pathway not in PATHWAYS or reading not in READINGS:
        raise CircuitError(
            f"pathway {pathway!r} and reading {reading!r}: choose from {', '.join(PATHWAYS)} and "
            f"from {', '.join(READINGS)}"
        )
    if not 0 < strength <= (1 if reading == "replacing" else np.inf):
        raise CircuitError(
            f"strength {strength:g} of top-down input is out of range; use one in (0, 1]"
        )
    if not 0 <= nudge <= 1:
        raise CircuitError(f"nudge gamma = {nudge:g} is outside [0, 1]; use for example 0.01")
    activity = forward(network, inputs)
    error = np.zeros_like(activity.rates[-1])
    error[:, : network.n_outputs] = output_error(network, activity, targets)
    keep = 1.0 if reading == "added" else 1.0 - strength
    return TopDown(network, activity, error, PATHWAYS[pathway], keep, strength, nudge)


def residual(circuit: TopDown, state: Layers) -> Layers:
    """-dz_l/dt of the layers 1 .. L, each `(batch, N_l)`, at the deviations `state`."""
    network, activity = circuit.network, circuit.activity
    found = []
    for layer, z in enumerate(state, 1):
        n, p = network.n_projecting(layer), np.zeros_like(z)
        if layer > 1:
            lifted = network.push(layer, state[layer - 2])
            p = network.activation(layer).difference(activity.drive(layer), lifted, 1.0)
        demand = z - p
        if layer == network.depth:
            demand[:, :n] += circuit.nudge * (p - circuit.error)[:, :n]
        else:
            drive = _message(circuit, state, layer + 1)
            above = network.factors[layer].solve(drive)
            if circuit.pathway.gradient_adjusted:
                above = above + z[:, :n]
            demand[:, :n] += (1 - circuit.keep) * p[:, :n] - circuit.take * above
        found.append(demand)
    return tuple(found)


def _message(circuit: TopDown, state: Layers, layer: int) -> np.ndarray:
    """What `layer` reports down, as a shift of its drive; GAIT: from the drive it has now."""
    unit, activity, z = circuit.network.activation(layer), circuit.activity, state[layer - 1]
    if not circuit.pathway.gradient_adjusted:
        return unit.inverse_difference(activity.rates[layer], z, 1.0)
    h, k = activity.drive(layer), circuit.network.push(layer, state[layer - 2])
    mismatch = z - unit.difference(h, k, 1.0)
    sent = circuit.pathway.local(unit.slope(h + k), circuit.by_rows(layer, mismatch))
    return unit.inverse_difference(unit.value(h + k), sent, 1.0)


def mismatches(circuit: TopDown, state: Layers) -> Layers:
    """m_l = y_l - g_l(y_{l-1}) of the layers 1 .. L."""
    network, found = circuit.network, [state[0]]
    for layer in range(2, network.depth + 1):
        lifted, h = network.push(layer, state[layer - 2]), circuit.activity.drive(layer)
        found.append(state[layer - 1] - network.activation(layer).difference(h, lifted, 1.0))
    return tuple(found)


def jacobians(circuit: TopDown, state: Layers) -> np.ndarray:
    """The Jacobian of dz/dt, (batch, N, N), one an image; N are the units of the layers 1 .. L."""
    network = circuit.network
    starts = np.cumsum([0, *network.widths[1:]])
    total = int(starts[-1])
    found = np.zeros((circuit.error.shape[0], total, total))
    found[:, range(total), range(total)] = -1.0
    for layer in range(2, network.depth + 1):
        W, unit = network.weights[layer - 1], network.activation(layer)
        n, width = network.n_projecting(layer), network.widths[layer]
        h = circuit.activity.drive(layer) + network.push(layer, state[layer - 2])
        y, A = circuit.activity.rates[layer] + state[layer - 1], unit.slope(h)
        here = slice(starts[layer - 1], starts[layer])
        below = slice(starts[layer - 2], starts[layer - 2] + width)  # what projects
        kept = np.ones(width)
        kept[:n] = 1 - circuit.nudge if layer == network.depth else circuit.keep
        found[:, here, below] += (kept * A)[:, :, None] * W
        if circuit.pathway.gradient_adjusted:
            m = circuit.by_rows(layer, y - unit.value(h))
            sender = unit.slope(unit.inverse(unit.value(h) + A**2 * m))
            by_rate = circuit.by_rows(layer, A**2) / sender
            by_drive = (A + 2 * A * unit.curvature(h) * m) / sender - A * by_rate
        else:
            by_rate, by_drive = 1 / unit.slope(unit.inverse(y)), np.zeros_like(A)
        inverse = network.factors[layer - 1].solve(np.eye(width)).T
        found[:, below, here] += circuit.take * inverse * by_rate[:, None, :]
        found[:, below, below] += circuit.take * (inverse * by_drive[:, None, :]) @ W
    return found


@dataclass(frozen=True, eq=False)
class FreeRest:
    """What became of an attempt to find equilibria.

    Attributes
    ----------
    state : L arrays (batch, N_l), deviations from the forward pass
    relative_residual : (batch,), the worst layer's |R_l| over the largest of |z_l|, keep |z_{l-1}|
        and take |z_{l+1}|, which balance one another
    settled : (batch,), whether that is within the tolerance, and the step that Newton's method
        would make within `SMALL_STEP`: where units are flat all is slow and nothing at rest
    """

    state: Layers
    relative_residual: np.ndarray
    settled: np.ndarray


@np.errstate(all="ignore")  # what overflows on the way is refused, not printed
def find_rest(circuit: TopDown, start: Layers | None = None, tolerance: float = 1e-9) -> FreeRest:
    """Equilibria by Newton's method, each image on its own.

    From `start` or, without one, from the forward pass: in one go, and what is not found so from
    full targets (strong `replacing`) and along growing output errors. An image that is not settled
    has no equilibrium that these found, or none that is isolated.
    """
    still = tuple(np.zeros_like(rates) for rates in circuit.activity.rates[1:])
    state, relative = _newton(circuit, still if start is None else start, tolerance)
    if start is None and not np.all(relative <= tolerance):
        if circuit.take == 1 - circuit.keep and circuit.take > 0.5:
            other, found = _newton(circuit, _full_targets(circuit), tolerance)
            better = found < np.nan_to_num(relative, nan=np.inf)
            state, relative = _chosen(better, other, state), np.where(better, found, relative)
        other = still
        for rung in RUNGS:
            other, found = _newton(replace(circuit, error=rung * circuit.error), other, tolerance)
        better = np.nan_to_num(found, nan=np.inf) < np.nan_to_num(relative, nan=np.inf)
        state = _chosen(better, other, state)
        relative = np.where(better, found, relative)
    settled = relative <= tolerance
    missing = np.concatenate(_residual_or_nan(circuit, state), axis=1)
    for image in np.flatnonzero(settled):
        step = _step(circuit, state, missing, int(image))
        size = np.linalg.norm(np.concatenate([z[image] for z in state]))
        settled[image] = step is not None and np.linalg.norm(step) <= SMALL_STEP * size
    return FreeRest(state, relative, settled)


def _relative(circuit: TopDown, state: Layers, missing: Layers) -> np.ndarray:
    """(batch,), see `FreeRest`."""
    none = np.zeros(len(state[0]))
    sizes = [none, *(np.linalg.norm(z, axis=1) for z in state), none]
    ratios = []
    for layer, r in enumerate(missing, 1):
        around = (circuit.keep * sizes[layer - 1], sizes[layer], circuit.take * sizes[layer + 1])
        ratios.append(np.linalg.norm(r, axis=1) / np.maximum(np.max(around, axis=0), 1e-290))
    return np.asarray(np.max(ratios, axis=0))


def _step(circuit: TopDown, state: Layers, missing: np.ndarray, image: int) -> np.ndarray | None:
    """Newton's step (N,) for one image; None where there is none."""
    one = tuple(z[image : image + 1] for z in state)
    try:
        matrix = jacobians(image_of(circuit, image), one)[0]
        return np.asarray(np.linalg.solve(matrix, missing[image]))
    except (np.linalg.LinAlgError, TargetOutOfRange):
        return None


def _residual_or_nan(circuit: TopDown, state: Layers) -> Layers:
    """The residual, NaN for images that have left the range of their units or of floats."""
    try:
        return residual(circuit, state)
    except (TargetOutOfRange, NotFinite):
        if circuit.error.shape[0] == 1:
            return tuple(np.full_like(z, np.nan) for z in state)
        alone = [
            _residual_or_nan(image_of(circuit, i), tuple(z[i : i + 1] for z in state))
            for i in range(circuit.error.shape[0])
        ]
        return tuple(np.concatenate(layer) for layer in zip(*alone, strict=True))


def image_of(circuit: TopDown, image: int) -> TopDown:
    """The circuit with one image of its batch."""

    def one(arrays: Layers) -> Layers:
        return tuple(array[image : image + 1] for array in arrays)

    old = circuit.activity
    activity = Activity(one(old.rates), one(old.drives), one(old.slopes))
    return replace(circuit, activity=activity, error=circuit.error[image : image + 1])


def with_inputs(circuit: TopDown, inputs: np.ndarray) -> TopDown:
    """The circuit with other inputs and the same targets."""
    n, activity = circuit.network.n_outputs, forward(circuit.network, inputs)
    error = np.zeros_like(circuit.error)
    error[:, :n] = (circuit.activity.rates[-1] + circuit.error - activity.rates[-1])[:, :n]
    return replace(circuit, activity=activity, error=error)


def _full_targets(circuit: TopDown) -> Layers:
    """The shifts of target propagation (Eq. 5), where `replacing` with gamma = 1 is at rest; zero
    for an image whose targets are out of range.
    """
    network, batch = circuit.network, circuit.error.shape[0]
    found = tuple(np.zeros_like(rates) for rates in circuit.activity.rates[1:])
    for image in range(batch):
        one = image_of(circuit, image)
        try:
            shifts = target_propagation(network, one.activity, one.error[:, : network.n_outputs])
        except (TargetOutOfRange, NotFinite):
            continue
        for layer, values in enumerate(found, 1):
            values[image] = shifts.absolute(layer)[0]
    return found


def _chosen(mask: np.ndarray, these: Layers, those: Layers) -> Layers:
    return tuple(np.where(mask[:, None], new, old) for new, old in zip(these, those, strict=True))


def _newton(circuit: TopDown, state: Layers, tolerance: float) -> tuple[Layers, np.ndarray]:
    """Newton's method with halved steps, from `state`; every image stops for itself."""
    cuts = np.cumsum(circuit.network.widths[1:])[:-1]
    missing, going = _residual_or_nan(circuit, state), np.ones(len(state[0]), dtype=bool)
    for _ in range(STEPS):
        flat = np.concatenate(missing, axis=1)
        relative = _relative(circuit, state, missing)
        going &= ~(relative <= tolerance / 100) & np.isfinite(flat).all(axis=1)
        step = np.zeros_like(flat)
        for image in np.flatnonzero(going):
            one = _step(circuit, state, flat, int(image))
            going[image] = one is not None
            step[image] = 0.0 if one is None else one
        reach, before = going.astype(float), np.linalg.norm(flat, axis=1)
        moving = np.zeros(len(going), dtype=bool)
        for _ in range(HALVINGS):
            pieces = np.split(step * reach[:, None], cuts, axis=1)
            tried = tuple(z + dz for z, dz in zip(state, pieces, strict=True))
            after = _residual_or_nan(circuit, tried)
            size = np.linalg.norm(np.concatenate(after, axis=1), axis=1)
            take = going & ~moving & (size < (1 - DECREASE * reach) * before)
            state, missing = _chosen(take, tried, state), _chosen(take, after, missing)
            moving |= take
            if np.all(moving | ~going):
                break
            reach = np.where(moving, 0.0, reach / 2)
        going &= moving  # what one step does not better is not tried again
        if not going.any():
            break
    return state, _relative(circuit, state, missing)
