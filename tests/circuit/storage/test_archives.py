"""Arrays out of .npz files: what NumPy reads is read, and what a file has no right to is not."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from circuit.storage.archives import MOST_TIMES, ROOM, opened

VARIOUS = {
    "floats": np.arange(6.0).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(12, dtype="i4").reshape(3, 4)),
    "one": np.array(7, dtype="u1"),
    "text": np.array("circuit"),
    "texts": np.array(["a", "bcd"]),
    "other order": np.arange(5, dtype=">f4"),
    "none": np.zeros((0, 3)),
    "no text": np.array(""),
    "truth": np.array([True, False]),
}


def written(path, method, **members):
    """An archive with these contents, arrays or bytes."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            if isinstance(content, np.ndarray):
                file = io.BytesIO()
                np.save(file, content)
                content = file.getvalue()
            archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_numpy_reads_is_read(tmp_path, method):
    path = written(tmp_path / "a.npz", method, **VARIOUS)
    with np.load(path) as theirs, opened(path) as ours:
        assert set(ours) == set(theirs.files)
        for name in ours:
            assert ours[name].dtype == theirs[name].dtype
            assert ours[name].flags.writeable
            np.testing.assert_array_equal(ours[name], theirs[name])
            assert ours.header(name) == (theirs[name].shape, theirs[name].dtype)
        with pytest.raises(KeyError):
            ours["floa"]


def test_only_what_is_asked_for_is_unpacked(tmp_path):
    """A large array beside a small one costs nothing."""
    large = np.zeros(ROOM + 1, dtype=np.uint8)
    path = written(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, small=np.arange(3), large=large)
    tracemalloc.start()
    with opened(path) as arrays:
        np.testing.assert_array_equal(arrays["small"], [0, 1, 2])
        assert arrays.header("large") == (large.shape, large.dtype)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**21


def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path):
    """Zeros pack to a thousandth (zlib: at most 1032 times); half the room is for any file."""
    half = np.zeros(ROOM // 2, dtype=np.uint8)
    path = written(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, one=half, two=half, three=half)
    assert path.stat().st_size * MOST_TIMES < half.nbytes
    with opened(path) as arrays:
        assert arrays["one"].nbytes == arrays["two"].nbytes == ROOM // 2
        with pytest.raises(ValueError, match="array three would unpack to 32 MiB"):
            arrays["three"]


def header(shape, dtype="<f8", version=1):
    """The beginning of an .npy file, by hand (NEP 1)."""
    words = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(words))
    return b"\x93NUMPY" + bytes([version, 0]) + length + words


@pytest.mark.parametrize(
    "content",
    [
        header("(10,)") + bytes(79),
        header("(10,)") + bytes(81),
        header("(1000000000000,)") + bytes(8),
        header("(-1, -10)") + bytes(80),
        header("(1,)", "|O") + bytes(8),
        header("(1,)", "<M8[s]") + bytes(8),
        header("(1,)", version=3) + bytes(8),
        header("(" * 500 + ")" * 500) + bytes(8),
        header("(1," + " " * 2**15 + ")", version=2) + bytes(8),
        b"no array",
        b"",
    ],
    ids=range(11),
)
def test_a_header_that_does_not_tell_the_truth_is_refused(tmp_path, content):
    path = written(tmp_path / "a.npz", zipfile.ZIP_STORED, array=content)
    with opened(path) as arrays, pytest.raises(Exception, match=".+") as caught:
        arrays["array"]
    assert not isinstance(caught.value, MemoryError | KeyError)


def test_a_damaged_array_is_noticed_by_its_checksum(tmp_path):
    array = np.arange(999.0)
    path = written(tmp_path / "a.npz", zipfile.ZIP_STORED, array=array)
    content = bytearray(path.read_bytes())
    content[content.find(array.tobytes()) + 8 * 998] ^= 1  # the last value
    path.write_bytes(content)
    with opened(path) as arrays, pytest.raises(zipfile.BadZipFile, match="CRC"):
        arrays["array"]


@pytest.mark.posix
def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path / "pipe.npz", tmp_path):
        with pytest.raises(OSError, match="it is no file"), opened(path):
            pass
    with pytest.raises(FileNotFoundError), opened(tmp_path / "none.npz"):
        pass
