"""What `from circuit.labels import ...` offers."""

from .answers import accuracy, predict
from .targets import one_hot

__all__ = ["accuracy", "one_hot", "predict"]
