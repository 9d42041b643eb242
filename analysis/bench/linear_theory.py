"""What each rule's shifts are in a linear network, in closed form, and what was measured there.

Owns the page of linear theory of docs/bench.md: dense matrices, one formula a rule, written from
the equations and apart from the rules' own code. W_l stands padded with zeros for units that are
not read, F_l = W_L ... W_{l+1} for how the outputs follow layer l, e for the output error. Factors
that are the same for all units of a layer are left out: what is compared is direction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from circuit.errors import CircuitError
from circuit.learned_inverse.model import WEIGHTS
from circuit.learning.lesson import Lesson
from circuit.learning.taught import teach
from circuit.losses import output_error
from circuit.network import Network, forward
from circuit.numerics.arrays import to_numpy
from circuit.peers.dfa import DIRECT
from circuit.peers.feedback_control import FEEDBACK
from circuit.peers.rule import Companions
from circuit.peers.sign import concordant
from circuit.report.alignment import agreement
from circuit.report.bench import practised
from circuit.shifts import Shifts
from circuit.units.linear import linear

MOST_UNITS = 1500  # of all layers together, for the dense systems


@dataclass(frozen=True)
class Linear:
    """A linear network, its output error, and what a rule has beside it.

    Attributes
    ----------
    network : with linear units
    error : (batch, n_outputs)
    settings : of the rule
    companions : of the rule
    inverse : whether targets go through the pseudo-inverse, not through the exact one
    """

    network: Network
    error: np.ndarray
    settings: Any
    companions: Companions
    pseudo: bool

    @property
    def depth(self) -> int:
        """L."""
        return self.network.depth

    @cached_property
    def weights(self) -> dict[int, np.ndarray]:
        """W_l (N_l, N_{l-1}), float64, l = 1 .. L."""
        found = {}
        for layer, weights in enumerate(self.network.weights, 1):
            whole = np.zeros((weights.shape[0], self.network.widths[layer - 1]))
            whole[:, : weights.shape[1]] = to_numpy(weights)
            found[layer] = whole
        return found

    @cached_property
    def outputs(self) -> dict[int, np.ndarray]:
        """F_l (n_outputs, N_l) for the outputs that have a target."""
        found = {self.depth: np.eye(self.network.widths[-1])[: self.network.n_outputs]}
        for layer in range(self.depth, 1, -1):
            found[layer - 1] = found[layer] @ self.weights[layer]
        return found

    @property
    def at_output(self) -> np.ndarray:
        """E (batch, N_L), 0 where there is no target."""
        return self.error @ self.outputs[self.depth]

    def down(self, step: Callable[[int, np.ndarray], np.ndarray]) -> list[np.ndarray]:
        """Shifts of the layers 1 .. L, each from the one above: `step(layer, shift of layer)`."""
        found = [self.at_output]
        for layer in range(self.depth, 1, -1):
            value = step(layer, found[0])
            wide = np.zeros((len(value), self.network.widths[layer - 1]))
            wide[:, : value.shape[1]] = value
            found.insert(0, wide)
        return found

    def learning(self, shifts: list[np.ndarray]) -> list[np.ndarray]:
        """Shifts with those of auxiliary units, which follow and learn nothing, set to zero."""
        for layer, values in enumerate(shifts, 1):
            values[:, self.network.n_projecting(layer) :] = 0
        return shifts

    def inverted(self, layer: int) -> np.ndarray:
        """W_l^-1, or W_l^+, of the part of W_l that reads."""
        whole = to_numpy(self.network.weights[layer - 1]).astype(float)
        return np.linalg.pinv(whole) if self.pseudo else np.linalg.inv(whole)


Theory = Callable[[Linear], list[np.ndarray]]


def gradient(one: Linear) -> list[np.ndarray]:
    """F_l^T e: back-propagation; dual propagation and fixed-prediction coding at any strength."""
    return [one.error @ one.outputs[layer] for layer in range(1, one.depth + 1)]


def through_inverse(one: Linear) -> list[np.ndarray]:
    """F_l^-1 e: target propagation, ITP, GAIT-prop."""
    return one.down(lambda layer, value: value @ one.inverted(layer).T)


def by_rows(one: Linear) -> list[np.ndarray]:
    """GRAIT-prop: as `through_inverse`, each unit's shift times the squared length of its row."""

    def step(layer: int, value: np.ndarray) -> np.ndarray:
        lengths = (one.weights[layer] ** 2).sum(axis=1)
        return (value * lengths) @ one.inverted(layer).T

    return one.down(step)


