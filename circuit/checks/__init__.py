"""What is taken as a number, a count, a name or a layer, and the one line that refuses the rest.

What a person gives is looked at before anything is computed with it. `given` has plain values
(numbers, counts, names, units of time), `layers` and `outputs` arrays, `room` what Brian2 can
carry, `words` how a value is quoted in a message. Nothing is repaired in silence.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
