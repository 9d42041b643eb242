"""The scalar equations at the units of one layer, solved with what comes from above given.

Owns the drive shift and the shift of every unit in both pathways, exactly, also of one that crosses
its kink. The theory is in `circuit.methods.direct.method`.
"""

from __future__ import annotations

from collections.abc import Sequence

from circuit.circuit import Circuit
from circuit.messages import exact_gait_message
from circuit.numerics.arrays import (
    Array,
    any_true,
    epsilon,
    namespace,
    row_indices,
    smallest_normal,
    widened,
)
from circuit.numerics.crossing import replace_crossing
from circuit.numerics.scale import Scale
from circuit.trial import Trial
from circuit.verification.sliding import has_kink, messages_at_kink

UNIT_ITERATIONS = 200  # of the scalar equation at a unit; inside a linear piece it takes one
# The same for a GAIT unit with a kink: two in each of the four pieces that drive and sender make.
# A unit in the gap of docs/derivation.md, section 4, has none: it rests at its kink, if anywhere.
KINKED_ITERATIONS = 8
NEWTON_ITERATIONS = 6
HALVINGS = 12  # of a step that takes a unit out of the range of its inverse
STEEPEST_SECANT = 0.9  # above it a secant is not trusted, and the iteration is left plain


def solve_units(
    trial: Trial, layer: int, inflow: Array, coupling: Array | None, scales: Sequence[Scale]
) -> tuple[Array, Array | None, Array | None, list[int]]:
    """d_l, its message v_l, the part that the weights above have yet to carry, and the samples in
    which a unit crossed its kink.
    """
    if layer == 1:
        return inflow, None, None, []
    if trial.circuit.pathway.gradient_adjusted:
        return _gait_units(trial, layer, inflow, coupling, scales)
    return _itp_units(trial, layer, inflow, coupling, scales)


def _itp_units(
    trial: Trial, layer: int, inflow: Array, coupling: Array | None, scales: Sequence[Scale]
) -> tuple[Array, Array, Array | None, list[int]]:
    """Solve d = (1 - gamma) p(k) + inflow with k = rho v(d) + Q, unit by unit."""
    circuit, unit, activity = trial.circuit, trial.network.activation(layer), trial.activity
    xp, alpha = namespace(inflow), ratio(scales, layer - 1, layer)
    rho = known_ratio(circuit, scales, layer)
    scale, below = scales[layer - 1].value, scales[layer - 2].value
    kept = _on_projecting(trial, layer, inflow, 1 - circuit.strength(layer), 1.0)

    def solve(
        h: Array, y: Array, inflow: Array, own: Array, extra: Array, kept: Array, q: Array
    ) -> tuple[Array, ...]:
        d, kept_a = own + extra, kept * circuit.ratios[layer - 2]
        reach = _Reach(d)
        for iteration in range(UNIT_ITERATIONS):
            message = unit.sends(y, d, scale)
            k = q + rho * message
            gap = kept * alpha * unit.difference(h, k, below) + inflow - d
            beyond, still = reach.beyond(gap), _at_rest(gap, d, inflow)
            if bool(xp.all(still & ~beyond)):
                break
            step = xp.where(still, xp.zeros_like(gap), gap)
            if iteration < NEWTON_ITERATIONS + reach.rounds:
                steepness = unit.slope(h + below * k) / unit.slope(h + scale * message)
                step = step / xp.maximum(1 - kept_a * steepness, 0.1 * (1 - kept_a))
            # between two kinks Newton's method can go to and fro; the plain step cannot
            d = reach.next(beyond, d, step)
        return d, message, d - own

    h, y, slope = activity.drive(layer), activity.rates[layer], activity.slope(layer)
    own = d = inflow / (1 - kept * circuit.ratios[layer - 2])
    extra = None
    if coupling is not None:
        extra = (kept * alpha / (1 - kept * circuit.ratios[layer - 2])) * (slope * coupling)
        d = own + extra
    message = d / slope
    # the linear solution stands where neither the sender nor the drive crosses a kink
    stays = unit.stays(h, message, scale)
    if coupling is not None:
        stays = stays & unit.stays(h, rho * message + coupling, below)
    crossed = _crossing(stays)
    if crossed:
        none = xp.zeros_like(d)
        extra = none if extra is None else extra
        q = none if coupling is None else coupling
        d, message, extra = replace_crossing(
            stays, (d, message, extra), solve, (h, y, inflow, own, extra, none + kept, q)
        )
    if layer == trial.network.depth:
        extra = None  # nothing lies above
    return d, message, extra, crossed


