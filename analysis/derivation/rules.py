"""Claims on the algorithms: Eqs. 14 to 22, a single increment, any loss, and what must not agree.

Owns, for each, the library's side, the literal side and the bound between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from analysis.derivation import rounding
from analysis.derivation.both_sides import (
    NO_GAMMA,
    ORTHOGONAL,
    PIECEWISE,
    compared,
    library_updates,
    related_by_matrices,
    widened,
    without_crossing,
    written,
)
from analysis.derivation.claim import Check, ClaimPlan, worst
from analysis.derivation.literal import Literal
from analysis.derivation.random_networks import GAMMAS, Case, case, cases
from analysis.derivation.rounding import EPS
from circuit.feedback import output_only
from circuit.losses import output_error


def eq_15(plan: ClaimPlan) -> Iterator[Check]:
    """In a linear piece dW_BP = M dW_ITP without a limit."""
    for found in cases(plan, PIECEWISE, shallowest=2):
        yield from related_by_matrices(without_crossing(found, ("itp",)), "itp", "M")


def eq_20(plan: ClaimPlan) -> Iterator[Check]:
    """In a linear piece dW_BP = N dW_GAIT without a limit."""
    for found in cases(plan, PIECEWISE, shallowest=2):
        yield from related_by_matrices(without_crossing(found, ("gait",)), "gait", "N")


def against_back_propagation(
    found: Case, rule: str, *, control: bool = False, smooth: bool = False
) -> Check:
    """A rule of the library against Eq. 3 written down, with the bound of Eq. 21.

    Rounding, and |W^T W - I| in every layer that the shift came through.
    """
    literal = written(found)
    rates, slopes = literal.forward(found.inputs[0])
    e = widened(literal, found.error[0], found.network.widths[-1])
    shifts = literal.back_propagation(slopes, e)
    wanted = [
        literal.update(layer, shifts[layer - 1], rates, slopes).astype(float)
        for layer in range(1, found.network.depth + 1)
    ]
    values = [shift.astype(float) for shift in shifts]
    # W^-1 = W^T here, to what `departure` adds: a step down by A W^T has the norms of BP's
    arguments = (found.network.weights, found.slopes, found.rates, values)
    name = "bp" if control else rule
    bounds = rounding.of_updates(name, *arguments, smooth=smooth)
    if not control:
        apart = rounding.row_departure if rule == "grait" else rounding.departure
        bounds = _with_departures(found, values, bounds, apart)
    changes = library_updates(found, rule)
    last = -1 if control else None  # the output layer's update has no feedback in it
    return compared(found, changes[:last], wanted[:last], bounds[:last], control=control)


def _with_departures(
    found: Case,
    values: Sequence[np.ndarray],
    bounds: Sequence[float],
    departure: Callable[[np.ndarray], float] = rounding.departure,
) -> list[float]:
    maps, local = [np.eye(len(values[-1]))], [0.0]
    for layer in range(found.network.depth, 1, -1):
        W, ratio = found.network.weights[layer - 1], 1 / float(np.linalg.norm(values[layer - 2]))
        slope = found.slopes[layer]
        size = float(np.linalg.norm(values[layer - 1]))
        maps.append(W.T * slope * (ratio * size))
        local.append(departure(W) * float(np.linalg.norm(slope * values[layer - 1])) * ratio)
    extra = rounding.accumulated(maps, local)[::-1]
    gained = [
        float(np.linalg.norm(v) / np.linalg.norm(s * v))
        for v, s in zip(values, found.slopes[1:], strict=True)
    ]
    return [b + 2 * x * g for b, x, g in zip(bounds, extra, gained, strict=True)]


def eq_21(plan: ClaimPlan) -> Iterator[Check]:
    """Orthogonal W, linear piece: GAIT-prop over its product of gammas is BP at every gamma."""
    for found in cases(plan, ORTHOGONAL):
        yield against_back_propagation(without_crossing(found, ("gait",)), "gait")


def output_increment(plan: ClaimPlan) -> Iterator[Check]:
    """Section 9: gamma_L at the output only; ITP and GAIT against literal targets, and BP."""
    for found in cases(plan, PIECEWISE, (1e-6, 0.1), shallowest=2, deepest=10):
        gammas = output_only(found.gammas[-1], found.network.depth)
        for rule in ("itp", "gait"):
            single = without_crossing(replace(found, gammas=gammas), (rule,))
            yield against_literal(single, rule)
            if rule == "gait" and found.subject.init == "orthogonal":
                yield against_back_propagation(single, rule)


def against_literal(found: Case, rule: str) -> Check:
    """A rule of the library against Eqs. 5, 12, 17, 22 with absolute targets."""
    literal = written(found)
    rates, slopes = literal.forward(found.inputs[0])
    e = widened(literal, found.error[0], found.network.widths[-1])
    shifts = literal.target_shifts(rule, rates, slopes, e, found.gammas)
    wanted = [
        literal.update(layer, shifts[layer - 1], rates, slopes).astype(float)
        for layer in range(1, found.network.depth + 1)
    ]
    values = [shift.astype(float) for shift in shifts]
    arguments = (found.network.weights, found.slopes, found.rates, values)
    bounds = rounding.of_updates(rule, *arguments)
    return compared(found, library_updates(found, rule), wanted, bounds, rule.upper())


def auxiliary_units(plan: ClaimPlan) -> Iterator[Check]:
    """Eq. 22: what is not read gets no shift and learns nothing; the others follow Eq. 17."""
    shapes: list[tuple[tuple[int, ...], int]] = [((12, 9, 9, 6, 6), 4)]
    if plan.full:
        shapes += [((40, 32, 16, 8), 5), ((10, 8), 3), ((20, *range(19, 7, -1)), 2)]
    for widths, n_outputs in shapes:
        for units, init in PIECEWISE:
            for seed in plan.seeds:
                for gamma in (1e-3, 0.5):
                    depth = len(widths) - 1
                    found = case(
                        depth, widths[1], units, init, gamma, seed,
                        widths=widths, n_outputs=n_outputs,
                    )  # fmt: skip
                    for rule in ("itp", "gait"):
                        found = without_crossing(found, (rule,))
                        yield against_literal(found, rule)
                        changes = library_updates(found, rule)
                        unread = sum(
                            float(np.abs(change[found.network.n_projecting(layer) :]).sum())
                            for layer, change in enumerate(changes, 1)
                        )
                        detail = f"{rule.upper()}, sum of |dW| onto auxiliary units"
                        yield Check(found.subject, 0.0, unread, unread, 0.0, detail)


def losses(plan: ClaimPlan) -> Iterator[Check]:
    """-<dW, V> is the slope of the loss along V, by central differences of the literal loss."""
    shapes = ((3, 8), (10, 8)) if plan.full else ((3, 8),)
    kinds = (("linear", "orthogonal"), ("leaky_relu", "orthogonal"), ("asinh", "gaussian"))
    for depth, width in shapes:
        for units, init in kinds:
            for seed in plan.seeds:
                found = case(depth, width, units, init, GAMMAS[0], seed)
                for name in ("cross_entropy", "fourth_power"):
                    yield from _along_the_loss(found, name)


def fourth_power(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """A user's loss, |y - t|^4 / 4 summed over units: the error -dL/dy."""
    return (targets - outputs) ** 3


