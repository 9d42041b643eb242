"""The circuit whose feedback goes through a learned inverse, settled for a whole batch at once.

Owns the equilibria of both circuits, corrected and plain, in both pathways, found by sweeps. Does
not own the inverse model (`learned_inverse`), nor the same equilibria found one image at a time by
Newton's method, with their stability (`studies.imperfection.equilibrium`).

With u = f(h_l), and what a layer sends, y_l in the ITP and u + A^2 (y_l - u) in the GAIT pathway
(u + A^2 N^2 (y_l - u) in the GRAIT pathway, with `InverseModel.squared_lengths`),

    corrected   F = y_{l-1} + B_l (f^-1(sent) - h_l)        plain   F = B_l f^-1(sent) + c_l

give, in mismatches m_l = y_l - f(h_l), with r_l = gamma_l / (1 - gamma_l) and
v_l = f^-1(sent) - h_l (docs/imperfect_pathway.md),

    corrected   m_{l-1} = r_{l-1} B_l v_l                   m_L = gamma_L (t_L - f(h_L))
    plain       m_{l-1} = r_{l-1} (B_l v_l + g_l^(y_l) - y_{l-1})    with g_l^ = B_l h_l + c_l

A sweep takes the mismatches down from the output and the rates up from the input. In the corrected
circuit the forward pass is the free phase and is what shifts count from. The plain one is settled
without a target first, and what the nudge adds to that is its shift. Shifts are carried in the
scales of their gains, so that none drowns in the rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from circuit.activations import Activation
from circuit.brief import Brief
from circuit.dynamics import Circuit
from circuit.errors import CircuitError
from circuit.feedback import mismatch_ratios
from circuit.given import real, require_flag
from circuit.learned_inverse.model import InverseModel, require_model
from circuit.losses import require_error
from circuit.messages import response, where_crossing
from circuit.network import Activity, Network, require_activity
from circuit.numerics.arrays import (
    Array,
    any_true,
    epsilon,
    namespace,
    product_rounding,
    require_samples,
    row_norms,
    smallest_normal,
    widened,
)
from circuit.shifts import ONE, Scale, Shifts, excess, require_readout, times

SWEEPS = 30
LOOSENESS = 100  # of the tolerance, in roundings of a product

# for each layer its k_l and p_l, in the scales of layer l-1; None where nothing comes from below
Lifted = tuple[tuple[Array, Array] | None, ...]


@dataclass(frozen=True, eq=False, repr=False)
class LearnedEquilibrium(Brief):
    """What became of an attempt to settle.

    Attributes
    ----------
    base : what shifts count from: the forward pass, or the free phase of the plain circuit
    shifts : y_l at the equilibrium less the base's, with the circuit's gains
    mismatches : y_l - f(h_l) at the equilibrium
    relative_residual : (..., batch), the largest |R_l| / |shift| of a layer, auxiliary units left
        out; in the free phase |R_l| / |y_l|; the larger of both
    tolerance : what it is held against
    """

    base: Activity
    shifts: Shifts
    mismatches: Shifts
    relative_residual: Array
    tolerance: float

    @property
    def settled(self) -> Array:
        """Of each sample, whether it is at an equilibrium, `(..., batch)`."""
        return self.relative_residual <= self.tolerance

    def read_out(self, readout: str) -> Shifts:
        """What synapses learn from: "shift" or "mismatch". Raises `CircuitError` for others."""
        require_readout(readout)
        return self.shifts if readout == "shift" else self.mismatches


@dataclass(frozen=True, eq=False, repr=False)
class _Pass(Brief):
    """A circuit with the arrays that do not change while it settles."""

    circuit: Circuit
    model: InverseModel
    corrected: bool
    base: Activity
    still: tuple[Array, ...] | None  # mismatches of the free phase of the plain circuit
    power: int  # of two, the size of the errors where that is far from 1

    def by_rows(self, layer: int, deviation: Array) -> Array:
        """The deviation of `layer`, times N^2 in the GRAIT pathway."""
        return _by_rows(self.circuit, self.model, layer, deviation)

    @property
    def scales(self) -> tuple[Scale, ...]:
        """Sizes of the mismatches that the nudge makes in layers 1 .. L."""
        scale, scales = ONE.shifted(self.power), []
        for ratio in reversed(mismatch_ratios(self.circuit.strengths)):
            scale = scale.times(ratio)
            scales.append(scale)
        return tuple(scales[::-1])


@np.errstate(all="ignore")  # what overflows on the way is not settled, and said so
def settle_learned(
    circuit: Circuit,
    model: InverseModel,
    forward_pass: Activity,
    error: Array,
    *,
    corrected: bool = True,
    tolerance: float | None = None,
) -> LearnedEquilibrium:
    """The equilibrium of every sample.

    Parameters
    ----------
    circuit : its network's weights may be rectangular, none of them is inverted
    forward_pass : of the network, from `network.forward`
    error : array (..., batch, n_outputs)
        Target less the forward pass, from `losses.output_error`.
    tolerance : for |R| / |shift|; by default 100 roundings of a product in the precision at hand

    Returns
    -------
    LearnedEquilibrium
        A sample that is not `settled` has no equilibrium that sweeps found.

    Raises
    ------
    CircuitError
        For a tolerance that is not positive and below 1, a batch of no samples, or a model or
        arrays of another network.
    """
    require_samples(error)
    require_flag("corrected", corrected)
    network = circuit.network
    require_activity(network, forward_pass)
    require_model(network, model)
    require_error(network, forward_pass, error)
    if tolerance is None:
        tolerance = LOOSENESS * product_rounding(epsilon(error), max(network.widths))
    elif not 0 < (tolerance := real("tolerance", tolerance)) < 1:
        raise CircuitError(
            f"tolerance {tolerance} is not positive and below 1; use for example 1e-10"
        )
    base, xp = forward_pass, namespace(error)
    aim = widened(error, network.widths[-1])
    free, still = xp.zeros_like(error[..., 0]), None
    if not corrected:
        target = base.rates[-1] + aim
        base, still, free = _free_phase(circuit, model, base, tolerance)
        n = network.n_outputs
        aim = widened((target - base.rates[-1])[..., :n], network.widths[-1])
    one = _Pass(circuit, model, corrected, base, still, excess(aim))
    aim = times(aim, ONE.shifted(-one.power))
    shifts, mismatches, residual = _nudged(one, aim, tolerance)
    return LearnedEquilibrium(base, shifts, mismatches, xp.maximum(residual, free), tolerance)


# --- what the nudge adds ---


def _nudged(one: _Pass, error: Array, tolerance: float) -> tuple[Shifts, Shifts, Array]:
    """Shifts, mismatches and relative residuals, in scales of their own."""
    network, scales = one.circuit.network, one.scales
    lifted: Lifted = (None,) * network.depth
    known = _down(one, error, lifted, ())
    for sweep in range(SWEEPS):
        values, lifted = _up(one, known)
        wanted = _down(one, error, lifted, values)
        residual = _largest_ratio(one, wanted, known, values)
        # feedback may leave a layer below without any shift, but not the output with an error
        top = row_norms(values[-1][..., : network.n_outputs])
        lost = namespace(error).any(error != 0, axis=-1) & (top == 0)
        residual = namespace(error).where(lost, residual + float("inf"), residual)
        if bool(namespace(residual).all(residual <= tolerance)):
            break
        if sweep < SWEEPS - 1:  # or the residual would not be that of what is returned
            known = wanted
    shifts = Shifts(tuple(values), scales, one.circuit.gains)
    mismatches = shifts.with_values(tuple(known))
    if one.still is not None:
        mismatches = _with_still(mismatches, one.still)
    return shifts, mismatches, residual


def _with_still(mismatches: Shifts, still: Sequence[Array]) -> Shifts:
    """What the nudge makes of the mismatches, and those of the free phase `(..., batch, N_l)`."""
    values, scales = list(mismatches.values), list(mismatches.scales)
    for i, own in enumerate(still):
        if any_true(own != 0):  # in their scale, that of the nudge, they might overflow
            values[i], scales[i] = own + mismatches.absolute(i + 1), ONE
    return replace(mismatches, values=tuple(values), scales=tuple(scales))


def _up(one: _Pass, mismatches: Sequence[Array]) -> tuple[tuple[Array, ...], Lifted]:
    """From mismatches to shifts z_l = m_l + p_l, in the scales of their layers; and k_l, p_l."""
    network, scales = one.circuit.network, one.scales
    values: list[Array] = [mismatches[0]]
    lifted: list[tuple[Array, Array] | None] = [None]
    for layer in range(2, network.depth + 1):
        unit, h, slope = network.activation(layer), one.base.drive(layer), one.base.slope(layer)
        k, below = network.push(layer, values[-1]), scales[layer - 2]
        p = response(unit, h, slope, k, below.value)
        lifted.append((k, p))
        values.append(mismatches[layer - 1] + below.over(scales[layer - 1]).value * p)
    return tuple(values), tuple(lifted)


def _down(one: _Pass, error: Array, lifted: Lifted, values: Sequence[Array]) -> tuple[Array, ...]:
    """Mismatches that the nudge adds to the base's, from the drives that layers have now."""
    network, scales = one.circuit.network, one.scales
    depth, n = network.depth, network.n_outputs
    m = error
    top = lifted[-1]
    if top is not None:
        moved = scales[-2].shifted(-one.power).value * top[1]
        m = widened((error - moved)[..., :n], error.shape[-1])
    found = [m]
    for layer in range(depth, 1, -1):
        sent = slice(None, network.n_projecting(layer))
        message = _message(one, layer, found[-1], lifted[layer - 1], sent)
        pulled = one.model.pull(layer, message)
        up = lifted[layer - 1]
        if not one.corrected and up is not None:
            # (B W - 1) z: what the free phase has of its own, moved by the shift
            z = values[layer - 2][..., : pulled.shape[-1]]
            ratio = scales[layer - 2].over(scales[layer - 1]).value
            pulled = pulled + ratio * (one.model.pull(layer, up[0]) - z)
        found.append(widened(pulled, network.widths[layer - 1]))
    return tuple(found[::-1])


