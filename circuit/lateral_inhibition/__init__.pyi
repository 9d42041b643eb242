"""What `from circuit.lateral_inhibition import ...` offers."""

from .acting import PLACES, effective
from .teaching import MECHANISMS, Inhibition, teach

__all__ = [
    "MECHANISMS",
    "PLACES",
    "Inhibition",
    "effective",
    "teach",
]
