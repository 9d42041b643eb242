"""The two sides of a claim on the algorithms: the library's, and the equations written down.

Owns how a rule of the library is held against explicit matrices or literal targets, layer by layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from analysis.derivation import rounding
from analysis.derivation.claim import Check, worst
from analysis.derivation.literal import Literal, digits_for
from analysis.derivation.random_networks import Case, shrunk
from circuit.plasticity import updates
from circuit.rules import RULES

BOTH = ("orthogonal", "gaussian")
LINEAR = tuple(("linear", init) for init in BOTH)
PIECEWISE = (*LINEAR, *(("leaky_relu", init) for init in BOTH))
UNEQUAL = (("linear", "unequal_rows"), ("leaky_relu", "unequal_rows"))
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
            message = message * slope**2 if rule in ("gait", "grait") else message
            if rule == "grait":
                message = message * np.sum(found.network.weights[layer - 1] ** 2, axis=1)
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
