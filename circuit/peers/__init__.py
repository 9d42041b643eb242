"""What other theories say that a layer should learn from, one file a rule, all in one form.

Reading order: signal (what a rule gives), rule (what a rule is), table (which there are), reading
(to weight changes); then the file of any rule, which the table names. The others are what several
rules share, `contrast` a folder of them. `own` takes in a rule that stands outside
(docs/extending.md).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
