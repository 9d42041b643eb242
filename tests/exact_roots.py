"""The equilibrium near a settled state, solved for in mpmath, sliding units included.

Given which units rest at their kink, the printed equations are those of `LiteralCircuit` with one
more unknown for each of them, what it sends down, and one more equation, that its drive is 0.
Newton's method with differences solves them: the equations are linear in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mpmath
import numpy as np
from mpmath import mp, mpf

from circuit.shifts import Shifts
from circuit.trial import Trial
from tests.circuit.test_dynamics import LiteralCircuit, Vector, digits
from tests.literal_units import exactly

STEPS = 6
SMALL = mpf(10) ** -25


def newton_step(
    residual: Callable[[Vector], mp.matrix], flat: Vector, now: mp.matrix, step: mpf
) -> Vector:
    """From `flat`, where the residual is `now`, with differences over `step` for the Jacobian."""
    jacobian = mp.matrix(len(flat), len(flat))
    for column in range(len(flat)):
        moved = list(flat)
        moved[column] += step
        jacobian[:, column] = (residual(moved) - now) / step
    change = mp.lu_solve(jacobian, now)
    return [value - change[i] for i, value in enumerate(flat)]


class _WithKinks(LiteralCircuit):
    """The literal circuit in which some units send a given shift of their pre-activation."""

    sent: dict[tuple[int, int], mpf]

    def square(self, layer: int, unit: int) -> mpf:
        """N^2 of a unit in the GRAIT pathway, else 1."""
        row = self.weights[layer][unit]
        return mp.fdot(row, row) if self.grait else mpf(1)

    def feedback(self, layer: int, y: list[Vector]) -> Vector:
        received = super().feedback(layer, y)
        for (sender, unit), message in self.sent.items():
            if sender != layer + 1:
                continue
            h = self.drive(sender, y[layer])[unit]
            slope = self.units[sender].slope(h)
            value = self.units[sender].value(h)
            gain = slope**2 * self.square(sender, unit)
            usual = self.units[sender].inverse(value + gain * (y[sender][unit] - value)) - h
            change = message - usual
            for i in range(len(received)):
                received[i] += self.inverses[sender][i][unit] * change
        return received


class ExactRoot:
    """The exact equilibrium near `shifts` of a trial of one image; L arrays of `slopes`.

    Attributes
    ----------
    consistent : whether it was found, and every unit at its kink is one that stays there: its
        mismatch negative and its message between a m and m / a (times N^2 in the GRAIT pathway)
    """

    def __init__(self, trial: Trial, shifts: Shifts, slopes: Sequence[np.ndarray]) -> None:
        self.state = shifts
        self.kinks = [
            (layer, int(unit))
            for layer, slope in enumerate(slopes, 1)
            for unit in np.flatnonzero(slope)
        ]
        self.decimals = 2 * digits(shifts)
        with mp.workdps(self.decimals):
            self._solve(trial)

    def distance(self, layer: int, n: int) -> float:
        """|d - d*| / |d| of the first n units of a layer."""
        with mp.workdps(self.decimals):
            found = exactly(self.state.values[layer - 1][0])[:n]
            truth = self.layers[layer - 1][:n]
            gap = mpmath.norm([a - b for a, b in zip(found, truth, strict=True)])
            return float(gap / mpmath.norm(found))

    def values(self) -> tuple[np.ndarray, ...]:
        """The exact shifts in the scales of the state, as floats."""
        return tuple(np.array([[float(v) for v in layer]]) for layer in self.layers)

    def _solve(self, trial: Trial) -> None:
        literal = _WithKinks(trial)
        widths = literal.widths[1:]
        self.scales = [mpmath.ldexp(mpf(s.mantissa), s.exponent) for s in self.state.scales]
        flat = [v for values in self.state.values for v in exactly(values[0])]
        flat += [
            -mpf(float(abs(self.state.values[layer - 1][0, unit]))) for layer, unit in self.kinks
        ]

        def rates(unknown: Vector) -> list[Vector]:
            y, start = [literal.forward[0]], 0
            for layer, width in enumerate(widths, 1):
                part, start = unknown[start : start + width], start + width
                pairs = zip(literal.forward[layer], part, strict=True)
                y.append([a + self.scales[layer - 1] * d for a, d in pairs])
            return y

        def residual(unknown: Vector) -> mp.matrix:
            y, sent = rates(unknown), unknown[sum(widths) :]
            literal.sent = {
                place: self.scales[place[0] - 1] * value
                for place, value in zip(self.kinks, sent, strict=True)
            }
            changes = literal.velocity(y)
            found = [
                value * literal.tau[layer] / self.scales[layer - 1]
                for layer, vector in enumerate(changes, 1)
                for value in vector
            ]
            for layer, unit in self.kinks:
                found.append(literal.drive(layer, y[layer - 1])[unit] / self.scales[layer - 2])
            return mp.matrix(found)

        step = mpf(10) ** -(mp.dps // 2)
        for _ in range(STEPS):
            now = residual(flat)
            if mpmath.norm(now) < SMALL:
                break
            flat = newton_step(residual, flat, now, step)
        self.consistent = bool(mpmath.norm(residual(flat)) < SMALL)
        self.layers, start = [], 0
        for width in widths:
            self.layers.append(flat[start : start + width])
            start += width
        y, sent = rates(flat), flat[sum(widths) :]
        for (layer, unit), value in zip(self.kinks, sent, strict=True):
            slope = mpf(trial.network.activation(layer).smallest_slope)
            own = literal.feedforward(layer, y[layer - 1])[unit]
            mismatch = (y[layer][unit] - own) / self.scales[layer - 1]
            mismatch *= literal.square(layer, unit)
            self.consistent &= bool(mismatch < 0 and mismatch / slope <= value <= mismatch * slope)
