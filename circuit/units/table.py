"""The units that have a name: what makes each, and what Brian2 needs of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from circuit.activations import Activation, Units, UnitText
from circuit.checks.given import is_sequence, require_choice
from circuit.settings.units import UNITS

FILES = {name: import_module(f"circuit.units.{name}") for name in UNITS}
ACTIVATIONS: dict[str, Callable[[], Activation]] = {
    name: getattr(file, name) for name, file in FILES.items()
}
"""Activation functions with default parameters: a call of an entry makes one."""
UNIT_TEXTS: dict[str, UnitText] = {
    name: file.TEXT for name, file in FILES.items() if hasattr(file, "TEXT")
}


def activation(name: str) -> Activation:
    """The activation function called `name`, with its default parameters.

    Examples
    --------
    >>> from circuit.units import activation
    >>> activation("leaky_relu")
    Activation(leaky_relu of slope 0.1)
    """
    require_choice("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()


def activations(given: str | Activation | Sequence[str | Activation], depth: int) -> Units:
    """One unit for all of `depth` layers, or one for each, as `Activation`s.

    Raises `CircuitError` for a name that is unknown, or what is neither a unit nor its name.

    Examples
    --------
    >>> from circuit.units import activations
    >>> activations("tanh", 2), activations(["tanh", "linear"], 2)
    ((Activation(tanh), Activation(tanh)), (Activation(tanh), Activation(linear)))
    """
    each: Sequence[Any] = list(given) if is_sequence(given) else [given] * depth
    return tuple(unit if isinstance(unit, Activation) else activation(unit) for unit in each)
