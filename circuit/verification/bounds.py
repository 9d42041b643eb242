"""How far a computed equilibrium can be from the true one: a bound, after the fact.

Owns the step from the residual of a state to a bound on its error, `|d_l - d*_l| <= E_l`, for every
sample and layer.

The true and the computed state satisfy the same equations but for the residual R. Subtracting them
and taking norms leaves scalar inequalities between neighbouring layers, with the norms of W_l and
W_l^-1 and the slopes of the units at the computed state as coefficients:

ITP    E_l <= a_l |W^-1| |1/A'| E_{l+1} + S_l ,
       p_l S_l = |R_l| + (1-gamma) |A| |W| S_{l-1} + N_l                       (block elimination)
GAIT   (1-gamma) M_l <= gamma |W^-1| (|A^2/A'| M_{l+1} + |dv/dh| H_{l+1}) + |R_l| ,
       E_l <= M_l + |A| H_l ,     H_l = |W_l| E_{l-1} ,     M_L <= |R_L| + gamma |A| H_L
GRAIT  the same with |A^2 N^2 / A'| for |A^2/A'|, and in dv/dh with N^2 m for the mismatch m

other  the same as GAIT with |B_l| for |W_l^-1|, and in the ITP pathway |1/A'| for |A^2/A'|; in a
       plain circuit, whose feedback stands for the whole rate below, with gamma |B W - 1| E_l more

with A the slope at a unit's drive, A' that at the point it sends down, and p_l the least entry of
1 - (1-gamma) a_{l-1} A/A'. N_l and dv/dh collect what the linearisation leaves out: units with a
kink between the two, units whose kink lies within the error itself, and curvature. They depend on
E, so the
inequalities are iterated from E = 0 up to the smallest E that satisfies them. An E with Phi(E) <= E
means that a true equilibrium lies within E (Brouwer). Where the iteration does not come to rest, no
bound can be given, and it is infinite.

Rounding of the evaluation and of the forward pass is added to |R| in the probabilistic model of
Higham and Mary (2019), in which rounding errors of a product add up like sqrt(n). The forward pass
moves the slopes that a shift meets (all of it, where a unit is that close to its kink), and it
rounds the error too, as far as it is made from its outputs (`circuit.verification.doubt`): t - y of
a quadratic loss is known no better than y is, an error that a user's own loss returns is taken as
it is given. The free phase of a plain circuit has a bound of its own; what is said of its nudged
phase is said of the shifts around that free phase as it stands in the trial.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from circuit.numerics.arrays import Array, epsilon, flattened, namespace, row_norms, to_numpy
from circuit.numerics.scale import ONE
from circuit.shift_dynamics import balance, scale_ratio
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.judgement import relative_to

ITERATIONS = 200
SAFETY = 4.0  # on every rounding term: each stands for a few operations
SETTLED = 1e-3  # relative growth of E below which an iteration is at rest; added to the result


def relative_error_bounds(trial: Trial, shifts: Shifts) -> tuple[float, ...]:
    """For every layer 1 .. L the worst sample's bound on |delta - delta*| / |delta|.

    Units without feedback are left out. Infinite where no bound could be found.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.verification import relative_error_bounds
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> max(relative_error_bounds(trial, settle(trial).shifts)) < 1e-12
    True
    """
    bounds = error_bounds(trial, shifts)
    silent = to_numpy(namespace(trial.error).all(trial.error == 0, axis=-1)).reshape(-1)
    if trial.circuit.feedback is not None:  # through which no shift at all may be right
        silent = silent | True
    worst = []
    for layer, bound in enumerate(bounds, 1):
        n = trial.network.n_projecting(layer)
        norms = flattened(row_norms(shifts.values[layer - 1][..., :n]))
        relative = relative_to(norms, bound, silent)
        worst.append(float(np.max(np.where(np.isnan(relative), np.inf, relative))))
    return tuple(worst)


def error_bounds(trial: Trial, shifts: Shifts) -> tuple[np.ndarray, ...]:
    """E_l of every layer 1 .. L, `(samples,)`, in units of the scale of the layer.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.verification import error_bounds
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> [bound.shape for bound in error_bounds(trial, settle(trial).shifts)]
    [(1,), (1,)]
    """
    with np.errstate(over="ignore", invalid="ignore"):  # of a state that is none
        state = _Measured(trial, shifts)
    errors = [np.zeros(state.samples) for _ in range(state.depth + 1)]
    by_mismatch = trial.circuit.pathway.gradient_adjusted or trial.circuit.feedback is not None
    improve = _improve_gait if by_mismatch else _improve_itp
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for _ in range(ITERATIONS):
            before, errors = errors, improve(state, errors)
            grown = [new > (1 + SETTLED) * old for new, old in zip(errors, before, strict=True)]
            if not np.any(grown):
                return tuple(error * (1 + 2 * SETTLED) for error in errors[1:])
            if not np.all(np.isfinite(errors)):
                break
    unsettled = np.any(grown, axis=0)
    return tuple(np.where(unsettled, np.inf, error * (1 + 2 * SETTLED)) for error in errors[1:])


class _Measured:
    """Norms of everything that the inequalities need, per sample; lists are indexed by layer."""

    def __init__(self, trial: Trial, shifts: Shifts) -> None:
        self.trial, self.circuit, self.network = trial, trial.circuit, trial.network
        self.depth = trial.network.depth
        self.samples = int(np.prod(trial.error.shape[:-1]))
        self.eps = epsilon(trial.error)
        self.shifts = shifts
        self.terms = balance(trial, shifts)
        self.scale = [1.0, *(scale.value for scale in shifts.scales)]
        self.alpha = [0.0, 0.0] + [scale_ratio(shifts, k - 1, k) for k in range(2, self.depth + 1)]
        self.norm = [0.0, *(factor.norm for factor in self.network.factors)]
        # W_1 is not inverted, and need not have an inverse
        inverted, feedback = self.network.factors[1:], self.circuit.feedback
        self.inverse_norm = [0.0, 0.0]  # or the norm of what stands in for the inverse
        self.defect = [0.0] * (self.depth + 1)  # |B W - 1| above a layer of a plain circuit
        if feedback is None:
            self.inverse_norm += [factor.inverse_norm for factor in inverted]
        else:
            self.inverse_norm += feedback.norms
            if self.circuit.is_plain:
                self.defect[1:-1] = feedback.defects(self.network)
        self.forward_rounding = self._forward_rounding()
        self.units: list[Any] = [None, *(_Units(self, layer) for layer in range(1, self.depth + 1))]
        self.residual: list[Any] = [
            None,
            *(self._residual(layer) for layer in range(1, self.depth + 1)),
        ]

    def weight(self, layer: int) -> float:
        """gamma_l s_{l+1} / s_l."""
        return self.circuit.strength(layer) * scale_ratio(self.shifts, layer + 1, layer)

    def _forward_rounding(self) -> list[np.ndarray]:
        """Bound on the rounding of y_l^f, (samples,), for l = 0 .. L; a free phase is as it is."""
        errors = [np.zeros(self.samples)]
        if self.trial.still is not None:
            return errors * (self.depth + 1)
        for layer in range(1, self.depth + 1):
            activity = self.trial.activity
            below = flattened(row_norms(activity.rates[layer - 1]))
            longest = max(self.network.weights[layer - 1].shape[-2:]) ** 0.5
            fresh = SAFETY * self.eps * longest * self.norm[layer] * below
            # the drive, its bias being added, and what the unit's function makes of it
            unit, drive = self.network.activation(layer), activity.drive(layer)
            few = SAFETY if not unit.piecewise_linear else float(unit.name != "linear")
            rates = flattened(row_norms(activity.rates[layer]))
            fresh = fresh + self.eps * (flattened(row_norms(drive)) + few * rates)
            errors.append(fresh + self.norm[layer] * errors[-1])
        return errors

    def _residual(self, layer: int) -> np.ndarray:
        """|R_l| and the rounding in its evaluation."""
        terms, n = self.terms, self.network.n_projecting(layer)
        value = flattened(row_norms(self.shifts.values[layer - 1]))
        demand = terms.demands[layer - 1]
        rows = SAFETY * self.eps * self.network.widths[layer] ** 0.5
        if layer == self.depth and self.trial.is_free:
            return flattened(row_norms(demand)) + rows * value
        if layer == self.depth:
            doubt = self.trial.doubt
            unsure = doubt.steepness * self.forward_rounding[layer] + doubt.rounding
            unsure = unsure * ONE.over(self.shifts.scales[-1]).value
            rounding = rows * value + self.circuit.strength(layer) * unsure
            return flattened(row_norms(demand)) + rounding
        message = terms.messages[layer]
        supply = self.weight(layer) * self.circuit.pull(layer + 1, message)
        residual = flattened(row_norms(demand - supply[..., :n]))
        above = self.inverse_norm[layer + 1] * flattened(row_norms(message))
        condition = self.norm[layer + 1] * self.inverse_norm[layer + 1]
        if self.circuit.pathway.row_adjusted:
            # the sender multiplies by N^2 what is left of d - p, which both round
            longest = self.units[layer + 1].longest
            sent = flattened(row_norms(self.shifts.values[layer]))
            above = above + self.inverse_norm[layer + 1] * longest * sent
            condition = condition * np.maximum(1.0, self.circuit.strength(layer) * longest)
        rounding = rows * (value + condition * value + self.weight(layer) * above)
        if self.trial.is_free:
            rounding = rounding + self._source_rounding(layer)
        return residual + rounding

    def _source_rounding(self, layer: int) -> np.ndarray:
        """Of gamma (g^(y_{l+1}) - y_l) at the forward pass."""
        back, activity = self.inverse_norm[layer + 1], self.trial.activity
        sizes = back * flattened(row_norms(activity.drive(layer + 1)))
        sizes = sizes + flattened(row_norms(activity.rates[layer]))
        fresh = SAFETY * self.eps * self.network.widths[layer + 1] ** 0.5 * sizes
        known = back * self.forward_rounding[layer + 1] + self.forward_rounding[layer]
        return self.circuit.strength(layer) * (fresh + known)


class _Units:
    """Slopes of one layer at the state, and how they vary within a distance of it."""

    def __init__(self, state: _Measured, layer: int) -> None:
        trial, terms = state.trial, state.terms
        self.kind = trial.network.activation(layer)
        self.state, self.layer = state, layer
        rest = drive = trial.activity.drive(layer)
        sender = trial.senders_at_rest(layer)
        move = message = 0 * rest
        if layer > 1:
            move = state.scale[layer - 1] * terms.drive_shifts[layer - 1]
            message = state.scale[layer] * terms.messages[layer - 1]
            drive = rest + move
            sender = (drive if trial.circuit.from_present_drive else sender) + message
        self.rest, self.drive, self.sender = _samples(rest), _samples(drive), _samples(sender)
        self.move, self.message = _samples(move), _samples(message)
        self.unsure = state.forward_rounding[layer]
        self.slope = _samples(self.kind.slope(drive))
        self.rest_slope = _samples(trial.activity.slope(layer))
        self.sender_slope = _samples(self.kind.slope(sender))
        self.curvature = np.abs(_samples(self.kind.curvature(drive)))
        deviation = trial.circuit.by_rows(layer, terms.mismatches[layer - 1])
        self.deviation = _samples(deviation) * state.scale[layer]
        if trial.still is not None:
            self.deviation = self.deviation + _samples(trial.still_by_rows(layer))
        ones = namespace(deviation).ones_like(deviation)
        self.rows = _samples(trial.circuit.by_rows(layer, ones))  # N^2 or 1, of each sample
        self.longest = np.max(self.rows, axis=-1)

    def response_doubt(self) -> np.ndarray:
        """How far f(h + t) - f(h) is off, in rates, where h is by the rounding of the forward pass:
        there the slope may be another, by which all of the shift t is multiplied.
        """
        if not self.kind.piecewise_linear:
            farthest = np.max(np.abs(self.move), axis=-1)
            return self.kind.largest_curvature * self.unsure * farthest
        gap = self.kind.largest_slope - self.kind.smallest_slope
        return gap * self._over_kinks(self.rest, self.move)

    def sender_doubt(self) -> np.ndarray:
        """The same of what f^-1 makes of the shift that the unit sends down, in drives."""
        circuit = self.state.circuit
        gait, present = circuit.pathway.gradient_adjusted, circuit.from_present_drive
        start, slope = (self.drive, self.slope) if present else (self.rest, self.rest_slope)
        if self.kind.piecewise_linear:
            ratio = self.kind.largest_slope / self.kind.smallest_slope
            return (ratio - 1) * self._over_kinks(start, self.message)
        turn = np.abs(self.message) + (2 * slope * np.abs(self.deviation) if gait else 0.0)
        bend = 2 * self.kind.largest_curvature * self.unsure
        farthest = np.max(np.maximum(1.0, slope / self.sender_slope) / self.sender_slope, axis=-1)
        steady = 2 * bend * farthest <= 1  # the slope at the sender is known to a factor of 2
        return np.where(steady, bend * np.max(turn / self.sender_slope, axis=-1), np.inf)

    def _over_kinks(self, start: np.ndarray, move: np.ndarray) -> np.ndarray:
        """Length of the moves from `start` of units that meet their kink, which is where it is to
        the rounding of the forward pass; no more than that rounding.
        """
        lowest, highest = np.minimum(start, start + move), np.maximum(start, start + move)
        meets = (lowest <= self.unsure[:, None]) & (highest >= -self.unsure[:, None])
        return np.minimum(self.unsure, np.linalg.norm(np.where(meets, move, 0.0), axis=-1))

    def spread(self, at: np.ndarray, radius: np.ndarray) -> np.ndarray:
        """Largest change of slope at any unit when the pre-activation `at` moves by `radius`."""
        if self.kind.name == "linear":
            return np.zeros(len(at))
        if self.kind.piecewise_linear:
            near = np.min(np.abs(at), axis=-1) <= radius
            return np.where(near, self.kind.largest_slope - self.kind.smallest_slope, 0.0)
        return self.kind.largest_curvature * radius


def _samples(values: Array) -> np.ndarray:
    """(..., batch, units) as (samples, units) in float64."""
    values = to_numpy(values).astype(np.float64)
    return values.reshape(-1, values.shape[-1])


def _improve_itp(state: _Measured, errors: list[np.ndarray]) -> list[np.ndarray]:
    """One application of the ITP inequalities."""
    depth, circuit, zero = state.depth, state.circuit, np.zeros(state.samples)
    reduced, descent = [zero], [zero] * (depth + 1)
    for layer in range(1, depth + 1):
        unit, gamma = state.units[layer], circuit.strength(layer)
        projecting = state.network.n_projecting(layer) == state.network.widths[layer]
        kept = 1 - gamma if projecting else 1.0  # auxiliary units keep all of their drive
        below = circuit.ratios[layer - 2] if layer > 1 else 0.0
        # slope at the drive against slope at the sender: 1, except where a kink lies between
        pivots = 1 - kept * below * unit.slope / unit.sender_slope
        pivot = np.min(pivots, axis=-1)
        pivot = np.where(pivot > 0, pivot, np.nan)
        pushed = neglected = zero
        if layer > 1:
            feed = kept * state.alpha[layer] * state.norm[layer]
            radius = state.scale[layer - 1] * state.norm[layer] * errors[layer - 1]
            radius = radius + state.forward_rounding[layer]
            pushed = feed * np.max(unit.slope, axis=-1) * reduced[layer - 1]
            neglected = feed * unit.spread(unit.drive, radius) * errors[layer - 1]
            neglected = neglected + kept * unit.response_doubt() / state.scale[layer]
        if layer < depth:
            variation, steepest = _inverse_slopes(state, layer + 1, errors[layer + 1])
            ratio = scale_ratio(state.shifts, layer + 1, layer)
            pull = ratio * state.inverse_norm[layer + 1] * errors[layer + 1]
            neglected = neglected + gamma * pull * variation
            sent = state.units[layer + 1].sender_doubt() / state.scale[layer + 1]
            neglected = neglected + gamma * ratio * state.inverse_norm[layer + 1] * sent
            deviation = np.max(np.abs(gamma / pivots - circuit.ratios[layer - 1]), axis=-1)
            neglected = neglected + pivot * deviation * steepest * pull
            descent[layer] = (
                circuit.ratios[layer - 1] * ratio * state.inverse_norm[layer + 1] * steepest
            )
        reduced.append((state.residual[layer] + pushed + neglected) / pivot)
    new = [zero] * (depth + 1)
    new[depth] = reduced[depth]
    for layer in range(depth - 1, 0, -1):
        new[layer] = descent[layer] * new[layer + 1] + reduced[layer]
    return [np.where(np.isnan(error), np.inf, error) for error in new]


def _inverse_slopes(
    state: _Measured, layer: int, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How much the slope of f^-1 varies within `error` of the sender, and its largest value."""
    unit = state.units[layer]
    steepest = np.max(1 / unit.sender_slope, axis=-1)
    if unit.kind.name == "linear":
        return np.zeros_like(steepest), steepest
    radius = steepest * (state.scale[layer] * error + state.forward_rounding[layer])
    spread = unit.spread(unit.sender, 2 * radius)
    if unit.kind.piecewise_linear:
        widest = 1 / unit.kind.smallest_slope
        return np.where(spread > 0, widest - 1, 0.0), np.where(spread > 0, widest, steepest)
    lowest = 1 / steepest - spread
    wider = np.where(lowest > 0, spread * steepest / np.maximum(lowest, 1e-300), np.inf)
    return wider, steepest + wider


