"""What `from circuit.records import ...` offers."""

from .brief import Brief

__all__ = ["Brief"]
