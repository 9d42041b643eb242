"""How far a long computation has come, on stderr: a bar on a terminal, else lines; or nothing."""

from __future__ import annotations

import sys
import time
from typing import Any


class ProgressBar:
    """Lines on stderr, and a bar where that is a terminal.

    Parameters
    ----------
    name : before every line; "" for none
    quiet : True says nothing at all
    """

    def __init__(self, name: str, quiet: bool):
        self.prefix = f"{name}: " if name else ""
        self.quiet = quiet
        self.bar: Any = None
        self.began = self.looked = time.monotonic()

    def show_bar(self, **options: Any) -> None:
        """Start the clock, and a bar, if there is a terminal; `options` as of `tqdm`."""
        self.began = self.looked = time.monotonic()
        if not self.quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(dynamic_ncols=True, **options)

    def say(self, words: str) -> None:
        """A line of its own, unless quiet."""
        if self.quiet:
            return
        if self.bar is not None:
            self.bar.write(self.prefix + words, file=sys.stderr)
        else:
            print(self.prefix + words, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def left(self, done: float) -> str:
        """About how long it takes to the end, in words, `done` of the whole being done since the
        start of the clock.
        """
        seconds = (time.monotonic() - self.began) * (1 / done - 1)
        if seconds < 100:
            return f"about {seconds:.0f} s left"
        if seconds < 100 * 60:
            return f"about {seconds / 60:.0f} min left"
        return f"about {seconds / 3600:.0f} h left"
