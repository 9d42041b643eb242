"""What `from circuit.doors import ...` offers."""

from .files import load, save
from .layers import from_layers
from .padding import Padding, pad
from .sklearn_models import from_sklearn
from .torch_modules import from_torch

__all__ = ["Padding", "from_layers", "from_sklearn", "from_torch", "load", "pad", "save"]
