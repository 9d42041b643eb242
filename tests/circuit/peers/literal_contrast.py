"""The free and nudged states of a contrast, literally: dense, one image, roots by SciPy.

Nothing here is the library's: weights are lists of matrices, units pairs of formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import root

UNITS: dict[str, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    "tanh": (np.tanh, lambda h: 1 - np.tanh(h) ** 2),
    "asinh": (np.arcsinh, lambda h: 1 / np.sqrt(1 + h**2)),
    "linear": (lambda h: h, np.ones_like),
    "leaky_relu": (lambda h: np.where(h > 0, h, 0.1 * h), lambda h: np.where(h > 0, 1.0, 0.1)),
}

Vectors = list[np.ndarray]


@dataclass
class Literal:
    """Weights (N_l, n_l) and biases of the layers 1 .. L, their units, and gamma."""

    weights: Sequence[np.ndarray]
    biases: Sequence[np.ndarray]
    units: Sequence[str]
    gamma: float

    @property
    def widths(self) -> list[int]:
        """N_1 .. N_L."""
        return [len(bias) for bias in self.biases]

    def split(self, flat: np.ndarray) -> Vectors:
        """Layer by layer."""
        return np.split(flat, np.cumsum(self.widths)[:-1])

    def drives(self, x: np.ndarray, rates: Vectors) -> Vectors:
        """What every layer gets from below and from above."""
        found, below = [], [x, *rates]
        for i, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            h = w @ below[i][: w.shape[1]] + b
            if i + 1 < len(self.weights):
                above = self.weights[i + 1]
                h[: above.shape[1]] += self.gamma * above.T @ rates[i + 1]
            found.append(h)
        return found

    def rates(self, drives: Vectors) -> Vectors:
        """Of every layer."""
        return [UNITS[unit][0](h) for unit, h in zip(self.units, drives, strict=True)]

    def slopes(self, drives: Vectors) -> Vectors:
        """Of every layer."""
        return [UNITS[unit][1](h) for unit, h in zip(self.units, drives, strict=True)]

    def coupling(self) -> np.ndarray:
        """The derivative of all drives in all rates."""
        ends = np.cumsum(self.widths)
        starts = ends - self.widths
        full = np.zeros((ends[-1], ends[-1]))
        for i in range(1, len(self.weights)):
            w = self.weights[i]
            here, below = (
                slice(starts[i], ends[i]),
                slice(starts[i - 1], starts[i - 1] + w.shape[1]),
            )
            full[here, below] = w
            full[below, here] = self.gamma * w.T
        return full

    def at_rest(
        self,
        x: np.ndarray,
        start: Vectors | None = None,
        push: Callable[[np.ndarray], np.ndarray] | None = None,
        clamp: np.ndarray | None = None,
    ) -> Vectors:
        """The root near `start`, by default the forward pass; with `push` of the output's rates
        added to the drive of the outputs, or those of `clamp` held.
        """
        if start is None:
            start, below = [], x
            for w, b, unit in zip(self.weights, self.biases, self.units, strict=True):
                below = UNITS[unit][0](w @ below[: w.shape[1]] + b)
                start.append(below)

        def pushed(rates: Vectors) -> Vectors:
            h = self.drives(x, rates)
            if push is not None:
                added = push(rates[-1])
                h[-1][: len(added)] += added
            return h

        def miss(flat: np.ndarray) -> np.ndarray:
            rates = self.split(flat)
            wanted = self.rates(pushed(rates))
            if clamp is not None:
                wanted[-1][: len(clamp)] = clamp
            return flat - np.concatenate(wanted)

        flat = root(miss, np.concatenate(start), method="hybr", options={"xtol": 1e-15}).x
        step = 1e-6 * np.eye(len(flat))
        jacobian = np.array([(miss(flat + d) - miss(flat - d)) / 2e-6 for d in step]).T
        for _ in range(3):  # to rounding
            flat = flat - np.linalg.solve(jacobian, miss(flat))
        assert np.abs(miss(flat)).max() < 1e-12, "no root"
        return self.split(flat)
