"""What `from circuit.lateral_inhibition import ...` offers."""

from .acting import PLACES, effective
from .companions import Decorrelation, Inhibition
from .teaching import MECHANISMS, Mechanism, teach

__all__ = [
    "MECHANISMS",
    "PLACES",
    "Decorrelation",
    "Inhibition",
    "Mechanism",
    "effective",
    "teach",
]