def _improve_gait(state: _Measured, errors: list[np.ndarray]) -> list[np.ndarray]:
    """One application of the GAIT inequalities."""
    depth, circuit = state.depth, state.circuit
    nudge = 0.0 if state.trial.is_free else circuit.strength(depth)
    drives = [np.zeros(state.samples)] * (depth + 1)  # H_l in units of the scale of layer l
    for layer in range(2, depth + 1):
        drives[layer] = state.alpha[layer] * state.norm[layer] * errors[layer - 1]
    slopes = [np.zeros(state.samples)] * (depth + 1)
    for layer in range(1, depth + 1):
        unit = state.units[layer]
        radius = state.scale[layer] * drives[layer] + state.forward_rounding[layer]
        slopes[layer] = np.max(unit.slope, axis=-1) + unit.spread(unit.drive, radius)
    # P_l = f(h + t) - f(h), by which a shift is more than its mismatch
    responses = [np.zeros(state.samples)] + [
        slopes[layer] * drives[layer] + state.units[layer].response_doubt() / state.scale[layer]
        for layer in range(1, depth + 1)
    ]
    mismatch = [np.zeros(state.samples)] * (depth + 1)
    mismatch[depth] = state.residual[depth] + nudge * responses[depth]
    for layer in range(depth - 1, 0, -1):
        sent, steepening = _gait_message_slopes(state, layer + 1, drives, mismatch[layer + 1])
        pull = state.weight(layer) * state.inverse_norm[layer + 1]
        supplied = sent * mismatch[layer + 1] + steepening * drives[layer + 1]
        supplied = supplied + state.units[layer + 1].sender_doubt() / state.scale[layer + 1]
        gamma = circuit.strength(layer)
        apart = gamma * state.defect[layer] * errors[layer]
        mismatch[layer] = (state.residual[layer] + pull * supplied + apart) / (1 - gamma)
    return [one + other for one, other in zip(mismatch, responses, strict=True)]


