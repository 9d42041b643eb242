"""How records are printed and pickled, and how they find the doors that stand above them.

`brief` prints a record as one line and, in a notebook, a table; `remembered` pickles functions
that are made by other functions; `reached` finds by name what a record offers from floors above
it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