def settled_circuit(one: Linear) -> list[np.ndarray]:
    """Multiples of F_l^-1 e; through GRAIT's pathway mismatches that obey GRAIT-prop's recursion,

        m_l = gamma_l / (1 - gamma_l) W_{l+1}^-1 N_{l+1}^2 m_{l+1} ,
        m_L = gamma_L (e - W_L d_{L-1}) ,

    and shifts d_l = m_l + W_l d_{l-1}. The last equation is solved for m_L.
    """
    if one.settings.pathway != "grait":
        return through_inverse(one)
    gammas = np.broadcast_to(one.settings.strengths(one.depth), one.depth)
    n = one.network.n_outputs

    def both(output_mismatch: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        mismatches, gain = by_rows(replace(one, error=output_mismatch)), 1.0
        for layer in range(one.depth - 1, 0, -1):
            gain *= gammas[layer - 1] / (1 - gammas[layer - 1])
            mismatches[layer - 1] *= gain
        shifts = [mismatches[0]]
        for layer in range(2, one.depth + 1):
            shifts.append(mismatches[layer - 1] + shifts[-1] @ one.weights[layer].T)
        return mismatches, shifts

    mismatches, shifts = both(np.eye(n))
    returned = (shifts[-1] - mismatches[-1])[:, :n]  # W_L d_{L-1}, a row for each unit of m_L
    strength = gammas[-1]
    solved = np.linalg.solve(np.eye(n) + strength * returned.T, strength * one.error.T).T
    return one.learning(both(solved)[one.settings.readout == "shift"])


def contrast(one: Linear) -> list[np.ndarray]:
    """d_l = W_l d_{l-1} + gamma W_{l+1}^T d_{l+1}, the output being held or pushed: one block
    tridiagonal system. The error is that of the free state, which obeys the same system.
    """
    widths, depth, gamma = one.network.widths[1:], one.depth, one.settings.gamma
    ends = np.cumsum([0, *widths])
    places = [slice(a, b) for a, b in pairwise(ends)]
    matrix = np.eye(ends[-1])
    for layer in range(2, depth + 1):
        here, below = places[layer - 1], places[layer - 2]
        matrix[here, below] -= one.weights[layer]
        matrix[below, here] -= gamma * one.weights[layer].T
    inputs = np.zeros((len(one.error), ends[-1]))
    # of the free state less the forward pass: what the forward pass leaves of its equations
    rates = one.companions["forward"]
    for layer in range(1, depth):
        inputs[:, places[layer - 1]] = gamma * rates[layer + 1] @ one.weights[layer + 1]
    moved = np.linalg.solve(matrix, inputs.T).T[:, places[-1]]
    outputs = slice(None, one.network.n_outputs)
    error = one.error - moved[:, outputs]  # targets less the outputs of the free state
    beta, pushed = one.settings.beta, np.zeros_like(inputs)
    held = np.arange(ends[-2], ends[-2] + one.network.n_outputs)
    if one.settings.nudge == "clamp":
        matrix[held] = np.eye(ends[-1])[held]
    elif one.settings.nudge == "spring" and not one.settings.centred:
        matrix[held, held] += beta
    pushed[:, held] = error
    solved = np.linalg.solve(matrix, pushed.T).T
    if one.settings.nudge == "spring" and one.settings.centred:
        stiff, slack = matrix.copy(), matrix.copy()
        stiff[held, held] += beta
        slack[held, held] -= beta
        solved = np.linalg.solve(stiff, pushed.T).T + np.linalg.solve(slack, pushed.T).T
    return [solved[:, place] for place in places]


def through_matrices(one: Linear) -> list[np.ndarray]:
    """Products of the feedback matrices B_L, B_{L-1}, ..."""
    matrices = one.companions[WEIGHTS]
    return one.down(lambda layer, value: value @ to_numpy(matrices[layer - 2]).T)


def through_signs(one: Linear) -> list[np.ndarray]:
    """The same with matrices that have the signs of the weights."""
    matrices = concordant(one.network, one.settings, one.companions)
    return one.down(lambda layer, value: value @ to_numpy(matrices[layer - 2]).T)


def direct(one: Linear) -> list[np.ndarray]:
    """B_l e."""
    found = [np.zeros((len(one.error), width)) for width in one.network.widths[1:-1]]
    for values, matrix in zip(found, one.companions[DIRECT], strict=True):
        values[:, : matrix.shape[0]] = one.error @ to_numpy(matrix).T
    return [*found, one.at_output]


def coding(one: Linear) -> list[np.ndarray]:
    """F_l^T S^-1 e with S = 1/lambda + the sum over hidden layers of F_l F_l^T."""
    hidden = [one.outputs[layer] for layer in range(1, one.depth)]
    damped = np.eye(one.network.n_outputs) / one.settings.strength
    damped = damped + sum(F @ F.T for F in hidden)
    error = np.linalg.solve(damped, one.error.T).T
    return gradient(replace(one, error=error))


def control(one: Linear) -> list[np.ndarray]:
    """Q_l (J Q + a)^-1 lambda e; with Q = J^T the outputs' own part of J is the identity."""
    layers = range(1, one.depth + 1)
    if FEEDBACK in one.companions:
        matrices = [to_numpy(matrix).astype(float) for matrix in one.companions[FEEDBACK]]
    else:
        matrices = [one.outputs[layer].T for layer in layers]
    around = sum(one.outputs[layer] @ matrices[layer - 1] for layer in layers)
    system = around + one.settings.leak * np.eye(one.network.n_outputs)
    controller = np.linalg.solve(system, one.error.T)
    return one.learning([(matrix @ controller).T for matrix in matrices])


THEORY: dict[str, Theory] = {
    "bp": gradient,
    "tp": through_inverse,
    "itp": through_inverse,
    "gait": through_inverse,
    "grait": by_rows,
    "circuit": settled_circuit,
    "chl": contrast,
    "ep": contrast,
    "pc": coding,
    "pc_fixed": gradient,
    "dual": gradient,
    "dfc": control,
    "dtp": through_matrices,
    "ldrl": through_matrices,
    "ddtp": direct,
    "fa": through_matrices,
    "dfa": direct,
    "sign": through_signs,
}


def held_against_theory(
    network: Network,
    inputs: np.ndarray,
    targets: np.ndarray,
    lessons: Mapping[str, Lesson],
    practice: int = 100,
    seed: int = 0,
) -> xr.Dataset:
    """Cosine of every layer's shift with back-propagation's in the network with linear units.

    Returns
    -------
    xarray.Dataset
        `linear_measured` and `linear_predicted` (rule, layer), NaN for a rule that has no theory
        here or gave nothing. Without variables where the loss is not the quadratic one, or the
        network has more than `MOST_UNITS` units.
    """
    rules, depth = list(lessons), network.depth
    if sum(network.widths[1:]) > MOST_UNITS or lessons[rules[0]].loss != "quadratic":
        return xr.Dataset(coords={"rule": rules, "layer": np.arange(1, depth + 1)})
    plain = replace(network, activations=(linear(),) * depth)
    measured, predicted = np.full((2, len(rules), depth), np.nan)
    reference: list[np.ndarray] = []
    for i, (rule, lesson) in enumerate(lessons.items()):
        if rule not in THEORY:
            continue
        try:
            shifts, theory = _both(plain, inputs, targets, rule, lesson, practice, seed)
        except (CircuitError, np.linalg.LinAlgError):
            continue  # the bench says why
        reference = reference or gradient(_linear(plain, inputs, targets, Lesson(rule="bp"), {}))
        for layer in range(depth):
            found = to_numpy(shifts.per_gain(layer + 1))
            measured[i, layer] = agreement(found, reference[layer]).cosine
            predicted[i, layer] = agreement(theory[layer], reference[layer]).cosine
    both = {"linear_measured": measured, "linear_predicted": predicted}
    return xr.Dataset(
        {name: (("rule", "layer"), values) for name, values in both.items()},
        {"rule": rules, "layer": np.arange(1, depth + 1)},
    )


def _both(
    plain: Network,
    inputs: np.ndarray,
    targets: np.ndarray,
    rule: str,
    lesson: Lesson,
    practice: int,
    seed: int,
) -> tuple[Shifts, list[np.ndarray]]:
    """What the rule gives, and what the theory says. Raises `CircuitError`."""
    beside = practised(plain, lesson, inputs, practice, seed)
    signal = teach(plain, lesson, forward(plain, inputs), targets, beside)
    if signal.rest is not None and not all(signal.rest.converged):
        raise CircuitError("not all images have settled")
    return signal.shifts, THEORY[rule](_linear(plain, inputs, targets, lesson, beside))


def _linear(
    plain: Network,
    inputs: np.ndarray,
    targets: np.ndarray,
    lesson: Lesson,
    beside: Companions,
) -> Linear:
    activity = forward(plain, inputs)
    error = to_numpy(output_error(plain, activity, targets)).astype(float)
    rates = tuple(to_numpy(one).astype(float) for one in activity.rates)
    beside = {**beside, "forward": rates}
    return Linear(plain, error, lesson.given, beside, lesson.inverse is not None)
