"""What `from circuit.peers import ...` offers."""

from .contrast.critical import critical_strength
from .contrast.states import free_state, own_gradient
from .own import use_rule_file
from .reading import signal_updates
from .rule import Rule
from .signal import Rest, Signal
from .table import register

__all__ = [
    "Rest",
    "Rule",
    "Signal",
    "critical_strength",
    "free_state",
    "own_gradient",
    "register",
    "signal_updates",
    "use_rule_file",
]
