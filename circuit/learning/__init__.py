"""One step of learning: what a network learns by, and the weights that it has afterwards."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
