"""Who writes a file: a process on a host, named in what it leaves half done, and whether it lives.

Owns the names of temporary files, and the removal of those whose process is gone. Does not own the
lock of a folder (`analysis.lock`) nor what is written (`analysis.records`).
"""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

HOST = re.sub(r"[^\w.-]", "_", platform.node()) or "unknown"
LEFTOVER = re.compile(r"\..*-(?P<pid>\d+)@(?P<host>[\w.-]+)-\w{8}(\.\w+)?")
SAME = 60.0  # seconds by which a clock that was set may move the time at which a process began
LONGEST = 100  # letters of a file's own name in that of a temporary one; a name has 255 at most


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes
    ----------
    began : when, in seconds since 1970, so that another with the same pid is not taken for it; None
        where that is not known
    """

    host: str
    pid: int
    began: float | None = None

    def lives(self) -> bool | None:
        """Whether it is still running; None where that cannot be seen from here."""
        if self.host != HOST:
            return None
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return self.began is None or abs(process.create_time() - self.began) < SAME
        except (psutil.NoSuchProcess, ValueError, OverflowError):
            return False
        except psutil.AccessDenied:
            return True


def myself() -> Owner:
    """The process that calls this."""
    return _process(os.getpid())


@lru_cache(maxsize=1)  # by pid: a forked child is another process
def _process(pid: int) -> Owner:
    return Owner(HOST, pid, psutil.Process(pid).create_time())


def temporary_prefix(stem: str) -> str:
    """How the temporary name begins of a file that is called `stem`: eight letters follow."""
    return f".{stem[:LONGEST]}-{os.getpid()}@{HOST}-"


def remove_leftovers(folder: Path) -> None:
    """Remove what processes of this host left half written in `folder` when they were killed."""
    for path in folder.iterdir():
        parts = LEFTOVER.fullmatch(path.name)
        if parts and Owner(parts["host"], int(parts["pid"])).lives() is False:
            with suppress(OSError):
                path.unlink(missing_ok=True)
