"""The rate equations of the circuit, and their linearisation (docs/derivation.md, section 2).

Owns the physics: which rates drive which, and how fast. Does not own methods that find where the
rates come to rest, nor the judgement whether they have.

    tau_l dy_l/dt = -y_l + (1 - gamma_l) g_l(y_{l-1}) + gamma_l F_{l+1}(y_l, y_{l+1})    l < L
    tau_L dy_L/dt = -y_L + (1 - gamma_L) g_L(y_{L-1}) + gamma_L t_L

    ITP pathway    F = g^-1(y_{l+1})
    GAIT pathway   F = g^-1( u + A^2 (y_{l+1} - u) ),   u = g_{l+1}(y_l),  A the slope at u

The input y_0 is clamped. Auxiliary units receive no feedback: for them the factor (1 - gamma) and
the feedback are left out.

Two sets of coordinates: the rates themselves (`velocity`), and the shifts from the forward pass,
divided by a scale for each layer (`balance`, `shift_velocity`, `jacobian_product`), in which a
shift of 1e-300 keeps all its digits. With alpha_l = s_{l-1}/s_l, beta_l = s_{l+1}/s_l, the drive
shift k_l = W_l d_{l-1} and the feed-forward shift p_l = alpha_l [f(h_l + s_{l-1} k_l) - f(h_l)] /
s_{l-1}, the residual of layer l is what it demands less what the layer above supplies,

    ITP    R_l = d_l - (1 - gamma_l) p_l    - gamma_l beta_l W_{l+1}^-1 v_{l+1}
    GAIT   R_l = (1 - gamma_l) (d_l - p_l)  - gamma_l beta_l W_{l+1}^-1 v_{l+1}
    output R_L = (d_L - p_L) - gamma_L (e / s_L - p_L)

where v_{l+1} is the shift of the sender's pre-activation, and tau_l dd_l/dt = -R_l.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import array_api_compat

from circuit.arrays import (
    Array,
    epsilon,
    namespace,
    product_rounding,
    put_rows,
    row_indices,
    row_norms,
    take_rows,
    widened,
)
from circuit.errors import CircuitError
from circuit.feedback import (
    PATHWAYS,
    Gain,
    mismatch_ratios,
    per_layer,
    ruin_ratios,
)
from circuit.losses import AS_GIVEN, Doubt, Loss, doubt, output_error
from circuit.network import Activity, Network, forward
from circuit.scale import ONE, Scale
from circuit.shifts import Shifts
from circuit.units import gait_message, itp_message, response


@dataclass(frozen=True, eq=False)
class Circuit:
    """A network with weak feedback.

    Attributes
    ----------
    pathway : `Gain`, what a layer sends down
    strengths : gamma_1 .. gamma_L; the last is the nudge
    time_constants : tau_1 .. tau_L in seconds
    """

    network: Network
    pathway: Gain
    strengths: tuple[float, ...]
    time_constants: tuple[float, ...]

    def strength(self, layer: int) -> float:
        """Gamma of `layer`."""
        return self.strengths[layer - 1]

    @cached_property
    def ratios(self) -> tuple[float, ...]:
        """Size of each layer's shift against that of the layer above, weights aside."""
        if self.pathway.gradient_adjusted:
            return mismatch_ratios(self.strengths)
        return ruin_ratios(self.strengths)

    @cached_property
    def gains(self) -> tuple[Scale, ...]:
        """Product of `ratios` from each layer 1 .. L up: the known size of its shift."""
        gain, gains = ONE, []
        for ratio in reversed(self.ratios):
            gain = gain.times(ratio)
            gains.append(gain)
        return tuple(gains[::-1])


