"""What `from circuit.learned_inverse import ...` offers."""

from .equilibrium import LearnedEquilibrium, settle_learned
from .model import (
    InverseModel,
    Practice,
    exact_model,
    practised,
    propagate_learned,
    pseudo_inverse_model,
    random_model,
)

__all__ = [
    "InverseModel",
    "LearnedEquilibrium",
    "Practice",
    "exact_model",
    "practised",
    "propagate_learned",
    "pseudo_inverse_model",
    "random_model",
    "settle_learned",
]
