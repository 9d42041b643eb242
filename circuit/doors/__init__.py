"""Networks that were trained elsewhere, taken in with what was done to them said in words."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
