"""One process at a time writes into a folder.

The lock is a file, so that it holds between machines that share the folder (NFS) and on every
system: no locks of the kernel. It names host, process and a token, and appears whole, by a hard
link, which only one of many can make.

A lock whose process is gone is never removed by who comes next: two who come at once could remove
each other's. The next one adds a *successor*, a file named for the token of the dead. Of that name
too there can be only one. Who stands at the end of this chain has the folder, and on leaving takes
the chain away from its beginning: so who finds the beginning unchanged after adding a successor has
added it to a chain that still counts.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from analysis.records import output_folder
from circuit.errors import CircuitError
from circuit.storage.owner import HOST, Owner, myself, temporary_prefix

NAME = ".lock"
OTHER = "give another --output"

_guard = threading.Lock()
_held: dict[tuple[int, Path], int] = {}  # process and folder -> thread


@dataclass(frozen=True)
class LockEntry:
    """What stands in a lock."""

    owner: Owner
    token: str


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """`folder`, made if need be, for nobody but this thread until the end of the block.

    A block within a block of the same thread takes nothing more.

    Raises
    ------
    CircuitError
        In one line, where the folder cannot be written to, or is in use: by a process of this
        machine that lives, or by one of another machine, which cannot be looked at from here.
    """
    folder = output_folder(folder)
    here = (os.getpid(), folder.resolve())
    thread = threading.get_ident()
    with _guard:
        holder = _held.get(here)
        if holder is None:
            chain = _take(folder)
            _held[here] = thread
    if holder == thread:
        yield folder
        return
    if holder is not None:
        raise CircuitError(f"{folder} is in use by another thread of this process; {OTHER}")
    try:
        yield folder
    finally:
        if os.getpid() == here[0]:  # not in a child that was forked within
            for path in chain:  # from its beginning
                _remove(path)
            del _held[here]


def _take(folder: Path) -> list[Path]:
    """Become the end of the chain; returns the files of the chain."""
    mine = LockEntry(myself(), uuid4().hex)
    text = json.dumps(asdict(mine))
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=temporary_prefix("claim"))
    except OSError as error:
        words = f"{folder} cannot be locked ({error.strerror}); make room, or {OTHER}"
        raise CircuitError(words) from None
    written = Path(name)
    try:
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:  # a disk that is full takes a name, and no letters
            words = f"{folder} cannot be locked ({error.strerror}); make room, or {OTHER}"
            raise CircuitError(words) from None
        written.chmod(0o644)  # for others who share the folder to read who has it
        while (chain := _extended(folder, written, mine)) is None:
            pass
    finally:
        _remove(written)
    for stray in set(folder.glob(f"{NAME}-*")) - set(chain):  # of one who was killed on leaving
        _remove(stray)
    return chain


def _extended(folder: Path, written: Path, mine: LockEntry) -> list[Path] | None:
    """The chain with `mine` at its end; None where it changed meanwhile, and is to be tried again.

    Raises `CircuitError` where a process that may live stands at its end.
    """
    chain: dict[Path, str] = {}
    place = folder / NAME
    while not _placed(written, place, mine):
        found = _read(place)
        if found is None:
            return None
        if found.owner.lives() is not False:
            _refuse(folder, place, found.owner)
        chain[place] = found.token
        place = folder / f"{NAME}-{found.token}"
    for path, token in chain.items():
        if (still := _read(path)) is None or still.token != token:
            _remove(place)
            return None
    return [*chain, place]


def _placed(written: Path, place: Path, mine: LockEntry) -> bool:
    """Whether the claim is in its `place` now; not if another was there before."""
    try:
        os.link(written, place)
    except FileExistsError:
        found = _read(place)  # over a network a link can be made and yet be reported as there
        return found is not None and found.token == mine.token
    except OSError:  # a file system without hard links
        try:
            with place.open("x", encoding="utf-8") as file:
                file.write(written.read_text(encoding="utf-8"))
        except FileExistsError:
            return False
        except OSError as error:
            raise CircuitError(
                f"{place} cannot be written ({error.strerror}); make room, or {OTHER}"
            ) from None
    return True


def _read(place: Path) -> LockEntry | None:
    """The claim in `place`; None if there is none. Raises `CircuitError` if it makes no sense."""
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
        owner, token = Owner(**content["owner"]), str(content["token"])
        began = None if owner.began is None else float(owner.began)
        return LockEntry(Owner(str(owner.host), int(owner.pid), began), token)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise CircuitError(
            f"{place} is there and does not say who has the folder; remove it if nobody writes "
            f"there, or {OTHER}"
        ) from None


def _refuse(folder: Path, place: Path, owner: Owner) -> None:
    remedy = f"wait for it, or {OTHER}"
    if owner.host != HOST:
        remedy = f"wait for it, remove {place} if it has ended, or {OTHER}"
    raise CircuitError(f"{folder} is in use by process {owner.pid} on {owner.host}; {remedy}")


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
