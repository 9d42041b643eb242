"""Circuits whose weights are variables of a Brian2 run, awake and asleep.

Reading order: circuit (what is simulated: `Plastic`, `Timing`), equations, objects, run, sleep. One
run holds a stack of networks side by side.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
