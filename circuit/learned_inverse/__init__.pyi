"""What `from circuit.learned_inverse import ...` offers."""

from .companions import LearnedInverse, PseudoInverse
from .model import practised, propagate_learned, random_model

__all__ = [
    "LearnedInverse",
    "PseudoInverse",
    "practised",
    "propagate_learned",
    "random_model",
]
