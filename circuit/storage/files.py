"""Files that are written whole or not at all.

Owns the temporary name and the renaming.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from circuit.errors import CircuitError
from circuit.storage.owner import temporary_prefix

REMEDY = "make room, or write elsewhere"


def write_atomically(path: Path, write: Callable[[Path], object], *, remedy: str = REMEDY) -> None:
    """Call `write` with a temporary name beside `path`, then rename; on failure leave no trace.

    The temporary name tells whose it is, so that what a killed process leaves is known as such
    (`owner.remove_leftovers`).

    Raises `CircuitError` naming the file where it cannot be written; an older one stays as it was.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from circuit.storage import write_atomically
    >>> with TemporaryDirectory() as folder:
    ...     write_atomically(Path(folder) / "note.txt", lambda path: path.write_text("whole"))
    ...     print([path.name for path in Path(folder).iterdir()])
    ['note.txt']
    """
    try:
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=temporary_prefix(path.stem), suffix=path.suffix
        )
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CircuitError(
            f"{path} cannot be written ({error.strerror or error}); {remedy}"
        ) from None
