"""What `from circuit.learned_inverse import ...` offers."""

from .companions import LearnedInverse, PseudoInverse
from .equilibrium import LearnedEquilibrium, settle_learned
from .model import InverseModel, exact_model, practised, propagate_learned, random_model

__all__ = [
    "InverseModel",
    "LearnedEquilibrium",
    "LearnedInverse",
    "PseudoInverse",
    "exact_model",
    "practised",
    "propagate_learned",
    "random_model",
    "settle_learned",
]
