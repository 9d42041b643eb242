"""training.images against arrays written by hand, scikit-learn's own digits, and damaged files."""

from __future__ import annotations

import io
import os
import pickle
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from http.client import IncompleteRead
from pathlib import Path
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
import sklearn.datasets
from sklearn.utils import Bunch

from models.command import shared
from training.images import DATASETS, ImageError, Images, batch, load, one_hot

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
LABELS = np.array([3, 0, 9, 1, 1], dtype=np.uint8)


def pixels(n_images: int) -> np.ndarray:
    """Blank but for pixel (row 2, column 5) of each image, which is 51 times its index."""
    drawn = np.zeros((n_images, 28, 28), dtype=np.uint8)
    drawn[:, 2, 5] = 51 * np.arange(n_images)
    return drawn


def write(
    path: Path,
    changed: dict[str, np.ndarray | None] | None = None,
    method: int = zipfile.ZIP_STORED,
) -> Path:
    """An .npz file of five train and two test images, with arrays changed or (None) left out."""
    arrays = {"x_train": pixels(5), "y_train": LABELS, "x_test": pixels(2), "y_test": LABELS[:2]}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, array in (arrays | (changed or {})).items():
            if array is not None:
                member = io.BytesIO()
                np.save(member, array)
                archive.writestr(f"{name}.npy", member.getvalue())
    return path


def refusal(name: str = "mnist", **arguments: object) -> str:
    """The message of the ImageError that `load` raises, which must be one line."""
    with pytest.raises(ImageError) as caught:
        load(name, **arguments)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture(autouse=True)
def no_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAIT_CIRCUIT_DATA", raising=False)


# --- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize(("split", "rows"), [("train", slice(1437)), ("test", slice(1437, 1797))])
def test_digits_are_those_of_scikit_learn(split: str, rows: slice) -> None:
    shipped = sklearn.datasets.load_digits()
    digits = load("digits", split=split)
    np.testing.assert_array_equal(digits.inputs * 16, shipped.data[rows])
    np.testing.assert_array_equal(digits.labels, shipped.target[rows])
    assert (digits.side, digits.n_classes, digits.name) == (8, 10, "digits")
    assert (digits.inputs.min(), digits.inputs.max()) == (0.0, 1.0)


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "digits"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_npz_pixels_are_scaled_and_flattened_by_rows(tmp_path: Path, name: str, dtype: str) -> None:
    write(tmp_path / f"{name}.npz")
    images = load(name, data_dir=tmp_path, dtype=dtype)
    expected = np.zeros((5, 784), dtype=dtype)
    expected[:, 2 * 28 + 5] = [0, 0.2, 0.4, 0.6, 0.8]
    np.testing.assert_array_equal(images.inputs, expected)
    np.testing.assert_array_equal(images.labels, [3, 0, 9, 1, 1])
    assert (str(images.inputs.dtype), str(images.labels.dtype)) == (dtype, "int64")
    assert (images.side, images.n_classes, images.name) == (28, 10, name)


def test_brightest_pixel_is_exactly_one(tmp_path: Path) -> None:
    write(tmp_path / "mnist.npz", {"x_train": np.full((5, 28, 28), 255, dtype=np.uint8)})
    for dtype in ("float32", "float64"):
        assert (load("mnist", data_dir=tmp_path, dtype=dtype).inputs == 1).all()


ONES = (pixels(5) > 0).astype(np.uint8)


def test_images_of_zeros_and_ones_are_left_as_they_are_and_it_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "mnist.npz", {"x_train": ONES, "x_test": ONES[:2]})
    for split, images in (("train", 5), ("test", 2)):
        found = load("mnist", split=split, data_dir=tmp_path)
        expected = np.zeros((images, 784))
        expected[1:, 2 * 28 + 5] = 1
        np.testing.assert_array_equal(found.inputs, expected)
        assert found.remark == f"{path} holds no pixel but 0 and 1: taken as they are"


@pytest.mark.parametrize("split", ["train", "test"])
def test_both_splits_are_scaled_alike(tmp_path: Path, split: str) -> None:
    """A split that happens to hold nothing above 1 has the unit of the other."""
    other = "test" if split == "train" else "train"
    full = np.full((5, 28, 28), 255, dtype=np.uint8)
    write(tmp_path / "mnist.npz", {f"x_{split}": ONES, f"x_{other}": full, "y_test": LABELS})
    found = load("mnist", split=split, data_dir=tmp_path)
    assert found.inputs.max() == 1 / 255
    assert "is 1: divided by 255" in found.remark
    assert load("mnist", split=other, data_dir=tmp_path).remark == ""


