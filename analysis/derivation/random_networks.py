"""The random networks on which claims are tried.

Owns which depths, widths, feedback strengths, units and initialisations, and how small an output
error has to be for no unit to cross its kink.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.derivation.claim import ClaimPlan, Subject
from circuit.initialisation.networks import initialise
from circuit.network import Activity, Network, forward

GAMMAS = (1e-6, 1e-3, 0.1, 0.5)
# (depth, width): narrow networks to any depth, wide ones as far as many digits are affordable
SHAPES = {
    "smoke": ((1, 8), (3, 8), (6, 8)),
    "full": ((1, 8), (2, 8), (3, 8), (5, 8), (10, 8), (20, 8), (30, 8), (3, 32), (2, 96), (1, 256)),
}
# the same for what is compared in float64, without many digits
WIDE_SHAPES = {
    "smoke": ((1, 8), (3, 8), (30, 8), (5, 32), (2, 256)),
    "full": (*SHAPES["full"], (10, 32), (30, 64), (2, 256), (5, 256)),
}


@dataclass(frozen=True, eq=False)
class Case:
    """A network with one clamped input and one output error.

    Attributes
    ----------
    inputs : array (1, N_0)
    error : array (1, n_outputs), t_L - y_L of the output units that carry one
    gammas : gamma_1 .. gamma_L
    """

    subject: Subject
    network: Network
    inputs: np.ndarray
    error: np.ndarray
    gammas: tuple[float, ...]
    activity: Activity

    @property
    def slopes(self) -> list[np.ndarray]:
        """Slopes f' of the layers 0 .. L, (units,); that of layer 0 is 1."""
        return [np.ones(self.inputs.shape[1]), *(slope[0] for slope in self.activity.slopes)]

    @property
    def rates(self) -> list[np.ndarray]:
        """y_0 .. y_L, (units,)."""
        return [rates[0] for rates in self.activity.rates]

    def with_error(self, error: np.ndarray) -> Case:
        """The same network and input with another output error."""
        return replace(self, error=error)


def case(
    depth: int,
    width: int,
    units: str,
    init: str,
    gamma: float | Sequence[float],
    seed: int,
    *,
    widths: Sequence[int] | None = None,
    n_outputs: int | None = None,
) -> Case:
    """A random network, input and error, all of size 1, from `seed` alone."""
    weights_rng, inputs_rng, error_rng = np.random.default_rng(seed).spawn(3)
    widths = widths or [width] * (depth + 1)
    network = initialise(widths, weights_rng, init=init, activation=units, n_outputs=n_outputs)
    inputs = inputs_rng.standard_normal((1, widths[0]))
    gammas = (gamma,) * depth if isinstance(gamma, float) else tuple(gamma)
    return Case(
        Subject(depth, widths[1], units, init, min(gammas), seed),
        network,
        inputs,
        error_rng.standard_normal((1, network.n_outputs)),
        gammas,
        forward(network, inputs),
    )


def unequal(depth: int, seed: int) -> tuple[float, ...]:
    """Feedback strengths between 1e-6 and 0.5, evenly in the logarithm, another for each layer."""
    drawn = np.random.default_rng(seed).uniform(math.log(1e-6), math.log(0.5), depth)
    return tuple(np.exp(drawn).tolist())


def cases(
    plan: ClaimPlan,
    kinds: Sequence[tuple[str, str]],
    gammas: Sequence[float] = GAMMAS,
    *,
    wide: bool = False,
    deepest: int = 30,
    shallowest: int = 1,
) -> Iterator[Case]:
    """Every shape of the plan with every seed, kind (units, init) and feedback strength."""
    for depth, width in (WIDE_SHAPES if wide else SHAPES)[plan.scale]:
        if not shallowest <= depth <= deepest:
            continue
        for units, init in kinds:
            for seed in plan.seeds:
                few = gammas if plan.full and width <= 32 else (gammas[0], gammas[-1])
                for gamma in dict.fromkeys(few if width <= 32 else gammas[-1:]):
                    yield case(depth, width, units, init, gamma, seed)


def shrunk(found: Case, shifts: Sequence[np.ndarray], room: float = 0.25) -> Case:
    """The case with an error so small that no unit of layers 1 .. L crosses its kink.

    Parameters
    ----------
    shifts : of layers 1 .. L for the present error, (units,), in a linear piece; what is to stay
        on its side of zero is the rate y_l when shifted by this
    room : the part of each rate that its shift may take
    """
    largest = 0.0
    for rates, shift in zip(found.rates[1:], shifts, strict=True):
        with np.errstate(divide="ignore"):
            largest = max(largest, float(np.max(np.abs(shift / rates))))
    return found if largest <= room else found.with_error(found.error * (room / largest))
