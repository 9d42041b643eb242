"""What a settled circuit is reported by: agreement with the rules, as labelled arrays.

`comparison` decides whether the circuit carries its rule's update, with `alignment`, and with the
bound of `deviation`. `tables`, `labelled` and `picture` show it as text, arrays and a figure.
`bench` and `bench_tables` set all rules side by side, as arrays and as text.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
