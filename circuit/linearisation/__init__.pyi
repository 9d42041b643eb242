"""What `from circuit.linearisation import ...` offers."""

from .jacobian import jacobian_product
from .matrix import dense_jacobian

__all__ = ["dense_jacobian", "jacobian_product"]
