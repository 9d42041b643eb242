"""Lateral inhibition that keeps weights orthogonal: by acting on rates, or by teaching weights."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
