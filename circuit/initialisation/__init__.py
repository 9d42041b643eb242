"""Networks that begin with random weights.

`networks` makes a network from its widths, `weights` the matrices: orthogonal, Gaussian, or
orthogonal with rows of unequal lengths. A seed or a generator decides every number.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
