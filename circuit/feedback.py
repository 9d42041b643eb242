"""Feedback strength: how much of a layer's deviation is sent to the layer below.

Owns the gain of each kind of target propagation, which the algorithmic rules and the circuit's
feedback pathways share, and the factors that the strengths of several layers multiply up to.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from circuit.checks.given import real, reals, require_count
from circuit.errors import CircuitError
from circuit.numerics.arrays import Array, namespace
from circuit.settings.circuits import STRENGTHS, UP_TO_ONE


@dataclass(frozen=True)
class Gain:
    """epsilon of one member of the family: 1 (TP), gamma (ITP), gamma A^2 (GAIT, Eq. 16), and
    gamma A^2 N^2 (GRAIT, docs/derivation.md, section 8).

    A is the slope of a unit, N the length of its row of weights.

    Attributes
    ----------
    incremental : whether the feedback strength gamma enters
    gradient_adjusted : whether the squared slope A^2 enters
    row_adjusted : whether the squared length N^2 enters
    """

    name: str
    incremental: bool
    gradient_adjusted: bool
    row_adjusted: bool = False

    def by_rows(
        self, deviation: Array, layer: int, squared_lengths: Callable[[int], Array]
    ) -> Array:
        """A layer's deviation `(..., batch, n)` times N^2, or times 1, of its first n units.

        `squared_lengths` gives N_l^2 `(..., N_l)` of a layer, such as `Network.squared_lengths`. It
        comes before `local`, which leaves it out.
        """
        if not self.row_adjusted:
            return deviation
        lengths = squared_lengths(layer)[..., None, : deviation.shape[-1]]
        return deviation * namespace(lengths).astype(lengths, deviation.dtype, copy=False)

    def local(self, slope: Array, deviation: Array) -> Array:
        """A layer's deviation times what the slopes of its units set, A^2 or 1."""
        return deviation * slope * slope if self.gradient_adjusted else deviation


TARGET_PROPAGATION = Gain("tp", incremental=False, gradient_adjusted=False)
INCREMENTAL = Gain("itp", incremental=True, gradient_adjusted=False)
GRADIENT_ADJUSTED = Gain("gait", incremental=True, gradient_adjusted=True)
ROW_ADJUSTED = Gain("grait", incremental=True, gradient_adjusted=True, row_adjusted=True)

PATHWAYS: dict[str, Gain] = {
    gain.name: gain for gain in (INCREMENTAL, GRADIENT_ADJUSTED, ROW_ADJUSTED)
}


def per_layer(
    strength: float | Sequence[float], depth: int, *, up_to_one: bool = False
) -> tuple[float, ...]:
    """gamma_1 .. gamma_L from one number or from one per layer.

    Raises `CircuitError` unless there are `depth` of them, each inside (0, 1), or in (0, 1] where
    `up_to_one` allows layers without an increment (paper section 9).
    """
    require_count("depth", depth, 1)
    strengths = reals("feedback strength", strength, depth)
    if len(strengths) != depth:
        raise CircuitError(
            f"{len(strengths)} feedback strengths for {depth} layers; give one number or {depth}"
        )
    within = UP_TO_ONE if up_to_one else STRENGTHS
    for layer, value in enumerate(strengths, 1):
        fault = within.fault(value)
        if not fault and value < sys.float_info.min:
            fault = "is so small that 1 / gamma overflows"
        if fault:
            raise CircuitError(
                f"feedback strength gamma = {value:g} at layer {layer} {fault}; use for example "
                f"{within.example}"
            )
    return strengths


def output_only(strength: float, depth: int) -> tuple[float, ...]:
    """The strengths of paper section 9: one increment at the output, none below.

    Raises `CircuitError` as `per_layer`.
    """
    require_count("depth", depth, 1)
    return per_layer(
        (1.0,) * (depth - 1) + (real("feedback strength", strength),), depth, up_to_one=True
    )


def ruin_ratios(strengths: Sequence[float]) -> tuple[float, ...]:
    """c_l / c_{l+1} for l = 1 .. L in the ITP circuit (docs/derivation.md, section 3).

    c_l = (1 - gamma_l) c_{l-1} + gamma_l c_{l+1} with c_0 = 0, c_{L+1} = 1: a gambler's ruin.
    Eliminating from the bottom leaves c_l = a_l c_{l+1} with the positive ratios returned here.
    """
    ratios: list[float] = []
    below = 0.0
    for strength in strengths:
        # 1 - (1 - gamma) a, written as gamma + (1 - gamma) (1 - a) so that nothing cancels
        escape = strength + (1 - strength) * (1 - below)
        ratios.append(strength / escape)
        below = ratios[-1]
    return tuple(ratios)


def mismatch_ratios(strengths: Sequence[float]) -> tuple[float, ...]:
    """m_l against m_{l+1} in the GAIT and GRAIT circuits, weights and slopes aside:
    gamma / (1 - gamma), and the nudge at the output.
    """
    return (*(value / (1 - value) for value in strengths[:-1]), strengths[-1])


def closed_form_gain(strength: float, layer: int, depth: int) -> float:
    """c_l of the ITP circuit with one gamma everywhere: (q^l - 1) / (q^(L+1) - 1), q = 1/gamma - 1.

    The formula as printed in docs/derivation.md, rearranged only so that q^L cannot overflow.
    Raises `CircuitError` as `per_layer`, and for a layer that is none of 1 .. L.
    """
    require_count("depth", depth, 1)
    require_count("layer", layer, 1, depth)
    (strength,) = per_layer(real("feedback strength", strength), 1)
    if strength == 0.5:
        return layer / (depth + 1)
    log_q = math.log((1 - strength) / strength)
    if log_q < 0:
        return math.expm1(layer * log_q) / math.expm1((depth + 1) * log_q)
    upper = -math.expm1(-layer * log_q) / -math.expm1(-(depth + 1) * log_q)
    return math.exp((layer - depth - 1) * log_q) * upper
