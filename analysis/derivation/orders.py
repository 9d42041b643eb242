"""Orders in the feedback strength: slopes of log error against log gamma, with intervals.

Owns the fit and the claims that are statements about an order. For each network, and each layer
where there are several, an error is measured at a few strengths and fitted as

    log error = a_j + p log x + b_j gamma ,        e ~ x^p (1 + b gamma + ...)

with one slope p for all and a constant a_j and a next order b_j for each. The interval is that of
Student's t. What the order after the next would still do to the slope, (b gamma)^2 at the strongest
feedback, is added to it: errors are no random numbers, and no interval knows of a series cut short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from analysis.derivation.both_sides import without_crossing
from analysis.derivation.claim import Check, ClaimPlan
from analysis.derivation.equilibria import per_unit, settled, undecided
from analysis.derivation.random_networks import Case, case
from analysis.derivation.rules import fourth_power
from circuit.feedback import output_only
from circuit.losses import output_error
from circuit.rules import RULES

CONFIDENCE = 0.95
WEAK = np.logspace(-6, -3, 7)
# an error of second order is resolved above eps only where its strength is not too weak
STRONGER = np.logspace(-4, -2, 7)


@dataclass(frozen=True, eq=False)
class Order:
    """A fitted slope.

    Attributes
    ----------
    slope : p
    standard_error : of p
    half_width : of its confidence interval, Student's t
    truncation : (b gamma)^2 at the strongest feedback, the largest of the curves
    """

    slope: float
    standard_error: float
    half_width: float
    truncation: float


@dataclass(frozen=True)
class OrderCheck(Check):
    """A fitted slope held against an order, with the points that it was fitted to.

    Attributes
    ----------
    gammas : of the points
    points : geometric mean over curves of the error at each
    fit : slope, standard error and half-width of the interval
    """

    gammas: tuple[float, ...] = ()
    points: tuple[float, ...] = ()
    fit: tuple[float, float, float] = (float("nan"),) * 3


def fit_order(gammas: np.ndarray, sizes: np.ndarray, errors: np.ndarray) -> Order:
    """Fit one order to several curves.

    Parameters
    ----------
    gammas : array (points,)
    sizes : array (curves, points), the x of each point: gamma, or an increment's size
    errors : array (curves, points), positive
    """
    curves, points = errors.shape
    columns = [np.log(sizes).ravel()]
    for curve in range(curves):
        inside = np.zeros((curves, points))
        inside[curve] = 1
        columns += [inside.ravel(), (inside * gammas / gammas.max()).ravel()]
    design = np.stack(columns, axis=1)
    found, *_ = np.linalg.lstsq(design, np.log(errors).ravel(), rcond=None)
    left = np.log(errors).ravel() - design @ found
    freedom = design.shape[0] - design.shape[1]
    covariance = np.linalg.inv(design.T @ design) * (left @ left / freedom)
    standard_error = float(np.sqrt(covariance[0, 0]))
    quantile = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))
    next_order = float(np.max(np.abs(found[2::2])))  # b times the largest gamma
    return Order(float(found[0]), standard_error, quantile * standard_error, next_order**2)


Measure = Callable[[Case], list[tuple[float, float]] | None]


@dataclass(frozen=True, eq=False)
class FitSetting:
    """Networks and strengths of a fit."""

    depth: int
    units: str
    init: str
    gammas: np.ndarray
    width: int = 8
    error: float = 1.0


def order_checks(
    plan: ClaimPlan, order: float, settings: Sequence[FitSetting], measure: Measure
) -> Iterator[Check]:
    """One fit for each setting, over all seeds; `measure` gives (x, error) of each curve."""
    for setting in settings:
        curves: list[np.ndarray] = []
        first = None
        for seed in plan.seeds:
            rows = []
            for gamma in setting.gammas.tolist():
                found = case(setting.depth, setting.width, setting.units, setting.init, gamma, seed)
                found = found.with_error(found.error * setting.error)
                first = first or found
                rows.append(measure(found))
            if all(row is not None for row in rows):
                curves += list(np.array(rows).transpose(1, 2, 0))  # (2, points) each
        assert first is not None
        first = replace(first, subject=replace(first.subject, gamma=float(setting.gammas.max())))
        if not curves:
            yield undecided(first, "no equilibrium found at some strength")
            continue
        sizes, errors = np.stack(curves, axis=1)
        fitted = fit_order(setting.gammas, sizes, errors)
        yield OrderCheck(
            first.subject,
            predicted=order,
            measured=fitted.slope,
            error=abs(fitted.slope - order),
            bound=fitted.half_width + fitted.truncation,
            detail=f"{len(curves)} curves, standard error {fitted.standard_error:.1g}",
            gammas=tuple(setting.gammas.tolist()),
            points=tuple(np.exp(np.log(errors).mean(axis=0)).tolist()),
            fit=(fitted.slope, fitted.standard_error, fitted.half_width),
        )


def _asinh(plan: ClaimPlan, *inits: str, gammas: np.ndarray = WEAK) -> list[FitSetting]:
    depths = (3, 6) if plan.full else (3,)
    return [FitSetting(depth, "asinh", init, gammas) for depth in depths for init in inits]


def _rule(found: Case, rule: str, layer: int) -> np.ndarray:
    shifts = RULES[rule](found.network, found.activity, found.error, found.gammas)
    return np.asarray(shifts.per_gain(layer)[0])


def _relative(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def eq_10(plan: ClaimPlan) -> Iterator[Check]:
    """|y_L - t_L* - A_L W_L (y_{L-1} - t_{L-1}*)| is of order |y_L - t_L*|^2."""

    def measure(found: Case) -> list[tuple[float, float]]:
        depth, gamma = found.network.depth, found.gammas[-1]
        below = _rule(found, "itp", depth - 1)  # over gamma_L
        W, e = found.network.weights[-1], found.error[0]
        left = e - found.slopes[depth] * (W @ below)
        increment = gamma * float(np.linalg.norm(e))
        return [(increment, gamma * float(np.linalg.norm(left)))]

    yield from order_checks(plan, 2, _asinh(plan, "orthogonal", "gaussian"), measure)


def eq_11(plan: ClaimPlan) -> Iterator[Check]:
    """(prod gamma^-1 A W)(y_l - t_l*) is y_L - t_L to first order in gamma."""

    def measure(found: Case) -> list[tuple[float, float]]:
        depth, curves = found.network.depth, []
        for layer in range(1, depth):
            value = _rule(found, "itp", layer)
            for k in range(layer + 1, depth + 1):
                value = found.slopes[k] * (found.network.weights[k - 1] @ value)
            curves.append((found.gammas[0], _relative(value, found.error[0])))
        return curves

    yield from order_checks(plan, 1, _asinh(plan, "orthogonal", "gaussian"), measure)


def _through(found: Case, rule: str, power: int) -> list[tuple[float, float]]:
    """Distance of A_l^-1 X A_l delta_l from BP's shift, X being M (power 1) or N (-1)."""
    depth, curves = found.network.depth, []
    for layer in range(1, depth):
        value = _rule(found, rule, layer)
        for k in range(layer + 1, depth + 1):
            value = found.slopes[k] ** power * (found.network.weights[k - 1] @ value)
        for k in range(depth, layer, -1):
            value = found.network.weights[k - 1].T @ (found.slopes[k] * value)
        curves.append((found.gammas[0], _relative(value, _transposed(found, layer))))
    return curves


