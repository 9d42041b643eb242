"""What other theories say that a layer should learn from, one file a rule, all in one form."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
