"""What is on disk: networks, arrays out of archives, files that are written whole or not at all.

`files` writes whole or not at all, `archives` reads .npz files without pickles; `networks`,
`records` and `results` are what we keep in them. `owner` tells whose a half-written file is.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