def _transposed(found: Case, layer: int) -> np.ndarray:
    """Eq. 3: (prod W^T A) e."""
    value = found.error[0]
    for k in range(found.network.depth, layer, -1):
        value = found.network.weights[k - 1].T @ (found.slopes[k] * value)
    return value


def eq_14(plan: ClaimPlan) -> Iterator[Check]:
    """Smooth units: M dW_ITP tends to dW_BP, to first order in gamma."""
    yield from order_checks(
        plan, 1, _asinh(plan, "orthogonal", "gaussian"), lambda found: _through(found, "itp", 1)
    )


def eq_19(plan: ClaimPlan) -> Iterator[Check]:
    """Smooth units: N dW_GAIT tends to dW_BP, to first order in gamma."""
    yield from order_checks(
        plan, 1, _asinh(plan, "orthogonal", "gaussian"), lambda found: _through(found, "gait", -1)
    )


def _from_bp(found: Case, rule: str) -> list[tuple[float, float]]:
    return [
        (found.gammas[-1], _relative(_rule(found, rule, layer), _transposed(found, layer)))
        for layer in range(1, found.network.depth)
    ]


def eq_21(plan: ClaimPlan) -> Iterator[Check]:
    """Smooth units, orthogonal W: GAIT-prop tends to BP, to first order in gamma."""
    yield from order_checks(
        plan, 1, _asinh(plan, "orthogonal"), lambda found: _from_bp(found, "gait")
    )


