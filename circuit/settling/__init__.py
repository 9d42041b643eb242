"""The loop in which a method settles a batch, block by block and phase after phase.

`loop` judges every image and improves those that go on; `blocks` cuts a large batch; `phases`
lets a plain circuit come to rest twice; `second` tries another method, and `remedies` says what
may help. The front door is `circuit.settle`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