def _message(
    one: _Pass, layer: int, m: Array, lifted: tuple[Array, Array] | None, sent: slice
) -> Array:
    """v_l less that of the base, in the scale of layer l; of the units in `sent`."""
    network, gain = one.circuit.network, one.circuit.pathway
    unit, scale = network.activation(layer), one.scales[layer - 1].value
    below = one.scales[layer - 2].value
    h, slope, m = one.base.drive(layer)[..., sent], one.base.slope(layer)[..., sent], m[..., sent]
    k = m * 0 if lifted is None else lifted[0][..., sent]
    still = None if one.still is None else one.by_rows(layer, one.still[layer - 1][..., sent])
    deviation = one.by_rows(layer, m)
    if still is None:
        simple = slope * deviation if gain.gradient_adjusted else m / slope
        stays = unit.stays(h, k, below) & unit.stays(h + below * k, simple, scale)

        def exact(h: Array, k: Array, m: Array) -> Array:
            drive = h + below * k
            deviation = gain.local(unit.slope(drive), m)
            return unit.sends(unit.value(drive), deviation, scale)

        return where_crossing(stays, simple, exact, (h, k, deviation))
    # from the free phase, whose units have mismatches of their own
    ratio = one.scales[layer - 2].over(one.scales[layer - 1]).value
    p = m * 0 if lifted is None else lifted[1][..., sent]
    rates = unit.value(h)
    if not gain.gradient_adjusted:
        start, change = rates + still, ratio * p + m
    else:
        steeper = _slope_difference(unit, h, k, below) * ratio
        later = unit.slope(h + below * k)
        change = ratio * p + later * later * deviation + steeper * (later + slope) * still
        start = rates + slope * slope * still
    return unit.sends(start, change, scale) - ratio * k


