"""Arrays out of .npz files, whoever made them: each is unpacked only when it is asked for, and only
when its header says that it is a plain array of the size that the archive tells.

Owns the reading, and the limit on what a small file may unpack to. Nothing is unpickled, and every
array is checked against its checksum.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

MOST_HEADER = 2**14  # bytes; NumPy writes a few hundred
ROOM = 2**26  # bytes that any archive may unpack to
MOST_TIMES = 100  # its packed size, beyond that: images of ones and zeros reach some 40
_HEADERS: Any = {  # NumPy gives them no types
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_PLAIN = "biufSU"  # kinds: truth values, numbers and texts


class Arrays(Mapping[str, np.ndarray]):
    """The arrays of an archive that is open, by name.

    All that is wrong with an array raises whatever zipfile, a decompressor or NumPy raises, or
    `ValueError` in one line.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        self._packed = self._unpacked = 0

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and type of an array, as it says itself, without unpacking it."""
        shape, _, dtype, _ = self._header(name)
        return shape, dtype

    def __getitem__(self, name: str) -> np.ndarray:
        shape, in_columns, dtype, start = self._header(name)
        size, info = prod(shape) * dtype.itemsize, self._members[name]
        if info.file_size != start + size:
            raise ValueError(f"array {name} has {info.file_size - start} bytes in place of {size}")
        self._packed += info.compress_size
        self._unpacked += size
        if self._unpacked > ROOM + MOST_TIMES * self._packed:
            raise ValueError(
                f"array {name} would unpack to {size / 2**20:.0f} MiB from "
                f"{info.compress_size / 2**20:.1f}, which no measured values do"
            )
        content = np.empty(size, dtype=np.uint8)
        with self._archive.open(info) as member:
            stream: Any = member
            stream.read(start)
            view, reached = memoryview(content.data), 0
            while reached < size:
                count = stream.readinto(view[reached:])
                if not count:
                    raise EOFError(f"array {name} ends early")
                reached += count
            stream.read(1)  # the end, where the checksum is looked at
        if dtype.itemsize == 0:
            return np.zeros(shape, dtype)
        array = content.view(dtype)
        return array.reshape(shape[::-1]).T if in_columns else array.reshape(shape)

    def _header(self, name: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
        """Shape, whether columns come first, type, and where the values begin."""
        with self._archive.open(self._members[name]) as stream:
            beginning = io.BytesIO(stream.read(MOST_HEADER))
        version = np.lib.format.read_magic(beginning)
        if version not in _HEADERS:
            raise ValueError(f"array {name} is of version {version} of NumPy's format")
        shape, in_columns, dtype = _HEADERS[version](beginning)
        if dtype.kind not in _PLAIN:
            raise ValueError(f"array {name} cannot be read: it holds no plain values but {dtype}")
        if any(length < 0 for length in shape):
            raise ValueError(f"array {name} has the shape {shape}")
        return shape, in_columns, dtype, beginning.tell()


@contextmanager
def opened(path: Path) -> Iterator[Arrays]:
    """The arrays of the archive at `path`, while the block lasts.

    Raises what zipfile raises, and `OSError`, also for what is no file, such as a pipe, which might
    never end.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("it is no file")
    with zipfile.ZipFile(path) as archive:
        yield Arrays(archive)
