"""The methods that look for the equilibrium, by name.

A method is a `Method`: a function that gives a first state and one that improves a state. The loop,
the budget, the ruler and the checks live once, in `circuit.equilibrium`. A new method is one file
and one line here.
"""

from __future__ import annotations

from collections.abc import Callable

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
