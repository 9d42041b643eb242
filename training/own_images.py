"""Images of one's own: an .npz or .npy file, or a folder of pictures.

Owns what is taken for images, labels and targets, how pixels are scaled, and what is said of it.
Does not own the sets that have a name (`training.images`).

An .npz file holds `images` (or `x`, or `x_train` and `x_test`), of any shape `(n_images, ...)`; and
`labels` (or `y`, or `y_train` and `y_test`), whole numbers from 0 or words, or `targets` (or
`targets_train` and `targets_test`), numbers `(n_images, n_outputs)`. An .npy file holds images
alone. In a folder every picture is an image, and the folders in it are the classes, if any. Where
training and test images do not lie apart, every fifth image is for testing.

Targets may lie in a file of their own, `(n_images, n_outputs)` in the order of the images: the path
is then `together(images, targets)`.

Pixels of 8 bits are divided by 255, unless all are 0 and 1, for training and for testing; all other
numbers are left as they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuit.storage import archives
from training.image_record import ImageError, Images

IMAGES = ("images", "x", "X", "inputs", "data")
LABELS = ("labels", "label", "y", "Y")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".npy")
TEST_PART = 5  # every so many images one is for testing
MOST_CLASSES = 1000
REMEDY = "give an .npz or .npy file, or a folder of pictures"

# images, labels, targets; the number of classes and what pixels are divided by, of both splits
Parts = tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any] | None, int, int]


def together(images: Path, targets: Path) -> Path:
    """One path for images and the file with their targets, for all that keep one."""
    return Path(f"{images.absolute()}{os.pathsep}{targets.absolute()}")


def apart(path: Path) -> tuple[Path, Path | None]:
    """The images, and the file with their targets, if they have one."""
    first, between, last = str(path).partition(os.pathsep)
    if os.path.exists(path) or not (between and os.path.isabs(last)):
        return path, None
    return Path(first), Path(last)


def load_own(path: Path, *, split: str, dtype: str) -> Images:
    """The "train" or "test" images of the file or folder at `path`; with "all" those for testing
    too, unless they lie apart.

    Without labels they are -1 and `targets` holds what the outputs are to be; without either,
    `n_classes` is 0.

    Raises
    ------
    ImageError
    """
    path, beside = apart(path)
    pixels, labels, targets, n_classes, brightest = _split(path, split, beside)
    where = f"images {path}"
    if pixels.dtype.kind not in "buif":
        raise ImageError(f"{where}: pixels are {pixels.dtype}; give numbers")
    inputs, scaling = _scaled(pixels.reshape(len(pixels), -1), brightest, dtype)
    if not np.isfinite(inputs).all():
        raise ImageError(
            f"{where}: a pixel is NaN or infinite{_beyond(pixels, dtype)}; remove or replace such "
            "images"
        )
    shape, square = pixels.shape[1:], len(pixels.shape) == 3 and pixels.shape[1] == pixels.shape[2]
    if targets is not None:
        targets = _as_targets(where, targets, dtype)
        n_classes = targets.shape[1]
    size = " x ".join(map(str, shape))
    return Images(
        name=f"{path.name} ({size}, {scaling})",
        inputs=inputs,
        labels=np.full(len(pixels), -1) if labels is None else labels.astype(np.int64),
        side=shape[0] if square else 0,
        n_classes=n_classes,
        targets=targets,
    )


def read_targets(path: Path, count: int, dtype: str = "float64") -> NDArray[Any]:
    """The targets (count, n_outputs) in an .npy file, or the array `targets` of an .npz file.

    Raises
    ------
    ImageError
    """
    arrays = _arrays(path)
    given = arrays.get("targets", arrays.get(IMAGES[0]) if path.suffix == ".npy" else None)
    if given is None:
        raise ImageError(f"targets {path}: no array called targets; give one, or an .npy file")
    if len(given) != count:
        raise ImageError(f"targets {path}: {len(given)} of them for {count} images; give one each")
    return _as_targets(f"targets {path}", given, dtype)


def _as_targets(where: str, given: NDArray[Any], dtype: str) -> NDArray[Any]:
    if given.ndim != 2 or given.dtype.kind not in "buif" or 0 in given.shape:
        raise ImageError(
            f"{where}: targets are {given.dtype} {given.shape}; give numbers (n_images, n_outputs)"
        )
    targets = _cast(given, dtype)
    if not np.isfinite(targets).all():
        beyond = _beyond(given, dtype)
        raise ImageError(f"{where}: a target is NaN or infinite{beyond}; give numbers")
    return targets


def _cast(given: NDArray[Any], dtype: str) -> NDArray[Any]:
    """The numbers in another precision; what it cannot hold is infinite, for a check to find."""
    with np.errstate(over="ignore"):
        return given.astype(dtype)


def _beyond(given: NDArray[Any], dtype: str) -> str:
    """Words for numbers that only this precision makes infinite."""
    return f" in {dtype}" if np.isfinite(given).all() else ""


def _brightest(*images: NDArray[Any] | None) -> int:
    """The value that counts as 1 in all of these: 255, or 1 where no pixel of 8 bits is above."""
    of_8_bits = [one for one in images if one is not None and one.dtype == np.uint8]
    return 255 if any(one.max() > 1 for one in of_8_bits) else 1


def _scaled(rows: NDArray[Any], brightest: int, dtype: str) -> tuple[NDArray[Any], str]:
    """Pixels in `dtype`, and how they were scaled, in words."""
    if rows.dtype == np.uint8 and brightest > 1:
        return np.divide(rows, brightest, dtype=dtype), f"pixels divided by {brightest}"
    values = _cast(rows, dtype)
    return values, f"pixels as they are, {values.min():g} to {values.max():g}"


def _split(path: Path, split: str, beside: Path | None) -> Parts:
    """Images, labels from 0 on, and targets of one split; the targets from the file `beside`."""
    arrays = _of_folder(path) if path.is_dir() else _arrays(path)
    parts, lie_apart = _named(arrays, "train" if split == "all" else split)
    if parts[0] is None:
        found = ", ".join(sorted(arrays)[:5]) or "nothing"
        raise ImageError(f"images {path}: it holds {found}, and no array images; {REMEDY}")
    images, labels, targets = parts
    _require_one_for_each(path, images, labels=labels, targets=targets)
    if beside is not None:
        if lie_apart:
            raise ImageError(
                f"images {path}: training and test images lie apart, and targets {beside} cannot "
                "tell which they are of; put targets_train and targets_test into the same file"
            )
        targets = read_targets(beside, len(images))
    others = _named(arrays, "train" if split == "test" else "test")[0]
    n_classes, brightest = 0, _brightest(images, others[0])
    if labels is not None and labels.ndim == 2:  # coded already
        labels, targets = None, labels if targets is None else targets
    if labels is not None:
        more = others[1]
        every = labels if more is None or more.ndim != 1 else np.concatenate([labels, more])
        labels, n_classes = _numbered(path, labels, every)
    if lie_apart or split == "all":
        return images, labels, targets, n_classes, brightest
    for_testing = np.arange(len(images)) % TEST_PART == TEST_PART - 1
    rows = for_testing if split == "test" else ~for_testing
    if not rows.any():
        raise ImageError(
            f"images {path}: {len(images)} images leave none for testing; give x_train and x_test, "
            f"or {TEST_PART} images or more"
        )

    def taken(array: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if array is None else array[rows]

    return images[rows], taken(labels), taken(targets), n_classes, brightest


def _require_one_for_each(path: Path, images: NDArray[Any], **beside: NDArray[Any] | None) -> None:
    """Raise `ImageError` for what holds no images, or fewer or more labels or targets than them."""
    if images.ndim < 2 or 0 in images.shape:
        raise ImageError(
            f"images {path}: an array of shape {images.shape} holds no images; give (n_images, ...)"
        )
    for what, array in beside.items():
        count = len(images) if array is None else len(np.atleast_1d(array))
        if count != len(images):
            raise ImageError(
                f"images {path}: {len(images)} images but {count} {what}; give one for each"
            )


def _named(
    arrays: Mapping[str, NDArray[Any]], split: str
) -> tuple[tuple[Any, NDArray[Any] | None, NDArray[Any] | None], bool]:
    """Images, labels and targets of a split by their names; and whether splits lie apart."""
    if f"x_{split}" in arrays:
        names = (f"x_{split}", f"y_{split}", f"targets_{split}")
        images, labels, targets = (arrays.get(name) for name in names)
        return (images, labels, targets), True

    def first(names: tuple[str, ...]) -> NDArray[Any] | None:
        return next((arrays[name] for name in names if name in arrays), None)

    return (first(IMAGES), first(LABELS), arrays.get("targets")), False


def _numbered(
    path: Path, labels: NDArray[Any], every: NDArray[Any]
) -> tuple[NDArray[np.int64], int]:
    """Labels as whole numbers from 0 on, and how many there are; words by the alphabet."""
    where = f"images {path}"
    if labels.ndim != 1 or labels.dtype.kind not in "biufSU":
        raise ImageError(
            f"{where}: labels are {labels.dtype} {labels.shape}; give one number or word for each"
        )
    if labels.dtype.kind in "SU":
        words = np.unique(every)
        return np.searchsorted(words, labels), len(words)
    if np.any(every != np.floor(every)) or np.any(every < 0) or np.any(every >= MOST_CLASSES):
        raise ImageError(
            f"{where}: labels from {every.min():g} to {every.max():g}; give whole numbers from 0 "
            f"to {MOST_CLASSES - 1}, or words"
        )
    return labels.astype(np.int64), int(every.max()) + 1


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file; those of an .npy file are called `images`."""
    if not os.path.isfile(path):
        raise ImageError(f"images {path}: no such file or folder; {REMEDY}")
    try:
        if path.suffix == ".npy":
            return {IMAGES[0]: np.load(path, allow_pickle=False)}
        with archives.opened(path) as arrays:
            return {name: arrays[name] for name in arrays if prod(arrays.header(name)[0]) > 0}
    except Exception as error:  # zipfile, its decompressors and the parser share no other base
        words = " ".join(str(error).split())
        raise ImageError(
            f"images {path} cannot be read ({type(error).__name__}: {words}); {REMEDY}"
        ) from error


