"""The units: one file each, with the formulas that Brian2 needs of them, and the table of all."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
