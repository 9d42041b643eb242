"""What `from circuit.doors import ...` offers."""

from .files import load, save
from .padding import Padding, pad

__all__ = ["Padding", "load", "pad", "save"]
