"""The first way down the energy of predictive coding: errors put in again, with a memory.

Owns Anderson's (1965) acceleration of eps <- lambda F^T e, image by image. In a linear network it
is GMRES for the Hessian, at the price of one evaluation a step; in others it is near that as long
as the errors are small. What it does not bring to rest is left to Newton's method
(`circuit.peers.predictive_coding`).
"""

from __future__ import annotations

import array_api_compat
import numpy as np

from circuit.numerics.arrays import Array, epsilon, namespace, row_norms
from circuit.numerics.small_systems import solved
from circuit.peers.energy import Energy, Layers, MovedState
from circuit.peers.settling import relative

MEMORY = 6  # steps that are remembered
STEPS = 14  # at most
GROWN = 10.0  # a residual this much over its lowest is not looked at further


def accelerated(
    energy: Energy, first: Layers, tolerance: float
) -> tuple[MovedState, Layers, float]:
    """From no errors to the best state of each image, with the gradient there, and the passes.

    Parameters
    ----------
    first : back-propagation's shift v_1 .. v_L, which is what no errors ask for
    tolerance : of the gradient beside the error of every layer; all images at it, it stops
    """
    xp = namespace(first[-1])
    errors, change = [0 * value for value in first[:-1]], list(first[:-1])
    size = energy.norm(change)
    size = xp.where(size > 0, size, xp.ones_like(size))[..., None]
    memory = _Memory(energy, size)
    best: Layers = []
    lowest, closed, passes = np.asarray(np.inf), np.asarray(False), 0.0
    for _ in range(STEPS):
        step = memory.step(change)
        errors = [error + part for error, part in zip(errors, step, strict=True)]
        state = energy.state(errors)
        asked = energy.asked(state)
        passes += 2
        after = [new - error for new, error in zip(asked, errors, strict=False)]
        memory.add(step, [now - old for now, old in zip(after, change, strict=True)])
        change = after
        worst = _residuals(energy, state, change).max(axis=0)
        found = [*state.errors, *state.shifts, *state.drives, *change]
        nearer = ~closed & (worst < lowest)
        best = _nearer(nearer, found, best) if best else found
        lowest = np.where(nearer, worst, lowest)
        closed = closed | (lowest <= tolerance) | ~(worst <= GROWN * lowest)
        if closed.all():
            break
    depth = energy.network.depth
    errors, shifts, drives = (best[i * depth : (i + 1) * depth] for i in range(3))
    slopes = [unit.slope(h) for unit, h in zip(energy.network.activations, drives, strict=True)]
    gradient = [*(-value for value in best[3 * depth :]), 0 * first[-1]]
    return MovedState(errors, shifts, drives, slopes), gradient, passes


class _Memory:
    """What the last steps did to the gradient."""

    def __init__(self, energy: Energy, size: Array) -> None:
        self.energy, self.size = energy, size
        self.moves: list[Layers] = []  # of the errors and of what they ask for
        self.turns: list[Layers] = []  # of the gradient, over the size of the first
        self.products: dict[tuple[int, int], Array] = {}
        self.count = 0

    def _scaled(self, layers: Layers) -> Layers:
        return [value / self.size for value in layers]

    def add(self, step: Layers, turn: Layers) -> None:
        """Remember one more, and forget the oldest where there are too many."""
        self.moves.append([a + b for a, b in zip(step, turn, strict=True)])
        self.turns.append(self._scaled(turn))
        self.moves, self.turns = self.moves[-MEMORY:], self.turns[-MEMORY:]
        self.count += 1
        for back, turned in enumerate(reversed(self.turns)):
            pair = (self.count - 1 - back, self.count - 1)
            self.products[pair] = self.energy.inner(turned, self.turns[-1])

    def step(self, change: Layers) -> Layers:
        """What the gradient asks for, less what the last steps have shown not to help."""
        if not self.turns:
            return change
        xp, m = namespace(change[0]), len(self.turns)
        places = range(self.count - m, self.count)
        rows = [
            xp.stack([self.products[min(i, j), max(i, j)] for j in places], axis=-1) for i in places
        ]
        gram, now = xp.stack(rows, axis=-2), self._scaled(change)
        right = xp.stack([self.energy.inner(turned, now) for turned in self.turns], axis=-1)
        trace = xp.sum(xp.linalg.diagonal(gram), axis=-1)[..., None]
        ridge = xp.where(trace > 0, 50 * epsilon(trace) * trace, xp.ones_like(trace))
        unit = xp.eye(m, dtype=gram.dtype, device=array_api_compat.device(gram))
        weights = solved(gram + ridge[..., None] * unit, right)
        step = list(change)
        for place, move in enumerate(self.moves):
            weight = weights[..., place : place + 1]
            step = [value - weight * part for value, part in zip(step, move, strict=True)]
        return step


def _residuals(energy: Energy, state: MovedState, change: Layers) -> np.ndarray:
    """|gradient| over |error| in every layer below the output, (L - 1, samples)."""
    norms = list(map(row_norms, change)), list(map(row_norms, state.errors[:-1]))
    return relative(*norms, row_norms(state.errors[-1]))


def _nearer(mask: np.ndarray, new: Layers, old: Layers) -> Layers:
    """`new` for the images of the mask (samples,)."""
    if mask.all():
        return new
    xp, first = namespace(new[0]), new[0]
    found = xp.asarray(mask.reshape(first.shape[:-1]), device=array_api_compat.device(first))
    return [xp.where(found[..., None], one, other) for one, other in zip(new, old, strict=True)]
