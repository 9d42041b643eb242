"""What `from circuit.learning import ...` offers."""

from .adam import Adam
from .lesson import Lesson
from .step import Learner, Moments, Step, begin_learning, fresh, learn, teach

__all__ = [
    "Adam",
    "Learner",
    "Lesson",
    "Moments",
    "Step",
    "begin_learning",
    "fresh",
    "learn",
    "teach",
]
