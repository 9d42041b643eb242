"""Lateral inhibition that keeps weights orthogonal: by acting on rates, or by teaching weights.

`acting` decorrelates drives or inputs while the task is done; `teaching` lets plastic inhibition
teach synapses to be orthogonal, from local signals; `companions` and `pull` are what a step of
learning sees of either.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
