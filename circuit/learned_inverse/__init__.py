"""Feedback that is not the exact inverse: given, or learning to invert the feed-forward weights.

`inverse_model` is any such feedback, matrices of yours included; `model` lets one learn (paper
section 9) and says which rule then stands beside the circuit; `companions` is what a step of
learning sees of it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
