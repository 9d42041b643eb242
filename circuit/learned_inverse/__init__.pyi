"""What `from circuit.learned_inverse import ...` offers."""

from .companions import LearnedInverse, PseudoInverse
from .inverse_model import InverseModel, exact_model, model_of_matrices, pseudo_inverse_model
from .model import practised, propagate_learned, random_model

__all__ = [
    "InverseModel",
    "LearnedInverse",
    "PseudoInverse",
    "exact_model",
    "model_of_matrices",
    "practised",
    "propagate_learned",
    "pseudo_inverse_model",
    "random_model",
]