def _slope_difference(unit: Activation, h: Array, k: Array, scale: float) -> Array:
    """[f'(h + s k) - f'(h)] / s; its limit where s k is so small that the difference drowns."""
    xp, moved = namespace(h), scale * k
    difference = (unit.slope(h + moved) - unit.slope(h)) / max(scale, smallest_normal(h))
    if unit.piecewise_linear:
        return difference
    small = xp.abs(moved) < epsilon(h) ** 0.5  # there both are wrong by about as much
    return xp.where(small, unit.curvature(h) * k, difference)


def _largest_ratio(
    one: _Pass, new: Sequence[Array], old: Sequence[Array], values: Sequence[Array]
) -> Array:
    """The largest |R_l| / |z_l| of the layers; R is the change of the mismatches times 1 - gamma,
    which is left out.
    """
    xp, network = namespace(new[0]), one.circuit.network
    worst = xp.zeros_like(new[0][..., 0])
    for layer in range(1, network.depth + 1):
        n = network.n_projecting(layer)
        change, size = (new[layer - 1] - old[layer - 1])[..., :n], values[layer - 1][..., :n]
        worst = xp.maximum(worst, _ratio(row_norms(change), row_norms(size)))
    return worst


def _by_rows(circuit: Circuit, model: InverseModel, layer: int, deviation: Array) -> Array:
    lengths = partial(model.squared_lengths, circuit.network)
    return circuit.pathway.by_rows(deviation, layer, lengths)