def output_increment(plan: ClaimPlan) -> Iterator[Check]:
    """Section 9: with gamma_L alone GAIT-prop tends to BP, to first order in gamma_L."""

    def measure(found: Case) -> list[tuple[float, float]]:
        gammas = output_only(found.gammas[-1], found.network.depth)
        return _from_bp(replace(found, gammas=gammas), "gait")

    yield from order_checks(plan, 1, _asinh(plan, "orthogonal"), measure)


def losses(plan: ClaimPlan) -> Iterator[Check]:
    """Cross-entropy and a user's loss: GAIT-prop tends to BP, to first order in gamma."""
    for loss in ("cross_entropy", fourth_power):

        def measure(found: Case, loss: object = loss) -> list[tuple[float, float]]:
            target = np.full_like(found.error, 1 / found.subject.width)
            error = output_error(found.network, found.activity, target, loss)  # type: ignore[arg-type]
            return _from_bp(found.with_error(error), "gait")

        yield from order_checks(plan, 1, _asinh(plan, "orthogonal"), measure)


def _read_out(found: Case, readout: str, layers: range) -> list[tuple[float, float]] | None:
    """Distance from BP of what the GAIT circuit's synapses read in `layers`, over its gain."""
    if found.subject.units != "asinh":
        found = without_crossing(found, ("gait",))
    record = settled(found, "gait")
    if record is None:
        return None
    read = record.read_out(readout)
    curves, gain, depth = [], 1.0, found.network.depth
    for layer in range(depth, 0, -1):
        gamma = found.gammas[layer - 1]
        gain *= gamma if layer == depth else gamma / (1 - gamma)
        if layer in layers:
            value = per_unit(read, layer, gain)
            curves.append((gamma, _relative(value, _transposed(found, layer))))
    return curves


def _in_a_linear_piece(plan: ClaimPlan, gammas: np.ndarray) -> list[FitSetting]:
    # errors of 1e-3: a unit that crosses its kink would add another error than the one fitted
    depths = (3, 8) if plan.full else (3,)
    return [
        FitSetting(depth, units, "orthogonal", gammas, error=1e-3)
        for depth in depths
        for units in ("linear", "leaky_relu")
    ]


def shift_read_out(plan: ClaimPlan) -> Iterator[Check]:
    """Layers above the first: the shift over its gain is BP to first order in gamma."""

    def measure(found: Case) -> list[tuple[float, float]] | None:
        return _read_out(found, "shift", range(2, found.network.depth + 1))

    settings = [*_in_a_linear_piece(plan, WEAK), *_asinh(plan, "orthogonal")]
    yield from order_checks(plan, 1, settings, measure)


def second_order(plan: ClaimPlan) -> Iterator[Check]:
    """Linear piece: every mismatch, and the shift of layer 1, is BP to second order in gamma."""

    def mismatches(found: Case) -> list[tuple[float, float]] | None:
        return _read_out(found, "mismatch", range(1, found.network.depth + 1))

    def first_shift(found: Case) -> list[tuple[float, float]] | None:
        return _read_out(found, "shift", range(1, 2))

    for measure in (mismatches, first_shift):
        yield from order_checks(plan, 2, _in_a_linear_piece(plan, STRONGER), measure)


def mismatch_of_smooth_units(plan: ClaimPlan) -> Iterator[Check]:
    """Smooth units: the mismatch is BP to first order in gamma."""

    def measure(found: Case) -> list[tuple[float, float]] | None:
        return _read_out(found, "mismatch", range(1, found.network.depth))

    yield from order_checks(plan, 1, _asinh(plan, "orthogonal"), measure)