@pytest.mark.parametrize(("most", "said"), [(2, True), (127, True), (128, False), (255, False)])
def test_dim_images_are_divided_by_255_and_it_is_said(
    tmp_path: Path, most: int, said: bool
) -> None:
    dim = np.zeros((5, 28, 28), dtype=np.uint8)
    dim[3, 4, 7] = most
    write(tmp_path / "mnist.npz", {"x_train": dim})
    found = load("mnist", data_dir=tmp_path)
    assert found.inputs[3, 4 * 28 + 7] == most / 255
    assert bool(found.remark) is said
    assert batch(found, 3, np.random.default_rng(1)).remark == found.remark


def test_compressed_members_are_read(tmp_path: Path) -> None:
    for method in METHODS:
        write(tmp_path / "mnist.npz", method=method)
        images = load("mnist", data_dir=tmp_path)
        np.testing.assert_array_equal(images.inputs, pixels(5).reshape(5, 784) / 255)


def test_only_the_split_asked_for_is_read(tmp_path: Path) -> None:
    write(tmp_path / "mnist.npz", {"x_test": None, "y_test": None})
    assert len(load("mnist", data_dir=tmp_path).labels) == 5
    write(tmp_path / "mnist.npz", {"x_train": None, "y_train": None})
    np.testing.assert_array_equal(load("mnist", split="test", data_dir=tmp_path).labels, [3, 0])


def test_data_directory_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "mnist.npz")
    monkeypatch.setenv("GAIT_CIRCUIT_DATA", str(tmp_path))
    assert len(load("mnist").labels) == 5
    assert "elsewhere" in refusal(data_dir=tmp_path / "elsewhere")  # the argument goes first


def test_home_folders_are_found_without_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "mnist.npz")
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    monkeypatch.setenv("GAIT_CIRCUIT_DATA", f"~/{tmp_path.name}")
    assert len(load("mnist").labels) == 5
    assert len(load("mnist", data_dir=Path("~") / tmp_path.name).labels) == 5
    assert "no such home folder" in refusal(data_dir=Path("~nobody-here/data"))


# --- what is refused ----------------------------------------------------------------------------


def test_commands_offer_every_data_set() -> None:
    """By name, as people know them."""
    assert shared.DATASETS == DATASETS == ("digits", "mnist", "fashion_mnist", "kmnist")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "cifar"}, ["'cifar'", "fashion_mnist"]),
        ({"split": "validation"}, ["'validation'", "train, test"]),
        ({"dtype": "int64"}, ["'int64'", "float32, float64"]),
    ],
)
def test_unknown_options_are_refused(arguments: dict[str, str], said: list[str]) -> None:
    message = refusal(**({"name": "digits"} | arguments))
    assert all(words in message for words in said)


def test_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    message = refusal("kmnist", data_dir=tmp_path)
    assert str(tmp_path / "kmnist.npz") in message
    assert "--data-dir" in message and "--dataset digits" in message


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"x_train": None}, "x_train"),
        ({"y_train": None}, "y_train"),
        ({"x_train": pixels(5).astype(float)}, "x_train is float64 (5, 28, 28)"),
        ({"y_train": LABELS.astype(np.int64)}, "y_train is int64 (5,)"),
        ({"x_train": pixels(5).reshape(5, 784)}, "x_train is uint8 (5, 784)"),
        ({"x_train": pixels(5)[:, :27]}, "x_train is uint8 (5, 27, 28)"),
        ({"y_train": LABELS[:, None]}, "y_train is uint8 (5, 1)"),
        ({"y_train": np.array(3, dtype=np.uint8)}, "y_train is uint8 ()"),
        ({"x_train": pixels(0), "y_train": LABELS[:0]}, "x_train is uint8 (0, 28, 28)"),
        ({"y_train": LABELS[:4]}, "5 images but y_train 4 labels"),
        ({"y_train": LABELS + np.uint8(1)}, "y_train holds the label 10; expected 0 to 9"),
    ],
)
def test_wrong_arrays_are_refused(
    tmp_path: Path, changed: dict[str, np.ndarray | None], said: str
) -> None:
    path = write(tmp_path / "mnist.npz", changed)
    message = refusal(data_dir=tmp_path)
    assert message.startswith(f"{path}: ")
    assert said in message
    assert "expected" in message and message.endswith("replace the file")


