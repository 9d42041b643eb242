"""Claims on the algorithms: Eqs. 7 to 22, a single increment, any loss, and what must not agree.

Owns, for each, the library's side, the literal side and the bound between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from analysis.derivation import rounding
from analysis.derivation.claim import Check, Plan, worst
from analysis.derivation.literal import Literal, digits_for
from analysis.derivation.rounding import EPS
from analysis.derivation.subjects import GAMMAS, Case, case, cases, shrunk
from circuit.feedback import output_only
from circuit.losses import output_error
from circuit.network import Network, forward
from circuit.plasticity import updates
from circuit.rules import RULES

BOTH = ("orthogonal", "gaussian")
LINEAR = tuple(("linear", init) for init in BOTH)
PIECEWISE = (*LINEAR, *(("leaky_relu", init) for init in BOTH))
ORTHOGONAL = (("linear", "orthogonal"), ("leaky_relu", "orthogonal"))
NO_GAMMA = (float("nan"),)


def library_updates(found: Case, rule: str) -> list[np.ndarray]:
    """dW_1 .. dW_L of a rule of the library, divided by the products of gammas."""
    strengths = 1.0 if np.isnan(found.gammas[0]) else found.gammas
    shifts = RULES[rule](found.network, found.activity, found.error, strengths)
    return [change.weights for change in updates(found.network, found.activity, shifts)]


def written(found: Case) -> Literal:
    """The network of a case as literal equations, with the digits that its claims swallow."""
    gammas = [gamma for gamma in found.gammas if not np.isnan(gamma)]
    conditions = [
        (1 / (np.linalg.cond(W) * np.max(slope) / np.min(slope))) ** 2
        for W, slope in zip(found.network.weights, found.slopes[1:], strict=True)
    ]
    digits = digits_for(*gammas, *conditions, float(np.max(np.abs(found.error))))
    return Literal(found.network.weights, found.network.activations[0].name, digits)


def widened(literal: Literal, error: np.ndarray, width: int) -> np.ndarray:
    """The output error as exact numbers, (N_L,), zero at auxiliary outputs."""
    return literal.exactly(np.pad(error, (0, width - len(error))))


def without_crossing(found: Case, rules: Sequence[str]) -> Case:
    """The case with an error so small that none of the rules makes a unit cross its kink."""
    for rule in rules:
        delta = np.pad(found.error[0], (0, found.network.widths[-1] - found.network.n_outputs))
        messages = []
        for layer in range(found.network.depth, 0, -1):
            slope, gamma = found.slopes[layer], found.gammas[layer - 1]
            message = delta if rule == "tp" else gamma * delta
            message = message * slope**2 if rule == "gait" else message
            messages.append(message)
            if layer > 1:
                below = np.linalg.solve(found.network.weights[layer - 1], message / slope)
                delta = np.pad(below, (0, found.network.widths[layer - 1] - len(below)))
        found = shrunk(found, messages[::-1])
    return found


def compared(
    found: Case,
    measured: Sequence[np.ndarray],
    predicted: Sequence[np.ndarray],
    bounds: Sequence[float],
    detail: str = "",
    *,
    layers: Sequence[int] | None = None,
    control: bool = False,
) -> Check:
    """The layer in which two lists of arrays come nearest to overturning a claim.

    `measured` and `predicted` hold the arrays of `layers`, by default 1, 2, ...; errors are
    relative, in the Frobenius norm.
    """
    checks = []
    layers = layers or range(1, len(bounds) + 1)
    for layer, one, other, bound in zip(layers, measured, predicted, bounds, strict=True):
        size = float(np.linalg.norm(other))
        error = float(np.linalg.norm(one - other)) / size
        where = f"layer {layer}{', ' + detail if detail else ''}"
        norm = float(np.linalg.norm(one))
        checks.append(Check(found.subject, size, norm, error, bound, where))
    return worst(checks, control=control)


def related_by_matrices(found: Case, rule: str, matrices: str) -> Iterator[Check]:
    """dW_BP = X dW_rule with X of Eq. 8, 15 or 20: the library's BP against X (literal rule), and
    the library's rule against X^-1 (literal BP), so that neither side amplifies rounding.
    """
    network, depth = found.network, found.network.depth
    layers = sorted({1, (depth + 1) // 2, depth - 1, depth} - {0})
    literal = written(found)
    rates, slopes = literal.forward(found.inputs[0])
    e = literal.exactly(found.error[0])
    factors = [
        literal.F_transposed_F(layer)
        if matrices == "F"
        else getattr(literal, matrices)(layer, slopes)
        for layer in layers
    ]
    literal_bp = literal.back_propagation(slopes, e)
    literal_rule = literal.target_shifts(rule, rates, slopes, e, found.gammas)
    for name, source, apply in (
        ("bp", literal_rule, literal.times),
        (rule, literal_bp, literal.inverse_times),
    ):
        wanted = []
        for layer, product in zip(layers, factors, strict=True):
            left = apply(product, slopes[layer] * source[layer - 1])
            wanted.append(np.outer(left.astype(float), rates[layer - 1].astype(float)))
        own = literal_bp if name == "bp" else literal_rule
        bounds = rounding.of_updates(
            name,
            network.weights,
            found.slopes,
            found.rates,
            [shift.astype(float) for shift in own],
        )
        changes = library_updates(found, name)
        yield compared(
            found,
            [changes[layer - 1] for layer in layers],
            wanted,
            [bounds[layer - 1] for layer in layers],
            f"{name.upper()} side",
            layers=layers,
        )


def eq_8(plan: Plan) -> Iterator[Check]:
    """Linear networks: dW_BP = F^T F dW_TP."""
    for found in cases(plan, LINEAR, NO_GAMMA):
        yield from related_by_matrices(found, "tp", "F")


def eq_15(plan: Plan) -> Iterator[Check]:
    """In a linear piece dW_BP = M dW_ITP without a limit."""
    for found in cases(plan, PIECEWISE, shallowest=2):
        yield from related_by_matrices(without_crossing(found, ("itp",)), "itp", "M")


def eq_20(plan: Plan) -> Iterator[Check]:
    """In a linear piece dW_BP = N dW_GAIT without a limit."""
    for found in cases(plan, PIECEWISE, shallowest=2):
        yield from related_by_matrices(without_crossing(found, ("gait",)), "gait", "N")


def eq_8_fixed_points(plan: Plan) -> Iterator[Check]:
    """Both updates vanish where the errors are orthogonal to the activity, and only there."""
    for found in cases(plan, LINEAR, NO_GAMMA):
        network, n = found.network, found.subject.width
        if n > 100 or (found.subject.init == "gaussian" and network.depth > 3):
            continue  # the activity of a deep Gaussian network has a rank of 1 in float64
        rng = np.random.default_rng([found.subject.seed, n])
        inputs = rng.standard_normal((2 * n, n))
        activity = forward(network, inputs)
        # least squares: what is left over of any target is orthogonal to the inputs, and so to all
        # layers' rates, which have the same column space
        basis = np.linalg.qr(inputs)[0]
        generic = rng.standard_normal((2 * n, n))
        left_over = generic - basis @ (basis.T @ generic)
        left_over -= basis @ (basis.T @ left_over)
        for vanishing, errors in ((True, left_over), (False, generic)):
            changes, bounds = {}, {}
            for rule in ("bp", "tp"):
                shifts = RULES[rule](network, activity, errors, 1.0)
                changes[rule] = [change.weights for change in updates(network, activity, shifts)]
                bounds[rule] = [
                    _batch_bound(rule, network, activity, shifts, layer)
                    for layer in range(1, network.depth + 1)
                ]
            checks = []
            for layer in range(1, network.depth + 1):
                i = layer - 1
                bp, tp = (float(np.linalg.norm(changes[rule][i])) for rule in ("bp", "tp"))
                if vanishing:
                    for rule, norm in (("bp", bp), ("tp", tp)):
                        unit, allowed = bounds[rule][i]
                        error = norm / unit
                        detail = f"layer {layer}, |dW_{rule.upper()}| of sum of norms"
                        checks.append(Check(found.subject, 0, error, error, allowed, detail))
                else:
                    least = np.prod([np.linalg.norm(W, -2) ** 2 for W in network.weights[layer:]])
                    allowed = sum(
                        unit * part / norm
                        for (unit, part), norm in ((bounds["bp"][i], bp), (bounds["tp"][i], tp))
                    )
                    ratio, detail = bp / tp, f"layer {layer}, ratio of norms at least"
                    lacking = max(0.0, 1 - ratio / least)
                    checks.append(
                        Check(found.subject, float(least), ratio, lacking, allowed, detail)
                    )
            yield worst(checks)


def _batch_bound(
    rule: str, network: Network, activity: object, shifts: object, layer: int
) -> tuple[float, float]:
    """Mean of |delta| |y| over samples, and the part of it that rounding can leave."""
    values, rates = shifts.per_gain(layer), activity.rates[layer - 1]  # type: ignore[attr-defined]
    unit = float(np.mean(np.linalg.norm(values, axis=1) * np.linalg.norm(rates, axis=1)))
    worst_sample = 0.0
    for sample in np.argsort(np.linalg.norm(values, axis=1))[[0, len(values) // 2, -1]]:
        single = [shifts.per_gain(k)[sample] for k in range(1, network.depth + 1)]  # type: ignore[attr-defined]
        flat = [np.ones(w) for w in network.widths]
        below = [y[sample] for y in activity.rates]  # type: ignore[attr-defined]
        found = rounding.of_updates(rule, network.weights, flat, below, single)
        worst_sample = max(worst_sample, found[layer - 1])
    # the mean of 2N products, and the projection onto the rates' space
    condition = float(np.linalg.cond(rates))
    return unit, worst_sample + (2 * len(values) + 2) * EPS * (1 + condition)


def eq_8_stability(plan: Plan) -> Iterator[Check]:
    """A displaced W_l is driven back by -dW C (TP) and -F^T F dW C (BP), and F^T F is positive."""
    for found in cases(plan, LINEAR, NO_GAMMA):
        network, depth = found.network, found.network.depth
        weights, n = network.weights, found.subject.width
        layer = (depth + 1) // 2
        products = np.eye(n)
        for W in weights[layer:]:
            products = W @ products
        floor = float(np.prod([np.linalg.norm(W, -2) ** 2 for W in weights[layer:]]))
        condition = float(np.prod([np.linalg.cond(W) for W in weights[layer:]]))
        least = float(np.linalg.norm(products, -2) ** 2)
        bound = 2 * (depth - layer + 1) * (n + 2) * EPS * condition
        lacking = max(0.0, 1 - least / floor)
        detail = f"layer {layer}, least eigenvalue of F'F at least"
        yield Check(found.subject, floor, least, lacking, bound, detail)
        yield from _driven_back(found, layer)


def _driven_back(found: Case, layer: int) -> Iterator[Check]:
    network, n = found.network, found.subject.width
    rng = np.random.default_rng([found.subject.seed, 1])
    step = rng.standard_normal((n, n)) / np.sqrt(n)
    moved = [*network.weights]
    moved[layer - 1] = moved[layer - 1] + step
    step = moved[layer - 1] - network.weights[layer - 1]  # as it was added, rounded
    displaced = replace(network, weights=tuple(moved))
    there = replace(found, network=displaced, activity=forward(displaced, found.inputs))
    target = found.activity.rates[-1] + found.error
    literal = written(found)
    rates, _ = literal.forward(found.inputs[0])
    drive = literal.exactly(step) @ rates[layer - 1]  # dW y
    for rule in ("tp", "bp"):
        pulled = -drive
        if rule == "bp":
            pulled = literal.times(literal.F_transposed_F(layer), pulled)
        wanted = np.outer(pulled.astype(float), rates[layer - 1].astype(float))
        size, total, changes = float(np.linalg.norm(wanted)), 0.0, []
        for one in (found, there):
            error = output_error(one.network, one.activity, target)
            one = one.with_error(error)
            change = library_updates(one, rule)[layer - 1]
            shifts = RULES[rule](one.network, one.activity, error, 1.0)
            values = [shifts.per_gain(k)[0] for k in range(1, network.depth + 1)]
            arguments = (one.network.weights, one.slopes, one.rates)
            relative = rounding.of_updates(rule, *arguments, values)[layer - 1]
            # an error of the output's rates comes down like the output error itself
            of_output = rounding.of_rates(*arguments)[-1]
            lowered = np.eye(n)
            for k in range(network.depth, layer, -1):
                lowered = (
                    rounding.step_down(rule, one.network.weights[k - 1], one.slopes[k]) @ lowered
                )
            down = float(np.linalg.norm(lowered, 2)) * of_output
            total += relative * float(np.linalg.norm(change))
            total += down * float(np.linalg.norm(one.rates[layer - 1]))
            changes.append(change)
        gap = float(np.linalg.norm(changes[1] - changes[0] - wanted)) / size
        measured = float(np.linalg.norm(changes[1] - changes[0]))
        detail = f"layer {layer}, {rule.upper()} after a displacement"
        yield Check(found.subject, size, measured, gap, total / size, detail)


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
    name = "bp" if control else "gait"
    bounds = rounding.of_updates(name, *arguments, smooth=smooth)
    if not control:
        bounds = _with_departures(found, values, bounds)
    changes = library_updates(found, rule)
    last = -1 if control else None  # the output layer's update has no feedback in it
    return compared(found, changes[:last], wanted[:last], bounds[:last], control=control)


def _with_departures(
    found: Case, values: Sequence[np.ndarray], bounds: Sequence[float]
) -> list[float]:
    maps, local = [np.eye(len(values[-1]))], [0.0]
    for layer in range(found.network.depth, 1, -1):
        W, ratio = found.network.weights[layer - 1], 1 / float(np.linalg.norm(values[layer - 2]))
        slope = found.slopes[layer]
        size = float(np.linalg.norm(values[layer - 1]))
        maps.append(W.T * slope * (ratio * size))
        local.append(
            rounding.departure(W) * float(np.linalg.norm(slope * values[layer - 1])) * ratio
        )
    extra = rounding.accumulated(maps, local)[::-1]
    gained = [
        float(np.linalg.norm(v) / np.linalg.norm(s * v))
        for v, s in zip(values, found.slopes[1:], strict=True)
    ]
    return [b + 2 * x * g for b, x, g in zip(bounds, extra, gained, strict=True)]


def eq_21(plan: Plan) -> Iterator[Check]:
    """Orthogonal W, linear piece: GAIT-prop over its product of gammas is BP at every gamma."""
    for found in cases(plan, ORTHOGONAL):
        yield against_back_propagation(without_crossing(found, ("gait",)), "gait")


def output_increment(plan: Plan) -> Iterator[Check]:
    """Section 9: gamma_L at the output only; ITP and GAIT against literal targets, and BP."""
    for found in cases(plan, PIECEWISE, (1e-6, 0.1), shallowest=2, deepest=10):
        gammas = output_only(found.gammas[-1], found.network.depth)
        for rule in ("itp", "gait"):
            single = without_crossing(replace(found, gammas=gammas), (rule,))
            yield _against_literal(single, rule)
            if rule == "gait" and found.subject.init == "orthogonal":
                yield against_back_propagation(single, rule)


def _against_literal(found: Case, rule: str) -> Check:
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


def linear_rules(plan: Plan) -> Iterator[Check]:
    """A = 1: over its product of gammas GAIT-prop is ITP, and both are TP."""
    for found in cases(plan, LINEAR, (1e-3, 0.5), shallowest=2):
        literal = written(found)
        rates, slopes = literal.forward(found.inputs[0])
        e = literal.exactly(found.error[0])
        shifts = literal.target_shifts("itp", rates, slopes, e, found.gammas)
        wanted = [
            literal.update(layer, shifts[layer - 1], rates, slopes).astype(float)
            for layer in range(1, found.network.depth + 1)
        ]
        values = [shift.astype(float) for shift in shifts]
        arguments = (found.network.weights, found.slopes, found.rates, values)
        bounds = rounding.of_updates("itp", *arguments)
        for rule in ("gait", "tp"):
            yield compared(found, library_updates(found, rule), wanted, bounds, rule.upper())


def auxiliary_units(plan: Plan) -> Iterator[Check]:
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
                        yield _against_literal(found, rule)
                        changes = library_updates(found, rule)
                        unread = sum(
                            float(np.abs(change[found.network.n_projecting(layer) :]).sum())
                            for layer, change in enumerate(changes, 1)
                        )
                        detail = f"{rule.upper()}, sum of |dW| onto auxiliary units"
                        yield Check(found.subject, 0.0, unread, unread, 0.0, detail)


def losses(plan: Plan) -> Iterator[Check]:
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


def itp_is_not_bp(plan: Plan) -> Iterator[Check]:
    """Control: no A^2, leaky-ReLU, W orthogonal."""
    for found in cases(plan, (("leaky_relu", "orthogonal"),), GAMMAS[1:2], shallowest=2):
        yield against_back_propagation(found, "itp", control=True)


def tp_is_not_bp(plan: Plan) -> Iterator[Check]:
    """Control: full targets, leaky-ReLU, W orthogonal."""
    for found in cases(plan, (("leaky_relu", "orthogonal"),), NO_GAMMA, shallowest=2):
        yield against_back_propagation(found, "tp", control=True)


def gait_is_not_bp(plan: Plan) -> Iterator[Check]:
    """Control: Gaussian W."""
    kinds = (("leaky_relu", "gaussian"), ("linear", "gaussian"))
    for found in cases(plan, kinds, GAMMAS[1:2], shallowest=2):
        yield against_back_propagation(found, "gait", control=True)
