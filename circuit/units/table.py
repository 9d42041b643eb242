"""The units that have a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from circuit.activations import Activation, Units, UnitText
from circuit.checks.given import is_sequence, require_choice
from circuit.units.asinh import asinh
from circuit.units.clipped_tanh import clipped_tanh
from circuit.units.leaky_relu import leaky_relu
from circuit.units.linear import linear
from circuit.units.tanh import tanh

ACTIVATIONS: dict[str, Callable[[], Activation]] = {
    "linear": linear,
    "leaky_relu": leaky_relu,
    "asinh": asinh,
    "tanh": tanh,
    "clipped_tanh": clipped_tanh,
}


def activation(name: str) -> Activation:
    """The activation function called `name`, with its default parameters."""
    require_choice("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()


def activations(given: str | Activation | Sequence[str | Activation], depth: int) -> Units:
    """One unit for all of `depth` layers, or one for each, as `Activation`s.

    Raises `CircuitError` for a name that is unknown, or what is neither a unit nor its name.
    """
    each: Sequence[Any] = list(given) if is_sequence(given) else [given] * depth
    return tuple(unit if isinstance(unit, Activation) else activation(unit) for unit in each)


UNIT_TEXTS: dict[str, UnitText] = {
    "linear": UnitText("drive", "1", "sent"),
    "leaky_relu": UnitText(
        "int(drive > 0)*drive + int(drive <= 0)*leak*drive",
        "int(drive > 0) + int(drive <= 0)*leak",
        "int(sent > 0)*sent + int(sent <= 0)*sent/leak",
    ),
    # Brian2 has neither arcsinh nor arctanh; these keep the digits of small arguments
    "asinh": UnitText(
        "sign(drive)*log1p(abs(drive) + drive**2/(1 + sqrt(1 + drive**2)))",
        "1/sqrt(1 + drive**2)",
        "sinh(sent)",
    ),
    "tanh": UnitText(
        "tanh(drive)",
        "4*exp(-2*abs(drive))/(1 + exp(-2*abs(drive)))**2",
        "0.5*(log1p(sent) - log1p(-sent))",
    ),
}
