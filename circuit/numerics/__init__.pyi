"""What `from circuit.numerics import ...` offers."""

from .arrays import Array, namespace, to_numpy
from .inverse import Factorised
from .keyed_random import normals, signs
from .singular_values import SingularValues, bounded

__all__ = [
    "Array",
    "Factorised",
    "SingularValues",
    "bounded",
    "namespace",
    "normals",
    "signs",
    "to_numpy",
]
