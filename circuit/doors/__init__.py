"""Networks that were trained elsewhere, taken in with what was done to them said in words.

Begin with `files` (`load`, `save`). `layers`, `units`, `torch_modules` and `sklearn_models` bring
the networks of others into the form of `circuit.network.Network`; `padding` adds the auxiliary
units without which their weights have no inverse, and `condition` warns of weights that float
arithmetic serves badly.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
