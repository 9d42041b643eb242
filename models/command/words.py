"""What a command says, which never keeps it from its work: the reader of a pipe may leave early, a
device be full, a stream be closed.

Owns the streams while a command runs, and what becomes of words that nobody took. Standard library
only, so that `--help` answers at once.
"""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import Any

Main = Callable[..., int]
LEFT = (errno.EPIPE, errno.ECONNRESET)  # the reader has read enough, and nobody need be told


class Patient:
    """A text stream that drops what it cannot write, and remembers why.

    Everything else is the stream's own.

    Attributes
    ----------
    trouble : why the first words were lost; None while none are
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.trouble: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write, with escapes for what the encoding lacks, such as a path that is not UTF-8."""
        try:
            self._tried(self.stream.write, text)
        except UnicodeEncodeError:
            encoding = self.stream.encoding or "ascii"
            escaped = text.encode(encoding, "backslashreplace").decode(encoding)
            self._tried(self.stream.write, escaped)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        self._tried(self.stream.flush)

    def finish(self) -> None:
        """Flush; what is lost is not tried again when Python ends, which would complain."""
        self.flush()
        if self.trouble is not None:
            with suppress(OSError, ValueError, AttributeError):  # where no file is behind it
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.stream.fileno())
                os.close(nowhere)

    def _tried(self, act: Callable[..., object], *words: str) -> None:
        if self.trouble is not None:
            return
        try:
            act(*words)
        except OSError as error:
            self.trouble = error


def speaking(program: str) -> Callable[[Main], Main]:
    """Make a `main` do all its work whatever becomes of its words.

    A closed pipe or stream ends quietly, with the status that it had anyway. Words that are lost
    for another reason, such as a full device, are told in one line, with status 2.
    """

    def decorate(main: Main) -> Main:
        @functools.wraps(main)
        def speaks(arguments: Sequence[str] | None = None) -> int:
            occupy_streams()
            out, err = Patient(sys.stdout), Patient(sys.stderr)
            leaving: SystemExit | None = None
            with redirect_stdout(out), redirect_stderr(err):
                try:
                    status = main(arguments)
                except SystemExit as early:  # bad input, or --help
                    leaving = early
                out.finish()
                if out.trouble is not None and out.trouble.errno not in LEFT:
                    words = f"standard output cannot be written ({out.trouble.strerror})"
                    say = f"{program}: error: {words}; files are not affected, send it elsewhere"
                    print(say, file=sys.stderr)
                    leaving = leaving if leaving is not None and leaving.code else SystemExit(2)
                err.finish()
            if leaving is not None:
                raise leaving
            return status

        return speaks

    return decorate


def occupy_streams() -> None:
    """Open in place of every closed stream one that leads nowhere.

    A file would be given its number otherwise, and errors of libraries be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
