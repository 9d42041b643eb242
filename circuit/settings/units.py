"""The names of the units, one file each in `circuit.units`, and of those that no circuit can have.

A new unit is such a file, with a function of its name, and the name here. Standard library only,
for the options of the commands.
"""

from __future__ import annotations

UNITS = ("linear", "leaky_relu", "asinh", "tanh", "clipped_tanh")
CLIPPED = ("clipped_tanh",)  # whose inverse is exact only inside its limits
INVERTIBLE = tuple(name for name in UNITS if name not in CLIPPED)