def build_circuit(
    network: Network,
    pathway: str = "gait",
    feedback_strength: float | Sequence[float] = 0.01,
    *,
    nudge: float | None = None,
    time_constant: float | Sequence[float] = 0.010,
) -> Circuit:
    """A circuit around `network`.

    Parameters
    ----------
    pathway : "itp" or "gait"
    feedback_strength
        gamma for all layers; or gamma_1 .. gamma_L, or gamma_1 .. gamma_{L-1} beside a `nudge`.
    nudge
        gamma_L, the strength with which the output is drawn to its target. By default the
        feedback strength.
    time_constant
        tau for all layers or one per layer, in seconds.

    Raises
    ------
    CircuitError
    """
    if pathway not in PATHWAYS:
        raise CircuitError(f"pathway {pathway!r} is unknown; choose from {', '.join(PATHWAYS)}")
    for unit in network.activations:
        if unit.clips is not None:
            raise CircuitError(
                f"a circuit inverts its units exactly, {unit.name} does not; use tanh"
            )
    depth = network.depth
    if nudge is not None:
        hidden = (
            (feedback_strength,) * (depth - 1)
            if isinstance(feedback_strength, int | float)
            else tuple(feedback_strength)[: depth - 1]
            if len(tuple(feedback_strength)) == depth
            else tuple(feedback_strength)
        )
        feedback_strength = (*hidden, nudge)
    constants = (
        (float(time_constant),) * depth
        if isinstance(time_constant, int | float)
        else tuple(float(tau) for tau in time_constant)
    )
    if len(constants) != depth or not all(0 < tau < float("inf") for tau in constants):
        raise CircuitError(
            f"time constants {constants}: give one or {depth} positive numbers of seconds"
        )
    return Circuit(network, PATHWAYS[pathway], per_layer(feedback_strength, depth), constants)


