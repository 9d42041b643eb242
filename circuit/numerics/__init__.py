"""Linear algebra and random numbers: arrays of any library, inverses, singular values.

Nothing here knows of circuits. `arrays` and `taken` deal with arrays of NumPy, PyTorch and
others, `scale` with numbers that may not underflow, `inverse`, `following_inverse` and
`singular_values` with weights, `small_systems` and `crossing` with many small problems at once,
`keyed_random` with numbers that are found again.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
