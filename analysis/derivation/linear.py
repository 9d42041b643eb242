"""Claims on linear networks: Eq. 8, fixed points and their stability, and one rule for three.

Owns the checks of section 3 of the paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from analysis.derivation import rounding
from analysis.derivation.both_sides import (
    LINEAR,
    NO_GAMMA,
    compared,
    library_updates,
    related_by_matrices,
    written,
)
from analysis.derivation.claim import Check, ClaimPlan, worst
from analysis.derivation.random_networks import Case, cases
from analysis.derivation.rounding import EPS
from circuit.losses import output_error
from circuit.network import Activity, Network, forward
from circuit.plasticity import updates
from circuit.rules import RULES
from circuit.shifts import Shifts


def eq_8(plan: ClaimPlan) -> Iterator[Check]:
    """Linear networks: dW_BP = F^T F dW_TP."""
    for found in cases(plan, LINEAR, NO_GAMMA):
        yield from related_by_matrices(found, "tp", "F")


def eq_8_fixed_points(plan: ClaimPlan) -> Iterator[Check]:
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
                bounds[rule] = _batch_bounds(rule, network, activity, shifts)
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


def _batch_bounds(
    rule: str, network: Network, activity: Activity, shifts: Shifts
) -> list[tuple[float, float]]:
    """Of every layer, the mean over samples of |delta| |y|, and the part of it left by rounding."""
    layers = range(1, network.depth + 1)
    values = [shifts.per_gain(layer) for layer in layers]
    flat = [np.ones(width) for width in network.widths]
    parts = np.array(
        [
            rounding.of_updates(
                rule,
                network.weights,
                flat,
                [rates[sample] for rates in activity.rates],
                [value[sample] for value in values],
            )
            for sample in range(len(values[0]))
        ]
    ).max(axis=0)
    found = []
    for layer, value, part in zip(layers, values, parts.tolist(), strict=True):
        rates = activity.rates[layer - 1]
        norms = np.linalg.norm(value, axis=1) * np.linalg.norm(rates, axis=1)
        # the mean of so many products, and the projection onto the rates' space
        projected = (len(value) + 2) * EPS * (1 + float(np.linalg.cond(rates)))
        found.append((float(np.mean(norms)), part + projected))
    return found


def eq_8_stability(plan: ClaimPlan) -> Iterator[Check]:
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


def linear_rules(plan: ClaimPlan) -> Iterator[Check]:
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
