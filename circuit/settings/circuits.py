"""What a circuit can be set to, for the library and for options of commands, which load no NumPy.

Owns the names of pathways and read-outs, and what a feedback strength is by default and may be.
Standard library only.
"""

from __future__ import annotations

from circuit.settings.declaration import Interval

PATHWAYS = ("itp", "gait", "grait")  # what a layer sends down
READOUTS = ("shift", "mismatch")  # what of a settled circuit synapses learn from
WEAK = 0.01  # gamma where nobody gives one and nothing is learnt
STRENGTHS = Interval(0, 1, "()", f"{WEAK:g}")  # gamma of a circuit
UP_TO_ONE = Interval(0, 1, "(]", f"{WEAK:g}")  # of a rule, whose layers may have no increment
