"""A piece of work in a process beside this one, while this one does something else.

Owns that process, and what becomes of an error in it. Standard library only.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TypeVar

Result = TypeVar("Result")


def can_be_beside() -> bool:
    """Whether there is a second processor, and a system on which a process may copy itself."""
    return sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1


def beside(work: Callable[[], Result], meanwhile: Callable[[], object]) -> Result:
    """What `work` gives, done in a copy of this process while this one does `meanwhile`.

    What the copy loads and changes is its own. Raises what `work` or `meanwhile` raises, and
    `MemoryError` where the copy has ended without a word, as one does that the system kills.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_do, args=(work, there), daemon=True)
    with warnings.catch_warnings():
        # Python 3.12 warns of threads; the only ones are those of NumPy's BLAS, which allows for it
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    there.close()
    try:
        meanwhile()
        done, result = here.recv()
    except EOFError:
        process.join()
        raise MemoryError(f"its process ended with status {process.exitcode}") from None
    finally:
        process.terminate()
        process.join()
        here.close()
    if not done:
        raise result
    return result


def _do(work: Callable[[], object], there: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever waits is told, and ends this too
    try:
        found: tuple[bool, object] = True, work()
    except BaseException as error:
        found = False, error
    with suppress(OSError):  # nobody waits any more
        there.send(found)