def _ratio(part: Array, whole: Array) -> Array:
    """Part / whole; 0 where the part is, infinite where it alone is not or something is NaN."""
    xp = namespace(part)
    one = xp.ones_like(whole)
    ratio = xp.where(whole > 0, part / xp.where(whole > 0, whole, one), one * float("inf"))
    ratio = xp.where(part == 0, 0 * one, ratio)
    return xp.where(xp.isfinite(part) & xp.isfinite(whole), ratio, one * float("inf"))


# --- the free phase of the plain circuit ---


def _free_phase(
    circuit: Circuit, model: InverseModel, start: Activity, tolerance: float
) -> tuple[Activity, tuple[Array, ...], Array]:
    """Activity and mismatches without a nudge, and the relative residuals of the samples."""
    network = circuit.network
    xp = namespace(start.rates[0])
    activity, still = start, tuple(xp.zeros_like(rates) for rates in start.rates[1:])
    for sweep in range(SWEEPS + 1):
        wanted = _free_mismatches(circuit, model, activity, still)
        residual = xp.zeros_like(start.rates[0][..., 0])
        for new, old, rates in zip(wanted, still, activity.rates[1:], strict=True):
            residual = xp.maximum(residual, _ratio(row_norms(new - old), row_norms(rates)))
        # however small mismatches are beside the rates, one sweep at least finds what they are
        if sweep == SWEEPS or (sweep > 0 and bool(xp.all(residual <= tolerance))):
            break
        still = wanted
        activity = _with_mismatches(network, start.rates[0], still)
    return activity, still, residual


def _with_mismatches(network: Network, inputs: Array, mismatches: Sequence[Array]) -> Activity:
    """The forward pass of rates y_l = f(h_l) + m_l."""
    rates, drives, slopes = [inputs], [], []
    for layer, mismatch in enumerate(mismatches, 1):
        unit, drive = network.activation(layer), network.drive(layer, rates[-1])
        drives.append(drive)
        slopes.append(unit.slope(drive))
        rates.append(unit.value(drive) + mismatch)
    return Activity(tuple(rates), tuple(drives), tuple(slopes))


def _free_mismatches(
    circuit: Circuit, model: InverseModel, activity: Activity, still: Sequence[Array]
) -> tuple[Array, ...]:
    """r_l (g^(sent) - y_l) of every hidden layer; 0 at the output."""
    network, found = circuit.network, [namespace(still[-1]).zeros_like(still[-1])]
    for layer in range(network.depth, 1, -1):
        unit, h, slope = network.activation(layer), activity.drive(layer), activity.slope(layer)
        local = circuit.pathway.local(slope, _by_rows(circuit, model, layer, still[layer - 1]))
        message = unit.sends(unit.value(h), local, 1.0)
        # auxiliary units and outputs have no mismatch, and so no message
        rates = activity.rates[layer - 1][..., : network.n_projecting(layer - 1)]
        gap = model.reconstruct(layer, h + message) - rates
        gamma = circuit.strength(layer - 1)
        found.append(widened(gamma / (1 - gamma) * gap, network.widths[layer - 1]))
    return tuple(found[::-1])
