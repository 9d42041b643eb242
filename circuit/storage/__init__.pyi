"""What `from circuit.storage import ...` offers."""

from .files import write_atomically
from .networks import load_network, save_network
from .records import load_record, save_record
from .results import Results, open_results

__all__ = [
    "Results",
    "load_network",
    "load_record",
    "open_results",
    "save_network",
    "save_record",
    "write_atomically",
]
