"""The methods that settle a circuit: the name of each, and its file in `circuit.methods`.

A new method is such a file, with a `METHOD`, and one line here. Standard library only, for the
options of the commands.
"""

from __future__ import annotations

METHODS = {
    "direct": "direct.method",
    "sweep": "sweep",
    "newton": "newton.method",
    "ode": "ode",
    "brian2": "brian2",
}
