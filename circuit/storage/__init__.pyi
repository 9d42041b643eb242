"""What `from circuit.storage import ...` offers."""

from .files import write_atomically
from .networks import load_network, save_network

__all__ = ["load_network", "save_network", "write_atomically"]
