"""What `from circuit.sklearn import ...` offers."""

from .classifier import CircuitClassifier

__all__ = ["CircuitClassifier"]