class Trap:
    """Raises the alarm if it is ever unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return (pytest.fail, ("a pickle was loaded",))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    write(tmp_path / "mnist.npz", {"x_train": np.array([Trap()] * 5, dtype=object)})
    assert "x_train cannot be read" in refusal(data_dir=tmp_path)

    (tmp_path / "mnist.npz").write_bytes(pickle.dumps(Trap()))  # not even a zip
    assert "BadZipFile" in refusal(data_dir=tmp_path)

    with zipfile.ZipFile(tmp_path / "mnist.npz", "w") as archive:  # a zip, but the member is bare
        archive.writestr("x_train.npy", pickle.dumps(Trap()))
    assert "x_train cannot be read" in refusal(data_dir=tmp_path)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path: Path, kept: float) -> None:
    path = write(tmp_path / "mnist.npz")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert "x_train cannot be read (BadZipFile" in refusal(data_dir=tmp_path)


@pytest.mark.parametrize("method", METHODS)
def test_damage_is_refused_or_harmless(tmp_path: Path, method: int) -> None:
    """Any 16 bytes changed: either ImageError, or (damage elsewhere) the images are unharmed."""
    path = write(tmp_path / "mnist.npz", method=method)
    intact = path.read_bytes()
    refused = 0
    for start in np.linspace(0, len(intact) - 16, 60, dtype=int):
        damaged = bytearray(intact)
        damaged[start : start + 16] = bytes(byte ^ 0xA5 for byte in damaged[start : start + 16])
        path.write_bytes(damaged)
        try:
            images = load("mnist", data_dir=tmp_path)
        except ImageError as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            np.testing.assert_array_equal(images.inputs, pixels(5).reshape(5, 784) / 255)
            np.testing.assert_array_equal(images.labels, LABELS)
    assert refused > 0


# --- openml.org ---------------------------------------------------------------------------------


def openml_bunch() -> Bunch:
    """What fetch_openml returns: categories as strings; here the labels repeat 0 to 9."""
    data = np.zeros((70_000, 784), dtype=np.uint8)
    data[0, 7], data[60_000, 8] = 255, 102
    return Bunch(data=data, target=np.tile(np.arange(10).astype(str).astype(object), 7000))


@pytest.mark.parametrize(
    ("name", "openml_name"),
    [("mnist", "mnist_784"), ("fashion_mnist", "Fashion-MNIST"), ("kmnist", "Kuzushiji-MNIST")],
)
def test_openml_is_asked_for_a_pinned_version(
    monkeypatch: pytest.MonkeyPatch, name: str, openml_name: str
) -> None:
    asked: list[tuple[str, object, object]] = []

    def fetch(name: str, **options: object) -> Bunch:
        asked.append((name, options["version"], options["as_frame"]))
        return openml_bunch()

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    test = load(name, split="test", dtype="float32")
    assert asked == [(openml_name, 1, False)]
    assert test.inputs.shape == (10_000, 784)
    assert (test.inputs[0, 8], test.inputs.max()) == (np.float32(0.4), np.float32(0.4))
    np.testing.assert_array_equal(test.labels[:11], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0])


def test_openml_train_images_are_the_first_60000(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda *_, **__: openml_bunch())
    train = load("mnist", dtype="float32")
    assert train.inputs.shape == (60_000, 784)
    assert np.flatnonzero(train.inputs).tolist() == [7]
    assert train.labels.shape == (60_000,)


@pytest.mark.parametrize(
    "error",
    [
        URLError("Name or service\nnot known"),
        HTTPError("https://www.openml.org", 503, "Service Unavailable", None, None),  # type: ignore[arg-type]
        TimeoutError("timed out"),
        IncompleteRead(b""),
        ValueError("md5 checksum does not match"),
    ],
)
def test_openml_out_of_reach_is_refused(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fetch(*_: object, **__: object) -> Bunch:
        raise error

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    message = refusal()
    assert message.startswith("mnist: no local copy and openml.org cannot be reached")
    assert type(error).__name__ in message
    assert message.endswith("give --data-dir DIR with mnist.npz, or use --dataset digits")


def test_scikit_learn_without_a_network_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """The real fetch_openml, with no cache and no name server; its warnings do not reach us."""

    def no_name_server(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", no_name_server)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # between attempts
    assert "URLError" in refusal("kmnist")
    assert len(recwarn) == 0


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("data", np.zeros((70_000, 64), dtype=np.uint8), "(70000, 64)"),
        ("target", np.full(69_999, "0"), "(69999,)"),
        ("target", np.full(70_000, "10"), "label 10"),
        ("target", np.full(70_000, "boot"), "boot"),
    ],
)
def test_strange_openml_arrays_are_refused(
    monkeypatch: pytest.MonkeyPatch, field: str, value: np.ndarray, said: str
) -> None:
    strange = Bunch(**(openml_bunch() | {field: value}))
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda *_, **__: strange)
    message = refusal()
    assert said in message and message.endswith("or use --dataset digits")


# --- batches and one-hot coding -----------------------------------------------------------------


def numbered(n_images: int) -> Images:
    """Images of one pixel, whose value names the image."""
    index = np.arange(n_images)
    return Images("digits", index[:, None] / n_images, index % 10, side=1)


def test_batch_draws_different_images_with_their_labels() -> None:
    drawn = batch(numbered(50), 20, np.random.default_rng(0))
    index = np.rint(drawn.inputs[:, 0] * 50).astype(int)
    assert len(set(index)) == 20
    np.testing.assert_array_equal(drawn.labels, index % 10)
    assert (drawn.name, drawn.side, drawn.inputs.shape) == ("digits", 1, (20, 1))


def test_batch_of_all_is_a_permutation() -> None:
    images = numbered(30)
    drawn = batch(images, 30, np.random.default_rng(1))
    np.testing.assert_array_equal(np.sort(drawn.inputs, axis=0), images.inputs)
    assert not np.array_equal(drawn.inputs, images.inputs)


def test_batch_follows_the_generator() -> None:
    first, again = (batch(numbered(50), 5, np.random.default_rng(2)) for _ in range(2))
    np.testing.assert_array_equal(first.inputs, again.inputs)
    generator = np.random.default_rng(2)
    one, other = (batch(numbered(50), 5, generator) for _ in range(2))
    assert not np.array_equal(one.inputs, other.inputs)


@pytest.mark.parametrize("size", [-1, 0, 31])
def test_batch_refuses_sizes_it_cannot_draw(size: int) -> None:
    with pytest.raises(ImageError, match=f"batch of {size} from 30 images"):
        batch(numbered(30), size, np.random.default_rng(0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_hot(dtype: str) -> None:
    coded = one_hot(np.array([2, 0, 2]), 3, dtype)
    np.testing.assert_array_equal(coded, [[0, 0, 1], [1, 0, 0], [0, 0, 1]])
    assert coded.dtype == dtype


@pytest.mark.parametrize("label", [-1, 3])
def test_one_hot_refuses_labels_outside_the_classes(label: int) -> None:
    with pytest.raises(ImageError, match=f"label {label}; expected 0 to 2"):
        one_hot(np.array([0, label]), 3)


# --- the module and the real data ---------------------------------------------------------------


def test_digits_do_not_import_scikit_learn() -> None:
    load = "training.images.load('digits')"  # from the file, for the import takes half a second
    command = f"import sys, training.images; {load}; sys.exit('sklearn' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", command], cwd=root, check=False).returncode == 0


REAL_DATA = os.environ.get("GAIT_CIRCUIT_DATA")


@pytest.mark.skipif(
    not REAL_DATA,
    reason="MNIST is no part of the project: set GAIT_CIRCUIT_DATA to the folder of mnist.npz",
)
def test_real_mnist_test_split() -> None:
    """The class counts that LeCun's label file has, and its first ten labels."""
    assert REAL_DATA
    mnist = load("mnist", split="test", data_dir=Path(REAL_DATA), dtype="float32")
    assert mnist.inputs.shape == (10_000, 784)
    assert (mnist.inputs.min(), mnist.inputs.max()) == (0.0, 1.0)
    assert mnist.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(mnist.labels).tolist() == counts
