"""What `from circuit.peers import ...` offers."""

from .reading import signal_updates
from .rule import Rule
from .signal import Rest, Signal

__all__ = [
    "Rest",
    "Rule",
    "Signal",
    "signal_updates",
]
