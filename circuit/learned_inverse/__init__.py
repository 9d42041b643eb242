"""Feedback that learns to invert the feed-forward weights, and the circuit that goes through it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
