"""The ruler: whether a state is at rest, sample by sample, and how far off it can be."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
