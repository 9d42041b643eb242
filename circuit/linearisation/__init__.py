"""How a small change of a circuit's state goes on: the Jacobian, times tangents or as a matrix."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
