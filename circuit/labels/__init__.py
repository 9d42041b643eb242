"""Labels as targets of the outputs, and what a network answers of an image.

`targets` makes one-hot targets, `answers` takes the largest output for the answer (of a single
output, whether it is above 0) and counts how often it is right.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
