"""What `from circuit.learning import ...` offers."""

from .adam import Adam
from .lesson import Decorrelation, Inhibition, LearnedInverse, Lesson, PseudoInverse, Regulariser
from .step import Learner, Moments, Step, begin_learning, fresh, learn
from .taught import teach

__all__ = [
    "Adam",
    "Decorrelation",
    "Inhibition",
    "LearnedInverse",
    "Learner",
    "Lesson",
    "Moments",
    "PseudoInverse",
    "Regulariser",
    "Step",
    "begin_learning",
    "fresh",
    "learn",
    "teach",
]
