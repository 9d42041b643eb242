"""Methods that look for the equilibrium, one per file, and the table of all.

`table` finds them by name. `direct` solves the equations of one layer after the other in closed
form and refines, `sweep` lets layers take turns, `newton` takes what both miss, `ode` and
`brian2` follow the circuit in time. None judges itself: that is `circuit.verification`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
