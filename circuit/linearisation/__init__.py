"""How a small change of a circuit's state goes on: the Jacobian, times tangents or as a matrix.

`diagonals` holds the equations; `jacobian` multiplies by tangents without forming a matrix, for
circuits of any size; `matrix` forms it, for small ones.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
