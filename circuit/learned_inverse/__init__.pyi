"""What `from circuit.learned_inverse import ...` offers."""

from .equilibrium import LearnedEquilibrium, settle_learned
from .model import Practice, practised, propagate_learned, random_model

__all__ = [
    "LearnedEquilibrium",
    "Practice",
    "practised",
    "propagate_learned",
    "random_model",
    "settle_learned",
]
