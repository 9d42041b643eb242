"""Whether processes can be begun here: each of them imports the script that began it.

Owns the words for a script without a guard, and for a process that may begin none.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

from circuit.errors import CircuitError

GUARD = "if __name__ == '__main__':"


def require_a_script_to_itself() -> None:
    """End this process, quietly, where it is one that is beginning and imports its script.

    It has come here because the script has no guard. The process that began it sees it end, and
    says so (`beginning`).
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(1)


@contextmanager
def beginning(workers: int) -> Iterator[None]:
    """The block begins so many processes.

    Raises
    ------
    CircuitError
        Where that cannot be: in a process of a pool, or if those that were begun end at once.
    """
    require_a_script_to_itself()
    if multiprocessing.current_process().daemon:
        raise CircuitError(
            f"workers {workers} in a process of a pool, which may begin no others; call run "
            f"outside the pool, below {GUARD}, or with workers 0"
        )
    try:
        yield
    except RuntimeError:
        raise CircuitError(
            f"the {workers} processes ended as they began; in a script, call run below {GUARD}, "
            "for each of them imports the script; or use workers 0"
        ) from None
