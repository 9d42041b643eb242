"""Circuits whose weights are variables of a Brian2 run, awake and asleep."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
