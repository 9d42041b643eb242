"""What `from circuit.methods import ...` offers."""

from .table import METHODS

__all__ = ["METHODS"]
