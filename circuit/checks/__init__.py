"""What is taken as a number, a count, a name or a layer, and the one line that refuses the rest."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
