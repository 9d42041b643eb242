"""Labelled images for the networks to learn: read, checked, scaled to [0, 1].

Owns where each data set comes from, the check of every array that is read, and random batches.

Shapes: inputs are `(n_images, n_pixels)`, one flattened row per image; labels are `(n_images,)`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from dataclasses import replace
from http.client import HTTPException
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from circuit.storage import archives
from training.declarations import DATASETS, OPENML
from training.image_record import N_CLASSES, ImageError, Images
from training.own_images import load_own

SPLITS = (("train", "test"), ("train", "test", "all"))  # of a data set, and of one's own images
OWN = "own"  # images in a file or folder that `data_dir` then names (`training.own_images`)
DATA_DIR_VARIABLE = "GAIT_CIRCUIT_DATA"
SIDE = 28  # of every data set but digits
USUAL = 128  # the brightest pixel of 8-bit images is at least that


def load(
    name: str, *, split: str = "train", data_dir: Path | None = None, dtype: str = "float64"
) -> Images:
    """The `split` ("train" or "test") of data set `name`, in its official order.

    `digits` ships with scikit-learn: its first 1437 images are train, its last 360 test. The others
    are read from `data_dir`/NAME.npz, where `data_dir` is by default the environment variable
    GAIT_CIRCUIT_DATA. With neither given they come from openml.org, by way of scikit-learn, which
    verifies and caches them: the first 60000 images are train, the last 10000 test.

    Pixels are from 0 to 255 and are divided by 255; in a file that holds nothing but 0 and 1 they
    are left as they are. `Images.remark` says so.

    `own` are the images in the file or folder `data_dir` itself: `training.own_images`.

    Raises ImageError for a name, split or dtype (float32 or float64) that is not on offer, a file
    that is missing or damaged, an array that is not as expected, and openml.org out of reach.
    """
    options = {
        "name": (*DATASETS, OWN),
        "split": SPLITS[name == OWN],
        "dtype": ("float32", "float64"),
    }
    for option, value in {"name": name, "split": split, "dtype": dtype}.items():
        if value not in options[option]:
            choices = ", ".join(options[option])
            raise ImageError(f"unknown image {option} {value!r}; choose one of {choices}")

    if name == OWN:
        return load_own(Path(data_dir or ""), split=split, dtype=dtype)
    file = file_of(name, data_dir)
    remark = ""
    if name == "digits":
        digits = _digits()[_rows(split, 1437)]
        pixels, labels, side, brightest = digits[:, :-1], digits[:, -1], 8, 16
    elif file is not None:
        pixels, labels = _from_npz(file, split)
        side, brightest = SIDE, _brightest(file, pixels)
        remark = _remark(file, split, brightest, int(pixels.max()))
    else:
        pixels, labels = _from_openml(name, split)
        side, brightest = SIDE, 255
    inputs = np.divide(pixels.reshape(-1, side * side), brightest, dtype=dtype)
    return Images(name, inputs, labels.astype(np.int64), side, remark=remark)


def file_of(name: str, data_dir: Path | None = None) -> Path | None:
    """The file from which `load` has the data set; None if it comes by way of scikit-learn.

    Of one's own images the folder, where they are one.
    """
    if name == OWN:
        return data_dir
    directory = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    return _in_folder(directory, f"{name}.npz") if directory and name != "digits" else None


def batch(images: Images, size: int, generator: np.random.Generator) -> Images:
    """`size` different images drawn by `generator`, every choice and order equally likely.

    Raises ImageError if `size` is below 1 or above the number of images.
    """
    n_images = len(images.labels)
    if not 1 <= size <= n_images:
        raise ImageError(f"batch of {size} from {n_images} images; choose from 1 to {n_images}")
    drawn = generator.choice(n_images, size=size, replace=False)
    targets = None if images.targets is None else images.targets[drawn]
    return replace(
        images, inputs=images.inputs[drawn], labels=images.labels[drawn], targets=targets
    )


def targets_of(images: Images, dtype: DTypeLike = "float64") -> NDArray[Any]:
    """What the outputs are to be, `(n_images, n_classes)`: one-hot labels, or the targets given.

    Raises ImageError for images with neither.
    """
    if images.targets is not None:
        return images.targets.astype(dtype)
    require_labels(images, "targets (--targets, or in the file)")
    return one_hot(images.labels, images.n_classes, dtype)


def require_labels(images: Images, instead: str = "") -> None:
    """Raise ImageError for images without labels; `instead` is what could take their place."""
    if len(images.labels) and images.labels.min() < 0:
        other = f", or {instead}" if instead else ""
        raise ImageError(f"images {images.name} have no labels; give labels{other}")


def one_hot(
    labels: NDArray[np.int64], n_classes: int, dtype: DTypeLike = "float64"
) -> NDArray[Any]:
    """`(n_images,)` labels as `(n_images, n_classes)` rows: 1 at the label, 0 elsewhere.

    Raises ImageError for a label outside 0 to n_classes - 1.
    """
    _check_labels("one_hot: the array", labels, n_classes, "give labels in that range")
    coded = np.zeros((len(labels), n_classes), dtype=dtype)
    coded[np.arange(len(labels)), labels] = 1
    return coded


def _in_folder(directory: Path | str, name: str) -> Path:
    """A file of the folder; ~ is the home folder, which no shell has seen to in a variable."""
    try:
        return Path(directory).expanduser() / name
    except RuntimeError:
        raise ImageError(f"{directory}: no such home folder; give the whole name") from None


def _remark(path: Path, split: str, brightest: int, most: int) -> str:
    """What is to be said of pixels up to `most` that were divided by `brightest`."""
    if brightest == 1:
        return f"{path} holds no pixel but 0 and 1: taken as they are"
    if most >= USUAL:
        return ""
    return f"the brightest pixel of x_{split} in {path} is {most}: divided by {brightest} as always"


def _from_npz(path: Path, split: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pixels `(n_images, 28, 28)` and labels `(n_images,)`, uint8, of one split of the file."""
    if not os.path.isfile(path):  # unlike Path.is_file, raises nothing
        raise ImageError(
            f"{path}: no such file; put it there, name its directory by --data-dir or "
            f"{DATA_DIR_VARIABLE}, or use --dataset digits"
        )
    pixels = _read_member(path, f"x_{split}", (SIDE, SIDE))
    labels = _read_member(path, f"y_{split}", ())
    if len(pixels) != len(labels):
        raise ImageError(
            f"{path}: x_{split} holds {len(pixels)} images but y_{split} {len(labels)} labels; "
            "expected as many of each: replace the file"
        )
    _check_labels(f"{path}: y_{split}", labels, N_CLASSES, "replace the file")
    return pixels, labels


