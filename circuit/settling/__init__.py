"""The loop in which a method settles a batch, block by block and phase after phase."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
