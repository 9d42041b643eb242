"""The methods that look for the equilibrium, by name.

A method is a `Method`: a function that gives a first state and one that improves a state. The loop,
the budget, the ruler and the checks live once, in `circuit.equilibrium`. A new method is one file
and one line of `circuit.settings.methods`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

from circuit.checks.given import require_choice
from circuit.circuit import Circuit
from circuit.method import Method
from circuit.settings import methods as settings


def _method(file: str) -> Method:
    """The method in a file of this folder, which is loaded when it is asked for."""
    found: Method = import_module(f"circuit.methods.{file}").METHOD
    return found


METHODS: dict[str, Callable[[], Method]] = {
    name: partial(_method, file) for name, file in settings.METHODS.items()
}
"""Ways to look for the equilibrium; a call of an entry loads its `Method`."""


DEFAULT = "default"  # in place of a method's name


def default_method(circuit: Circuit) -> str:
    """The method that settles a circuit where none is named."""
    return "direct" if circuit.feedback is None else "sweep"


def named(method: str, circuit: Circuit) -> Method:
    """The method of that name. Raises `CircuitError`."""
    method = default_method(circuit) if method == DEFAULT else method
    require_choice("method", method, METHODS)
    return METHODS[method]()