@dataclass(frozen=True, eq=False)
class Trial:
    """A circuit with its input clamped and a target for its output.

    Attributes
    ----------
    activity : the forward pass, with rates (..., batch, N_l)
    error : array (..., batch, N_L)
        t_L - y_L, zero at auxiliary outputs.
    doubt : how well the error is known, given that the outputs are rounded
    """

    circuit: Circuit
    activity: Activity
    error: Array
    doubt: Doubt = AS_GIVEN

    @property
    def network(self) -> Network:
        """The circuit's network."""
        return self.circuit.network

    @property
    def target(self) -> Array:
        """t_L `(..., batch, N_L)`: fixed during the trial, made from the forward pass."""
        return self.activity.rates[-1] + self.error

    def samples(self, indices: Sequence[int]) -> Trial:
        """The trial of some samples of the batch (of one network, not of a stack)."""

        def chosen(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
            return tuple(take_rows(array, indices) for array in arrays)

        activity = Activity(
            chosen(self.activity.rates), chosen(self.activity.drives), chosen(self.activity.slopes)
        )
        return replace(self, activity=activity, error=take_rows(self.error, indices))

    def at_rest(self) -> Shifts:
        """The forward pass itself, as shifts of zero in the circuit's natural scales."""
        xp = namespace(self.error)
        return Shifts(
            tuple(xp.zeros_like(rates) for rates in self.activity.rates[1:]),
            self.circuit.gains,
            self.circuit.gains,
        )


def begin(circuit: Circuit, inputs: Array, targets: Array, loss: str | Loss = "quadratic") -> Trial:
    """Clamp the input and set the target.

    Parameters
    ----------
    inputs : array (..., batch, N_0)
    targets : array (..., batch, n_outputs)
    loss : as in `losses.output_error`; the target of the circuit is y_L - dL/dy_L (section 5)

    Raises
    ------
    CircuitError, ShapeMismatch, NotFinite
    """
    activity = forward(circuit.network, inputs)
    error = output_error(circuit.network, activity, targets, loss)
    error = widened(error, circuit.network.widths[-1])
    return Trial(circuit, activity, error, doubt(targets, loss))


def in_float64(trial: Trial) -> Trial:
    """The same circuit, input and targets in float64, with the forward pass computed anew."""
    xp, network = namespace(trial.error), trial.network

    def exact(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(xp.astype(array, xp.float64) for array in arrays)

    if trial.error.dtype == xp.float64:
        return trial
    precise = replace(network, weights=exact(network.weights), biases=exact(network.biases))
    (inputs,) = exact(trial.activity.rates[:1])
    target = xp.astype(trial.activity.rates[-1], xp.float64) + xp.astype(trial.error, xp.float64)
    activity = forward(precise, inputs)
    aimed = slice(None, network.n_outputs)
    error = widened((target - activity.rates[-1])[..., aimed], network.widths[-1])
    # from here on it is the target that is given
    return Trial(replace(trial.circuit, network=precise), activity, error, Doubt(steepness=1.0))


def velocity(trial: Trial, rates: Sequence[Array], *, nudged: bool = True) -> tuple[Array, ...]:
    """dy_l/dt for l = 1 .. L in 1/s, at the rates y_1 .. y_L `(..., batch, N_l)`.

    The equations as they are printed. For finding an equilibrium use shift coordinates instead.
    `nudged=False` is the free phase: gamma_L = 0.
    """
    circuit, network = trial.circuit, trial.network
    below = (trial.activity.rates[0], *rates)
    xp = namespace(*below)

    velocities = []
    for layer in range(1, network.depth + 1):
        n, gamma = network.n_projecting(layer), circuit.strength(layer)
        feedforward = network.activation(layer).value(network.drive(layer, below[layer - 1]))
        if layer == network.depth:
            feedback = trial.target[..., :n]
            gamma = gamma if nudged else 0.0
        else:
            unit = network.activation(layer + 1)
            sent = below[layer + 1]
            if circuit.pathway.gradient_adjusted:
                local = network.drive(layer + 1, below[layer])
                own = unit.value(local)
                sent = own + circuit.pathway.local(unit.slope(local), sent - own)
            bias = xp.expand_dims(network.biases[layer], axis=-2)
            feedback = network.pull(layer + 1, unit.inverse(sent) - bias)[..., :n]
        driven = feedforward - below[layer]
        pulled = driven[..., :n] + gamma * (feedback - feedforward[..., :n])
        velocities.append(
            xp.concat([pulled, driven[..., n:]], axis=-1) / circuit.time_constants[layer - 1]
        )
    return tuple(velocities)


@dataclass(frozen=True, eq=False)
class Balance:
    """What each layer l = 1 .. L of a state receives and asks for, in units of its own scale.

    Attributes
    ----------
    drive_shifts : k_l (..., batch, N_l), in units of the scale below; None for layer 1, where it
        is zero
    feedforward_shifts : p_l (..., batch, N_l); None for layer 1, where it is zero
    mismatches : d_l - p_l (..., batch, N_l)
    demands : (..., batch, projecting), what a layer's own terms leave for feedback to supply; at
        the output, what is left for the nudge, so that there it is the residual itself
    messages : v_l (..., batch, N_l) for l = 2 .. L in units of the scale of layer l; None for l = 1
    demand_drives : W_{l+1} demand_l (..., batch, N_{l+1}) for l < L where asked for, else None
    """

    drive_shifts: tuple[Array, ...]
    feedforward_shifts: tuple[Array, ...]
    mismatches: tuple[Array, ...]
    demands: tuple[Array, ...]
    messages: tuple[Array, ...]
    demand_drives: tuple[Array, ...]


def scale_ratio(shifts: Shifts, upper: int, lower: int) -> float:
    """s_upper / s_lower of two layers."""
    return shifts.scales[upper - 1].over(shifts.scales[lower - 1]).value


@dataclass(frozen=True, eq=False)
class LayerTerms:
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
                multiple = layer == 2 or not circuit.pathway.gradient_adjusted
                k, pushed = _push_both(network, layer, values[layer - 2], demand, multiple)
            else:
                k = network.push(layer, values[layer - 2])
            stays = unit.stays(drive, k, below.value)
            p = scale_ratio(shifts, layer - 1, layer) * response(
                unit, drive, trial.activity.slope(layer), k, below.value, stays
            )
            mismatch = value - p
            message = _message(trial, shifts, layer, k, mismatch, stays)
        if layer == network.depth:
            demand = mismatch[..., :n] - gamma * _output_pull(trial, shifts, p)[..., :n]
        elif circuit.pathway.gradient_adjusted:
            demand = (1 - gamma) * mismatch[..., :n]
        else:
            demand = value if n == value.shape[-1] else value[..., :n]
            if p is not None:
                demand = demand - (1 - gamma) * p[..., :n]
        yield LayerTerms(k, p, mismatch, demand, message, pushed)


def balance(trial: Trial, shifts: Shifts, *, push_demands: bool = False) -> Balance:
    """All terms of the shift equations except the pull-back through the weights.

    `push_demands` also carries each layer's demand through the weights above it, in one product
    with its shift: the residual can then be judged without a pull-back.
    """
    layers = list(layer_terms(trial, shifts, push_demands=push_demands))
    return Balance(
        drive_shifts=tuple(terms.drive_shift for terms in layers),
        feedforward_shifts=tuple(terms.feedforward_shift for terms in layers),
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
    """E / s_L - p_L."""
    error = trial.error * ONE.over(shifts.scales[-1]).value
    return error if feedforward is None else error - feedforward


def _message(
    trial: Trial, shifts: Shifts, layer: int, k: Array, mismatch: Array, stays: Array
) -> Array:
    """v_l, the shift of the pre-activation that `layer` reports down, in units of its scale."""
    activity, scale = trial.activity, shifts.scales[layer - 1].value
    unit, h, slope = trial.network.activation(layer), activity.drive(layer), activity.slope(layer)
    if trial.circuit.pathway.gradient_adjusted:
        below = shifts.scales[layer - 2].value
        gain = trial.circuit.pathway
        return gait_message(unit, h, slope, k, below, mismatch, scale, gain, stays)
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
            residual = residual - weight * network.factors[layer].solve(terms.messages[layer])
        auxiliary = terms.mismatches[layer - 1][..., n:]
        tau = circuit.time_constants[layer - 1]
        velocities.append(-xp.concat([residual, auxiliary], axis=-1) / tau)
    return tuple(velocities)


def jacobian_product(trial: Trial, shifts: Shifts, tangents: Sequence[Array]) -> tuple[Array, ...]:
    """The Jacobian of `shift_velocity` at `shifts` times `tangents`, without forming it.

    Parameters
    ----------
    tangents : L arrays (..., batch, N_l), in units of the scales of `shifts`

    Returns
    -------
    L arrays (..., batch, N_l), in 1/s
    """
    xp = namespace(trial.error)
    circuit, network = trial.circuit, trial.network
    terms = balance(trial, shifts)
    pushed: list[Array] = [None]  # the tangent of p_l
    messages: list[Array] = [None]  # the tangent of v_l
    for layer in range(2, network.depth + 1):
        unit = network.activation(layer)
        ratio, scale = scale_ratio(shifts, layer - 1, layer), shifts.scales[layer - 1].value
        drive = trial.activity.drive(layer)
        moved = drive + shifts.scales[layer - 2].value * terms.drive_shifts[layer - 1]
        slope = unit.slope(moved)
        drive_tangent = ratio * network.push(layer, tangents[layer - 2])
        pushed.append(slope * drive_tangent)
        tangent = tangents[layer - 1]
        if circuit.pathway.gradient_adjusted:
            mismatch = scale * terms.mismatches[layer - 1]
            steepening = 2 * slope * unit.curvature(moved) * mismatch * drive_tangent
            tangent = pushed[-1] + slope * slope * (tangent - pushed[-1]) + steepening
            sender = moved + scale * terms.messages[layer - 1]
        else:
            sender = drive + scale * terms.messages[layer - 1]
        messages.append(tangent / unit.slope(sender))
    products = []
    for layer in range(1, network.depth + 1):
        gamma, n = circuit.strength(layer), network.n_projecting(layer)
        change = -tangents[layer - 1]
        if pushed[layer - 1] is not None:
            change = change + pushed[layer - 1]
            slowed = change[..., :n] - gamma * pushed[layer - 1][..., :n]
        else:
            slowed = change[..., :n]
        if layer < network.depth:
            weight = gamma * scale_ratio(shifts, layer + 1, layer)
            slowed = slowed + weight * network.factors[layer].solve(messages[layer])
        products.append(
            xp.concat([slowed, change[..., n:]], axis=-1) / circuit.time_constants[layer - 1]
        )
    return tuple(products)


def dense_jacobian(trial: Trial, shifts: Shifts, sample: int = 0) -> Array:
    """The Jacobian at one sample of the batch as a matrix, in 1/s and in units of the rates.

    For small circuits: a square matrix with as many rows as the circuit has units, layers 1 .. L
    in order. Raises `CircuitError` for more than 4096 units or a stack of networks.
    """
    network = trial.network
    widths = network.widths[1:]
    total = sum(widths)
    if total > 4096 or trial.error.ndim != 2:
        raise CircuitError(
            f"a dense Jacobian of {total} units; use at most 4096 units and one network, "
            "or jacobian_product"
        )
    xp = namespace(trial.error)

    def repeated(array: Array) -> Array:
        return xp.broadcast_to(array[sample : sample + 1, :], (total, array.shape[-1]))

    many = Trial(
        trial.circuit,
        Activity(
            tuple(map(repeated, trial.activity.rates)),
            tuple(map(repeated, trial.activity.drives)),
            tuple(map(repeated, trial.activity.slopes)),
        ),
        repeated(trial.error),
    )
    absolute = Shifts(
        tuple(repeated(shifts.absolute(layer)) for layer in range(1, network.depth + 1)),
        (ONE,) * network.depth,
        shifts.gains,
    )
    eye = xp.eye(total, dtype=trial.error.dtype, device=array_api_compat.device(trial.error))
    tangents, start = [], 0
    for width in widths:
        tangents.append(eye[:, start : start + width])
        start += width
    columns = jacobian_product(many, absolute, tangents)
    return xp.matrix_transpose(xp.concat(list(columns), axis=-1))
