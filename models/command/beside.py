"""A piece of work in a process beside this one, while this one does something else.

Owns that process, and what becomes of an error in it. Standard library only.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Generic, Self, TypeVar

Result = TypeVar("Result")


def can_be_beside() -> bool:
    """Whether there is a second processor, and a system on which a process may copy itself."""
    return sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1


class Beside(Generic[Result]):
    """A copy of this process, made now, for one piece of work whose arguments come later.

    What the copy loads and changes is its own. It ends with the `with` block, done or not.

    Parameters
    ----------
    work : what is to be done there
    prepare : done there at once, while the arguments are still being found
    """

    def __init__(
        self, work: Callable[..., Result], prepare: Callable[[], object] | None = None
    ) -> None:
        context = multiprocessing.get_context("fork")
        self._here, there = context.Pipe()
        self._process = context.Process(
            target=_do, args=(work, prepare, there, self._here), daemon=True
        )
        with warnings.catch_warnings():
            # Python 3.12 warns of threads; the only ones are those of NumPy's BLAS, which allows it
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        there.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whatever it does."""
        self._process.terminate()
        self._process.join()
        self._here.close()

    def do(self, *arguments: object, meanwhile: Callable[[], object]) -> Result:
        """What the work gives for these arguments, which are pickled, while `meanwhile` is done.

        Raises what the work or `meanwhile` raises, and `MemoryError` where the copy has ended
        without a word, as one does that the system kills.
        """
        message = pickle.dumps(arguments)
        sending = threading.Thread(target=self._send, args=(message,), daemon=True)
        sending.start()  # it takes until the copy is prepared, where a pipe does not hold it all
        meanwhile()
        try:
            done, result = self._here.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            code = self._process.exitcode
            raise MemoryError(f"its process ended with status {code}") from None
        if not done:
            raise result
        return result

    def _send(self, message: bytes) -> None:
        with suppress(OSError):  # a copy that has ended is noticed by whoever reads
            self._here.send_bytes(message)


def _do(
    work: Callable[..., object],
    prepare: Callable[[], object] | None,
    there: Connection,
    parents: Connection,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever waits is told, and ends this too
    parents.close()  # or its end would never be noticed here
    try:
        if prepare is not None:
            prepare()
        found: tuple[bool, object] = True, work(*there.recv())
    except EOFError:  # nobody wants it
        return
    except BaseException as error:
        found = False, error
    with suppress(OSError):  # nobody waits any more
        there.send(found)
