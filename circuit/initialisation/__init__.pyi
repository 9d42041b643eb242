"""What `from circuit.initialisation import ...` offers."""

from .networks import initialise
from .weights import INITIALISERS, gaussian, orthogonal, unequal_rows

__all__ = ["INITIALISERS", "gaussian", "initialise", "orthogonal", "unequal_rows"]
