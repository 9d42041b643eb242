"""A network of circuits as a classifier of scikit-learn.

`CircuitClassifier` goes into pipelines and searches. It holds the same networks and lessons as
the rest of the library; nothing is computed here.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