def _of_folder(path: Path) -> dict[str, NDArray[Any]]:
    """The pictures of a folder, and the names of the folders in it as labels."""
    pictures = [file for file in sorted(path.glob("*")) if file.suffix.lower() in PICTURES]
    classes = [file for file in sorted(path.glob("*/*")) if file.suffix.lower() in PICTURES]
    if bool(pictures) == bool(classes):
        words = "pictures beside folders of pictures" if pictures else "no pictures"
        raise ImageError(f"images {path}: {words}; give pictures, or a folder of them per class")
    files = pictures or classes
    read = [_picture(file) for file in files]
    for file, one in zip(files, read, strict=True):
        if one.shape != read[0].shape or one.dtype != read[0].dtype:
            raise ImageError(
                f"images {path}: {file.name} is {one.dtype} {one.shape}, {files[0].name} "
                f"{read[0].dtype} {read[0].shape}; give pictures of one size and kind"
            )
    arrays = {IMAGES[0]: np.stack(read)}
    if classes:
        arrays[LABELS[0]] = np.array([file.parent.name for file in files])
    return arrays


def _picture(file: Path) -> NDArray[Any]:
    """One picture in shades of grey, of 8 bits or, as its numbers are, of more; or the array of an
    .npy file.
    """
    if file.suffix == ".npy":
        return _arrays(file)[IMAGES[0]]
    try:
        from PIL import Image  # comes with matplotlib; of the pictures alone

        with Image.open(file) as picture:
            deep = picture.mode[0] in "IF"  # which "L" would cut off at 255
            return np.asarray(picture if deep else picture.convert("L"))
    except Exception as error:
        words = " ".join(str(error).split())
        raise ImageError(f"images {file} cannot be read ({words}); replace it") from error
