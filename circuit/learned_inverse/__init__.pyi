"""What `from circuit.learned_inverse import ...` offers."""

from .model import Practice, practised, propagate_learned, random_model

__all__ = [
    "Practice",
    "practised",
    "propagate_learned",
    "random_model",
]
