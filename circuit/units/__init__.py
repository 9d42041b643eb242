"""The units: one file each, with the formulas that Brian2 needs of them, and the table of all.

A file holds f, its slope and inverse, and differences that do not cancel; `scaled` is what all of
them need for shifts that are tiny. `table` finds them by name.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
