"""What `from circuit.settling import ...` offers."""

from .blocks import settle_all

__all__ = ["settle_all"]
