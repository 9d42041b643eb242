"""The methods that look for the equilibrium, by name.

A method is a `Method`: a function that gives a first state and one that improves a state. The loop,
the budget, the ruler and the checks live once, in `circuit.equilibrium`. A new method is one file
and one line here.
"""

from __future__ import annotations

from collections.abc import Callable

from circuit.checks.given import require_choice
from circuit.circuit import Circuit
from circuit.method import Method
from circuit.methods import ode, sweep
from circuit.methods.direct import method as direct
from circuit.methods.newton import method as newton


def _brian2() -> Method:
    from circuit.methods import brian2  # Brian2 takes a second to import

    return brian2.METHOD


METHODS: dict[str, Callable[[], Method]] = {
    "direct": lambda: direct.METHOD,
    "sweep": lambda: sweep.METHOD,
    "newton": lambda: newton.METHOD,
    "ode": lambda: ode.METHOD,
    "brian2": _brian2,
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