def _read_member(path: Path, name: str, image_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The array `name` of an .npz file, uint8 `(n_images, *image_shape)`, never unpickled."""
    expected = f"expected uint8 ({', '.join(map(str, ('n_images', *image_shape)))})"
    try:
        with archives.opened(path) as arrays:
            shape, dtype = arrays.header(name)
            if (
                dtype == np.uint8
                and shape[1:] == image_shape
                and 0 not in (len(shape), prod(shape))
            ):
                return arrays[name]
    except Exception as error:  # zipfile, its decompressors and the parser share no other base
        raise ImageError(
            f"{path}: array {name} cannot be read ({_one_line(error)}); {expected}: "
            "replace the file"
        ) from error
    raise ImageError(f"{path}: array {name} is {dtype} {shape}; {expected}: replace the file")


def _brightest(path: Path, pixels: NDArray[Any]) -> int:
    """The value that counts as 1: 255, or 1 in a file in which no image has any other value."""
    if pixels.max() > 1:
        return 255
    with archives.opened(path) as arrays:
        splits = {f"x_{split}" for split in ("train", "test")}.intersection(arrays)
    others = [_read_member(path, name, (SIDE, SIDE)).max() for name in splits]
    return 255 if max(others) > 1 else 1


def _from_openml(name: str, split: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pixels `(n_images, 784)` from 0 to 255 and labels `(n_images,)` of one split."""
    remedy = f"give --data-dir DIR with {name}.npz, or use --dataset digits"
    openml_name, version = OPENML[name]
    fetch = _sklearn_datasets().fetch_openml
    try:
        with warnings.catch_warnings():  # of a failed attempt: the error below says it once
            warnings.filterwarnings("ignore", message="A network error occurred")
            # The parser liac-arff is slow, but the fast one needs pandas.
            fetched = fetch(
                openml_name, version=version, as_frame=False, parser="liac-arff", n_retries=1
            )
        pixels, labels = np.asarray(fetched.data), np.asarray(fetched.target).astype(np.int64)
    except (OSError, HTTPException, ValueError, KeyError) as error:  # no answer, or a strange one
        raise ImageError(
            f"{name}: no local copy and openml.org cannot be reached or read "
            f"({_one_line(error)}); {remedy}"
        ) from error
    if pixels.shape != (70_000, SIDE**2) or labels.shape != (70_000,):
        raise ImageError(
            f"{name}: openml.org sent arrays of shape {pixels.shape} and {labels.shape}; "
            f"expected {(70_000, SIDE**2)} and {(70_000,)}: {remedy}"
        )
    rows = _rows(split, 60_000)
    _check_labels(f"{name}: openml.org", labels[rows], N_CLASSES, remedy)
    return pixels[rows], labels[rows]


def _rows(split: str, n_train: int) -> slice:
    return slice(None, n_train) if split == "train" else slice(n_train, None)


def _check_labels(source: str, labels: NDArray[Any], n_classes: int, remedy: str) -> None:
    wrong = labels[(labels < 0) | (labels >= n_classes)]
    if wrong.size:
        raise ImageError(
            f"{source} holds the label {wrong[0]}; expected 0 to {n_classes - 1}: {remedy}"
        )


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _digits() -> NDArray[np.float64]:
    """Images as rows of 64 pixels and their label, `(1797, 65)`, in the order of `load_digits`.

    From the file that ships with scikit-learn, whose own import takes half a second.
    """
    found = importlib.util.find_spec("sklearn")
    for folder in (found and found.submodule_search_locations) or ():
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    digits = _sklearn_datasets().load_digits()  # of a version that keeps them elsewhere
    return np.column_stack([digits.data, digits.target])


def _sklearn_datasets() -> Any:
    """The data sets of scikit-learn, imported only on demand: the import takes a second."""
    return importlib.import_module("sklearn.datasets")
