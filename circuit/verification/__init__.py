"""The ruler: whether a state is at rest, sample by sample, and how far off it can be.

`judgement` decides, for every solver alike; `bounds` says how far off a state can be, `doubt` how
well its error is known. `kinks` counts units of leaky-ReLU that a state has carried across their
kink, `sliding` and `hull` are about those that rest there; `samples` keeps account of a batch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
