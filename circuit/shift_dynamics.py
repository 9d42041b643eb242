"""The rate equations of the circuit in shift coordinates (docs/derivation.md, section 2).

Owns what each layer receives and asks for when its state is its shift from the forward pass,
divided by a scale for each layer: in such units a shift of 1e-300 keeps all its digits. Does not
own the equations as they are printed (`circuit.dynamics`), their linearisation
(`circuit.linearisation`), nor the judgement whether a state is at rest (`circuit.verification`).

With alpha_l = s_{l-1}/s_l, beta_l = s_{l+1}/s_l, the drive shift k_l = W_l d_{l-1} and the
feed-forward shift p_l = alpha_l [f(h_l + s_{l-1} k_l) - f(h_l)] / s_{l-1}, the residual of layer l
is what it demands less what the layer above supplies,

    ITP    R_l = d_l - (1 - gamma_l) p_l    - gamma_l beta_l W_{l+1}^-1 v_{l+1}
    GAIT   R_l = (1 - gamma_l) (d_l - p_l)  - gamma_l beta_l W_{l+1}^-1 v_{l+1}
    output R_L = (d_L - p_L) - gamma_L (e / s_L - p_L)

where v_{l+1} is the shift of the sender's pre-activation, that of the GRAIT circuit the one of the
GAIT circuit with N^2 m in place of the mismatch m, and tau_l dd_l/dt = -R_l.

Through another feedback B than the exact inverse, with w what the sender's pre-activation differs
by from its present drive, and q_l = g^(y_{l+1}) - y_l,

    corrected    R_l = (1 - gamma_l) (d_l - p_l)  - gamma_l beta_l B_{l+1} w_{l+1}
    plain        R_l = d_l - (1 - gamma_l) p_l    - gamma_l beta_l B_{l+1} v_{l+1}
    its free phase, from the forward pass: the same less gamma_l q_l / s_l, and R_L = d_L - p_L
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from circuit.messages import gait_message, itp_message, plain_message, response
from circuit.network import Network
from circuit.numerics.arrays import (
    Array,
    epsilon,
    namespace,
    product_rounding,
    put_rows,
    row_indices,
    row_norms,
    take_rows,
)
from circuit.numerics.scale import ONE, times
from circuit.records.brief import Brief
from circuit.shifts import Shifts, require_fits
from circuit.trial import Trial


@dataclass(frozen=True, eq=False, repr=False)
class Balance(Brief):
    """What each layer l = 1 .. L of a state receives and asks for, in units of its own scale.

    Attributes
    ----------
    drive_shifts : k_l (..., batch, N_l), in units of the scale below; None for layer 1, where it
        is zero
    mismatches : d_l - p_l (..., batch, N_l)
    demands : (..., batch, projecting), what a layer's own terms leave for feedback to supply; at
        the output, what is left for the nudge, so that there it is the residual itself
    messages : v_l (..., batch, N_l) for l = 2 .. L in units of the scale of layer l; None for l = 1
    demand_drives : W_{l+1} demand_l (..., batch, N_{l+1}) for l < L where asked for, else None
    """

    drive_shifts: tuple[Array, ...]
    mismatches: tuple[Array, ...]
    demands: tuple[Array, ...]
    messages: tuple[Array, ...]
    demand_drives: tuple[Array, ...]


def scale_ratio(shifts: Shifts, upper: int, lower: int) -> float:
    """s_upper / s_lower of two layers."""
    return shifts.scales[upper - 1].over(shifts.scales[lower - 1]).value


@dataclass(frozen=True, eq=False, repr=False)
class LayerTerms(Brief):
    """One layer's share of a `Balance`.

    `demand_drive` is the demand of the layer below, carried through the weights of this one.
    """

    drive_shift: Array
    feedforward_shift: Array
    mismatch: Array
    demand: Array
    message: Array
    demand_drive: Array


def layer_terms(
    trial: Trial, shifts: Shifts, *, push_demands: bool = False
) -> Iterator[LayerTerms]:
    """The terms of the layers 1 .. L, one after the other, none of them kept."""
    circuit, network, values = trial.circuit, trial.network, shifts.values
    require_fits(shifts, trial.activity.rates[1:])
    demand = None
    for layer in range(1, network.depth + 1):
        unit, value = network.activation(layer), values[layer - 1]
        n, gamma = network.n_projecting(layer), circuit.strength(layer)
        drive, k, p, pushed, message = trial.activity.drive(layer), None, None, None, None
        mismatch = value
        if layer > 1:
            below = shifts.scales[layer - 2]
            if push_demands:
                # a demand that may be a multiple of the shift: see _push_both
                multiple = layer == 2 or not circuit.from_present_drive
                k, pushed = _push_both(network, layer, values[layer - 2], demand, multiple)
            else:
                k = network.push(layer, values[layer - 2])
            stays = unit.stays(drive, k, below.value)
            p = scale_ratio(shifts, layer - 1, layer) * response(
                unit, drive, trial.activity.slope(layer), k, below.value, stays
            )
            mismatch = value - p
            message = _message(trial, shifts, layer, k, p, mismatch, stays)
        if layer == network.depth:
            demand = mismatch[..., :n]
            if not trial.is_free:
                demand = demand - gamma * _output_pull(trial, shifts, p)[..., :n]
        elif circuit.from_present_drive:
            demand = (1 - gamma) * mismatch[..., :n]
        else:
            demand = value if n == value.shape[-1] else value[..., :n]
            if p is not None:
                demand = demand - (1 - gamma) * p[..., :n]
            if trial.is_free:
                demand = demand - gamma * trial.source[layer - 1]
        yield LayerTerms(k, p, mismatch, demand, message, pushed)


def balance(trial: Trial, shifts: Shifts, *, push_demands: bool = False) -> Balance:
    """All terms of the shift equations except the pull-back through the weights.

    `push_demands` also carries each layer's demand through the weights above it, in one product
    with its shift: the residual can then be judged without a pull-back.
    """
    layers = list(layer_terms(trial, shifts, push_demands=push_demands))
    return Balance(
        drive_shifts=tuple(terms.drive_shift for terms in layers),
        mismatches=tuple(terms.mismatch for terms in layers),
        demands=tuple(terms.demand for terms in layers),
        messages=tuple(terms.message for terms in layers),
        demand_drives=(*(terms.demand_drive for terms in layers[1:]), None),
    )


def _push_both(
    network: Network, layer: int, value: Array, demand: Array, multiple: bool
) -> tuple[Array, Array]:
    """`W_l` applied to two arrays at once, which costs less than one after the other.

    Where the demand is a multiple of the shift, as in linear pieces of the ITP circuit, the product
    of the one gives that of the other: it is checked, to rounding, sample by sample.
    """
    n = network.widths[layer]
    value = value[..., :n]
    xp, batch = namespace(value), value.shape[-2]
    square = float(xp.sum(xp.linalg.vecdot(value, value))) if multiple else 0.0
    if value.ndim == 2 and 0 < square < float("inf"):
        factor = float(xp.sum(xp.linalg.vecdot(value, demand))) / square
        rest = row_norms(demand - factor * value)
        rounding = product_rounding(epsilon(value), n) * row_norms(value)
        apart = row_indices(~(rest <= rounding))
        if not apart:
            drive = network.push(layer, value)
            return drive, factor * drive
        if len(apart) <= batch // 2:
            both = network.push(layer, xp.concat([value, take_rows(demand, apart)], axis=-2))
            drive = both[:batch, :]
            return drive, put_rows(factor * drive, apart, both[batch:, :])
    both = network.push(layer, xp.concat([value, demand], axis=-2))
    return both[..., :batch, :], both[..., batch:, :]


def _output_pull(trial: Trial, shifts: Shifts, feedforward: Array | None) -> Array:
    """What the nudge pulls at, e / s_L - p_L."""
    error = times(trial.error, ONE.over(shifts.scales[-1]))
    return error if feedforward is None else error - feedforward


def _message(
    trial: Trial, shifts: Shifts, layer: int, k: Array, p: Array, mismatch: Array, stays: Array
) -> Array:
    """v_l, the shift of the pre-activation that `layer` reports down, in units of its scale."""
    activity, scale = trial.activity, shifts.scales[layer - 1].value
    unit, h, slope = trial.network.activation(layer), activity.drive(layer), activity.slope(layer)
    circuit, gain = trial.circuit, trial.circuit.pathway
    if circuit.from_present_drive:
        below, deviation = shifts.scales[layer - 2].value, circuit.by_rows(layer, mismatch)
        return gait_message(unit, h, slope, k, below, deviation, scale, gain, stays)
    if circuit.is_plain:
        below, ratio = shifts.scales[layer - 2].value, scale_ratio(shifts, layer - 1, layer)
        deviation, still = circuit.by_rows(layer, mismatch), trial.still_by_rows(layer)
        return plain_message(unit, h, k, below, p, deviation, scale, ratio, gain, still)
    return itp_message(unit, h, activity.rates[layer], slope, shifts.values[layer - 1], scale)


def shift_velocity(trial: Trial, shifts: Shifts) -> tuple[Array, ...]:
    """dd_l/dt for l = 1 .. L in 1/s, in units of each layer's scale."""
    xp = namespace(trial.error)
    circuit, network = trial.circuit, trial.network
    terms = balance(trial, shifts)
    velocities = []
    for layer in range(1, network.depth + 1):
        residual = terms.demands[layer - 1]
        n = residual.shape[-1]
        if layer < network.depth:
            weight = circuit.strength(layer) * scale_ratio(shifts, layer + 1, layer)
            residual = residual - weight * circuit.pull(layer + 1, terms.messages[layer])
        auxiliary = terms.mismatches[layer - 1][..., n:]
        tau = circuit.time_constants[layer - 1]
        velocities.append(-xp.concat([residual, auxiliary], axis=-1) / tau)
    return tuple(velocities)
