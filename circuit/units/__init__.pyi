"""What `from circuit.units import ...` offers."""

from .table import ACTIVATIONS, activation, activations

__all__ = ["ACTIVATIONS", "activation", "activations"]