def _gait_units(
    trial: Trial, layer: int, inflow: Array, coupling: Array | None, scales: Sequence[Scale]
) -> tuple[Array, Array, Array, list[int]]:
    """Solve k = rho v(k, m) + Q unit by unit, with m the inflow, and at the output
    m = inflow - gamma p(k); also where the solution is to rest at the kink (`sliding`). In the
    GRAIT circuit v is that of N^2 m.
    """
    circuit, unit, activity = trial.circuit, trial.network.activation(layer), trial.activity
    xp, alpha = namespace(inflow), ratio(scales, layer - 1, layer)
    rho = known_ratio(circuit, scales, layer)
    scale, below = scales[layer - 1].value, scales[layer - 2].value
    is_output = layer == trial.network.depth
    iterations = KINKED_ITERATIONS if unit.piecewise_linear else UNIT_ITERATIONS
    pulled: Array | float = 0.0
    if is_output:
        pulled = _on_projecting(trial, layer, inflow, circuit.strength(layer), 0.0)

    def solve(
        h: Array, inflow: Array, k: Array, m: Array, pulled: Array, q: Array, rows: Array
    ) -> tuple[Array, ...]:
        last, reach = None, _Reach(k)
        for _ in range(iterations):
            p = alpha * unit.difference(h, k, below)
            if is_output:
                m = inflow - pulled * p
            message = exact_gait_message(unit, h, k, below, rows * m, scale, circuit.pathway)
            image = q + rho * message
            step = image - k
            beyond, still = reach.beyond(step), _at_rest(step, k, q)
            if bool(xp.all(still & ~beyond)):
                break
            step = ahead = xp.where(still, xp.zeros_like(step), step)
            if last is not None:
                # by the secant (Wegstein 1958): in a linear piece this arrives
                moved = k - last[0]
                stood = moved == 0
                secant = xp.where(
                    stood, 0 * k, (image - last[1]) / xp.where(stood, 1 + 0 * k, moved)
                )
                ahead = step / (1 - xp.where(secant < STEEPEST_SECANT, secant, 0 * k))
            last = k, image
            k = reach.next(beyond, k, ahead)
        if not has_kink(unit):
            return m + p, message, p
        # What is still open may rest at its kink; and where a unit may, a solution above the kink
        # whose message crosses it is one that repels.
        drive = h + below * k
        doubtful = ~still | ((drive > 0) & (drive + scale * message < 0))
        if not bool(xp.any(doubtful)):
            return m + p, message, p
        kink = -h / max(below, smallest_normal(h))
        p_there = alpha * unit.difference(h, kink, below)
        m_there = inflow - pulled * p_there if is_output else m
        wanted = (kink - q) / rho
        least, most = messages_at_kink(unit, circuit.pathway, rows * m_there, scale)
        rests = doubtful & (m_there < 0) & (least <= wanted) & (wanted <= most)
        m, p = xp.where(rests, m_there, m), xp.where(rests, p_there, p)
        return m + p, xp.where(rests, wanted, message), p

    h, slope, m = activity.drive(layer), activity.slope(layer), inflow
    if is_output:
        if coupling is not None:
            m = m - pulled * alpha * slope * coupling
        m = m / (1 + pulled * alpha * rho * circuit.by_rows(layer, slope * slope))
    message = slope * circuit.by_rows(layer, m)
    k = rho * message
    if coupling is not None:
        k = k + coupling
    stays = unit.stays(h, k, below) & unit.stays(h + below * k, message, scale)
    p = alpha * (slope * k)
    d = m + p
    crossed = _crossing(stays)
    if crossed:
        none = xp.zeros_like(d)
        q = none if coupling is None else coupling
        rows = circuit.by_rows(layer, none + 1)
        d, message, p = replace_crossing(
            stays, (d, message, p), solve, (h, inflow, k, m, none + pulled, q, rows)
        )
    return d, message, p, crossed


class _Reach:
    """Leads units back that have left the range in which their equation has a value.

    Halfway to where they were last inside, at first the forward pass; a few times, and then no more
    is asked of them.
    """

    def __init__(self, solution: Array) -> None:
        self.rounds = 0
        self._inside = namespace(solution).zeros_like(solution)
        self._tries = self._inside

    def beyond(self, gap: Array) -> Array:
        """Units that are outside and to be led back."""
        return ~namespace(gap).isfinite(gap) & (self._tries < HALVINGS)

    def next(self, beyond: Array, solution: Array, step: Array) -> Array:
        """Where units go: a step on, or back."""
        xp = namespace(solution)
        if not any_true(beyond):
            self._inside = solution
            return solution + step
        self.rounds += 1
        self._tries = self._tries + xp.astype(beyond, solution.dtype)
        halfway = (solution + self._inside) / 2
        self._inside = xp.where(beyond, self._inside, solution)
        return xp.where(beyond, halfway, solution + step)


def _at_rest(gap: Array, solution: Array, given: Array) -> Array:
    """Which units solve their equation to rounding, or never will: each by itself, so that none is
    held to less, nor iterated for longer, for what the others in the batch are.
    """
    xp = namespace(gap)
    size = xp.abs(solution) + xp.abs(given)
    return ~(xp.abs(gap) > 16 * epsilon(gap) * size)


def _crossing(stays: Array) -> list[int]:
    """Samples in which some unit does not stay on its piece."""
    xp = namespace(stays)
    return [] if bool(xp.all(stays)) else row_indices(~xp.all(stays, axis=-1))


def _on_projecting(
    trial: Trial, layer: int, like: Array, here: float, elsewhere: float
) -> Array | float:
    """`here` at the units of `layer` that get feedback or a nudge, `elsewhere` at the others."""
    width, n = trial.network.widths[layer], trial.network.n_projecting(layer)
    if n == width:
        return here
    one_row = namespace(like).zeros_like(like[..., :1, :n])
    return widened(one_row + (here - elsewhere), width) + elsewhere


def ratio(scales: Sequence[Scale], upper: int, lower: int) -> float:
    """s_upper / s_lower of two layers."""
    return scales[upper - 1].over(scales[lower - 1]).value


def known_ratio(circuit: Circuit, scales: Sequence[Scale], layer: int) -> float:
    """rho_l: the known part of the drive shift k_l is rho_l v_l."""
    return circuit.ratios[layer - 2] * ratio(scales, layer, layer - 1)
