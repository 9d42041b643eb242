"""One step of learning: what a network learns by, and the weights that it has afterwards.

`lesson` says what a step is, in plain values that are checked where they are given. `step` takes
a batch to a network with other weights: `taught` says what its synapses learn from, `regulariser`
what keeps them orthogonal, `adam` how far they go.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