def _along_the_loss(found: Case, name: str) -> Iterator[Check]:
    network, depth = found.network, found.network.depth
    rng = np.random.default_rng([found.subject.seed, 2])
    target = rng.dirichlet(np.ones(found.subject.width))
    chosen = fourth_power if name == "fourth_power" else name
    found = found.with_error(output_error(network, found.activity, target[None], chosen))
    literal = Literal(network.weights, network.activations[0].name, 60)
    context, t = literal.context, literal.exactly(target)
    step = context.mpf(10) ** -20  # its square, relative, is what differences leave out

    def loss(layer: int, direction: np.ndarray, size: object) -> object:
        y = literal.exactly(found.inputs[0])
        for k in range(1, depth + 1):
            h = literal.W(k) @ y
            y = literal.value(h + (direction @ y) * size if k == layer else h)
        if name == "fourth_power":
            return sum((y - t) ** 4) / 4
        exponentials = np.array([context.exp(value) for value in y])
        return -sum(t * np.array([context.log(a) for a in exponentials / sum(exponentials)]))

    rules = ["bp"] if found.subject.init == "gaussian" else ["bp", "gait"]
    errors = found.error[0]
    # the rounding of the error itself: of the outputs, and of a few elementary functions
    of_error = rounding.of_rates(network.weights, found.slopes, found.rates)[-1]
    curvature = 1.0 if name == "cross_entropy" else float(np.max(3 * np.abs(errors) ** (2 / 3)))
    source = curvature * of_error + 4 * (len(errors) + 4) * EPS * float(np.linalg.norm(errors))
    rates, slopes = literal.forward(found.inputs[0])
    shifts = literal.back_propagation(slopes, literal.exactly(errors))
    values = [shift.astype(float) for shift in shifts]
    smooth = found.subject.units == "asinh"
    arguments = (network.weights, found.slopes, found.rates, values)
    relative = rounding.of_updates("bp", *arguments, smooth=smooth)
    for rule in rules:
        checks = []
        if rule == "gait":  # which is BP as far as W is orthogonal
            relative = _with_departures(found, values, relative)
        changes = library_updates(found, rule)
        for layer in range(1, depth + 1):
            lowered = np.eye(len(errors))
            for k in range(depth, layer, -1):
                lowered = (
                    rounding.step_down("bp", network.weights[k - 1], found.slopes[k]) @ lowered
                )
            direction = literal.update(layer, shifts[layer - 1], rates, slopes).astype(float)
            direction /= float(np.linalg.norm(direction))
            exact = literal.exactly(direction)
            difference = loss(layer, exact, step) - loss(layer, exact, -step)  # type: ignore[operator]
            wanted = -float(difference / (2 * step))
            got = float(np.sum(changes[layer - 1] * direction))
            down = (
                float(np.linalg.norm(lowered, 2) * np.linalg.norm(found.rates[layer - 1])) * source
            )
            bound = relative[layer - 1] + down / abs(wanted) + 2 * len(errors) * EPS
            detail = f"layer {layer}, {rule.upper()}, {name}"
            error = abs(got - wanted) / abs(wanted)
            checks.append(Check(found.subject, wanted, got, error, bound, detail))
        yield worst(checks)


def itp_is_not_bp(plan: ClaimPlan) -> Iterator[Check]:
    """Control: no A^2, leaky-ReLU, W orthogonal."""
    for found in cases(plan, (("leaky_relu", "orthogonal"),), GAMMAS[1:2], shallowest=2):
        yield against_back_propagation(found, "itp", control=True)


def tp_is_not_bp(plan: ClaimPlan) -> Iterator[Check]:
    """Control: full targets, leaky-ReLU, W orthogonal."""
    for found in cases(plan, (("leaky_relu", "orthogonal"),), NO_GAMMA, shallowest=2):
        yield against_back_propagation(found, "tp", control=True)


def gait_is_not_bp(plan: ClaimPlan) -> Iterator[Check]:
    """Control: Gaussian W."""
    kinds = (("leaky_relu", "gaussian"), ("linear", "gaussian"))
    for found in cases(plan, kinds, GAMMAS[1:2], shallowest=2):
        yield against_back_propagation(found, "gait", control=True)