def _gait_message_slopes(
    state: _Measured, layer: int, drives: list[np.ndarray], mismatch: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on |dv/dm| = A^2 / A' and |dv/dh| = |(A + 2 A f'' m) / A' - 1| within the error.

    In the GRAIT circuit of A^2 N^2 / A', and with N^2 m for m. In the ITP pathway, through another
    feedback, of 1 / A' and |A / A' - 1|.
    """
    unit, gait = state.units[layer], state.circuit.pathway.gradient_adjusted
    gain = unit.rows * unit.slope**2 if gait else 1.0
    by_mismatch = np.max(gain / unit.sender_slope, axis=-1)
    turn = 2 * unit.slope * unit.curvature * unit.deviation if gait else 0.0
    drive_term = (unit.slope + turn) / unit.sender_slope
    by_drive = np.max(np.abs(drive_term - 1), axis=-1)
    if unit.kind.name == "linear":
        return by_mismatch, by_drive
    radius = state.scale[layer] * drives[layer] + state.forward_rounding[layer]
    reach = radius + state.scale[layer] * (by_mismatch * mismatch + by_drive * drives[layer])
    spread = np.maximum(unit.spread(unit.drive, radius), unit.spread(unit.sender, 2 * reach))
    if unit.kind.piecewise_linear and not gait:
        steepest, flattest = unit.kind.largest_slope, unit.kind.smallest_slope
        most = np.maximum(by_drive, max(steepest / flattest - 1, 1 - flattest / steepest))
        return np.where(spread > 0, 1 / flattest, by_mismatch), np.where(spread > 0, most, by_drive)
    if unit.kind.piecewise_linear:
        # a kink within reach: no Lipschitz constant, since A^2 jumps there
        return np.where(spread > 0, np.inf, by_mismatch), np.where(spread > 0, np.inf, by_drive)
    lowest = np.min(unit.sender_slope, axis=-1) - spread
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(lowest > 0, spread / np.maximum(lowest, 1e-300), np.inf)
        wider = 4 * relative * (1 + np.max(np.abs(drive_term), axis=-1))
        wider = wider * np.maximum(1.0, unit.longest if gait else by_mismatch)
    return by_mismatch + wider, by_drive + wider
