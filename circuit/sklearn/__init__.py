"""A network of circuits as a classifier of scikit-learn.

`CircuitClassifier` goes into pipelines and searches. It trains the same networks by the same
lessons as the rest of the library, and answers with classes and their probabilities.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
