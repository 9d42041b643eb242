"""Images of one's own, made by hand: what is taken, how it is scaled, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from training.images import ImageError, batch, load, require_labels, targets_of
from training.own_images import read_targets, together

GREYS = np.arange(10 * 6, dtype=np.uint8).reshape(10, 2, 3)  # ten images of 2 x 3 pixels


def own(path, **options):
    """What `load` makes of a file or folder."""
    return load("own", data_dir=path, **options)


def saved(tmp_path, **arrays):
    """An .npz file."""
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    return path


def test_eight_bits_are_divided_by_255_and_that_is_said(tmp_path):
    path = saved(tmp_path, images=GREYS, labels=np.arange(10) % 3)
    data = own(path, split="all")
    np.testing.assert_array_equal(data.inputs, GREYS.reshape(10, 6) / 255)
    assert (data.n_classes, data.side) == (3, 0)
    assert data.name == "mine.npz (2 x 3, pixels divided by 255)"


@pytest.mark.parametrize(
    "pixels",
    [GREYS / 7 - 1, GREYS.astype(np.int32), (GREYS > 20).astype(np.uint8), GREYS > 20],
    ids=["floats", "whole", "ones", "truths"],
)
def test_all_other_pixels_stay_what_they_are(tmp_path, pixels):
    data = own(saved(tmp_path, x=pixels, y=np.zeros(10, int)), split="all", dtype="float32")
    np.testing.assert_array_equal(data.inputs, pixels.reshape(10, 6).astype(np.float32))
    low, high = float(pixels.min()), float(pixels.max())
    assert f"pixels as they are, {low:g} to {high:g}" in data.name


def test_every_fifth_image_is_for_testing(tmp_path):
    path = saved(tmp_path, images=GREYS, labels=np.arange(10))
    np.testing.assert_array_equal(own(path, split="test").labels, [4, 9])
    np.testing.assert_array_equal(own(path).labels, [0, 1, 2, 3, 5, 6, 7, 8])


def test_splits_that_lie_apart_are_taken_so(tmp_path):
    path = saved(
        tmp_path, x_train=GREYS[:7], y_train=np.arange(7), x_test=GREYS[7:], y_test=[1, 0, 8]
    )
    np.testing.assert_array_equal(own(path).inputs, GREYS[:7].reshape(7, 6) / 255)
    np.testing.assert_array_equal(own(path, split="test").labels, [1, 0, 8])
    assert [own(path, split=split).n_classes for split in ("train", "test", "all")] == [9, 9, 9]


@pytest.mark.parametrize("dark", ["test", "train"])
@pytest.mark.parametrize("apart", [True, False])
def test_a_pixel_means_the_same_for_training_and_for_testing(tmp_path, apart, dark):
    """All images for testing, or all to learn from, hold 0 and 1 alone: 1 is still 1/255."""
    for_testing = np.arange(10) % 5 == 4
    rows = {"train": ~for_testing, "test": for_testing}
    pixels = GREYS.copy()
    pixels[rows[dark]] = GREYS[rows[dark]] % 2
    both = pixels % 2  # where nothing is brighter in either, as they are
    for values, divisor in ((pixels, 255), (both, 1)):
        arrays = {"images": values}
        if apart:
            arrays = {f"x_{split}": values[at] for split, at in rows.items()}
        for split, at in rows.items():
            found = own(saved(tmp_path, **arrays), split=split)
            np.testing.assert_array_equal(found.inputs, values[at].reshape(-1, 6) / divisor)


def test_only_pixels_of_8_bits_are_scaled_or_judged_by(tmp_path):
    """Of training images of 8 bits and floats for testing, and the other way round."""
    floats, ones = GREYS / 7.0, GREYS % 2
    for train, test, divisor in ((GREYS, floats, 255), (ones, floats, 1)):
        path = saved(tmp_path, x_train=train, x_test=test)
        np.testing.assert_array_equal(own(path).inputs, train.reshape(10, 6) / divisor)
        np.testing.assert_array_equal(own(path, split="test").inputs, test.reshape(10, 6))


def test_words_are_numbered_by_the_alphabet(tmp_path):
    words = np.array(["pear", "fig", "apple", "fig", "pear", "fig", "fig", "fig", "fig", "kiwi"])
    path = saved(tmp_path, images=GREYS, labels=words)
    np.testing.assert_array_equal(own(path, split="all").labels, [3, 1, 0, 1, 3, 1, 1, 1, 1, 2])
    np.testing.assert_array_equal(own(path, split="test").labels, [3, 2])  # kiwi is for testing


def test_targets_take_the_place_of_labels(tmp_path, rng):
    targets = rng.random((10, 4))
    data = own(saved(tmp_path, images=GREYS, targets=targets), split="all")
    np.testing.assert_array_equal(targets_of(data), targets)
    assert data.n_classes == 4
    coded = own(saved(tmp_path, images=GREYS, labels=targets), split="all")
    np.testing.assert_array_equal(targets_of(coded), targets)
    few = batch(data, 3, np.random.default_rng(0))
    for inputs, wanted in zip(few.inputs, few.targets, strict=True):
        place = np.flatnonzero((data.inputs == inputs).all(axis=1))
        np.testing.assert_array_equal(wanted, targets[place[0]])
    with pytest.raises(ImageError, match="have no labels; give labels"):
        require_labels(data)


def test_a_plain_array_has_no_labels(tmp_path):
    np.save(tmp_path / "mine.npy", GREYS)
    data = own(tmp_path / "mine.npy", split="all")
    np.testing.assert_array_equal(data.labels, -np.ones(10))
    with pytest.raises(ImageError, match=r"no labels; give labels, or targets \(--targets"):
        targets_of(data)


def test_a_folder_of_pictures_has_its_folders_for_classes(tmp_path):
    for name, images in (("b", GREYS[:3]), ("a", GREYS[3:6])):
        (tmp_path / name).mkdir()
        for place, pixels in enumerate(images):
            Image.fromarray(pixels).save(tmp_path / name / f"{place}.png")
    data = own(tmp_path, split="all")
    wanted = np.concatenate([GREYS[3:6], GREYS[:3]]).reshape(6, 6) / 255
    np.testing.assert_array_equal(data.inputs, wanted)
    np.testing.assert_array_equal(data.labels, [0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize(
    ("kind", "ending"),
    [(np.uint16, "png"), (np.uint16, "tif"), (np.int32, "tif"), (np.float32, "tif")],
)
def test_pictures_of_more_than_8_bits_are_taken_as_their_numbers_are(tmp_path, kind, ending):
    """From 0 to 59000, as a camera of 16 bits has them, or seventh parts of them."""
    pixels = (1000 * GREYS.astype(np.int32)) / (7 if kind is np.float32 else 1)
    pixels = pixels.astype(kind)
    for place, one in enumerate(pixels):
        Image.fromarray(one).save(tmp_path / f"{place}.{ending}")
    np.testing.assert_array_equal(own(tmp_path, split="all").inputs, pixels.reshape(10, 6))


def test_pictures_without_folders_have_no_labels(tmp_path):
    for place, pixels in enumerate(GREYS[:2]):
        Image.fromarray(pixels).save(tmp_path / f"{place}.png")
    data = own(tmp_path, split="all")
    np.testing.assert_array_equal(data.inputs, GREYS[:2].reshape(2, 6) / 255)
    assert data.labels.max() == -1


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"pictures": GREYS}, "it holds pictures, and no array images"),
        ({"images": GREYS[:, 0, 0]}, r"an array of shape \(10,\) holds no images"),
        ({"images": GREYS, "labels": [1, 2]}, "10 images but 2 labels"),
        ({"images": GREYS, "labels": np.arange(10) - 1}, "labels from -1 to 8"),
        ({"images": GREYS, "labels": np.arange(10) / 2}, "labels from 0 to 4.5"),
        ({"images": GREYS, "targets": np.ones(10)}, r"targets are float64 \(10,\)"),
        ({"images": GREYS, "targets": np.full((10, 2), np.inf)}, "a target is NaN or infinite"),
        ({"images": GREYS * np.nan}, "a pixel is NaN or infinite;"),
        ({"images": GREYS.astype("U2")}, "pixels are <U2; give numbers"),
        ({"images": np.array([None] * 4).reshape(2, 2)}, "holds no plain values"),
        ({"images": np.float64(3)}, r"an array of shape \(\) holds no images"),
        ({"images": GREYS, "labels": np.int64(3)}, "10 images but 1 labels"),
    ],
)
def test_what_is_no_set_of_images_is_refused_in_one_line(tmp_path, arrays, words):
    path = saved(tmp_path, **arrays)
    with pytest.raises(ImageError, match=words) as refusal:
        own(path, split="all")
    assert "\n" not in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_numbers_that_float32_cannot_hold_are_refused_in_one_line(tmp_path, rng):
    """They are none in float64; no warning of NumPy's comes before."""
    wide = rng.random((10, 2, 3))
    wide[3] *= 1e200
    path = saved(tmp_path, images=wide)
    assert np.isfinite(load("own", split="all", data_dir=path).inputs).all()
    with pytest.raises(ImageError, match="a pixel is NaN or infinite in float32; remove"):
        load("own", split="all", data_dir=path, dtype="float32")
    with pytest.raises(ImageError, match="a target is NaN or infinite in float32; give"):
        read_targets(saved(tmp_path, targets=wide[:, 0]), 10, "float32")


def test_files_and_folders_that_hold_nothing_are_refused(tmp_path):
    with pytest.raises(ImageError, match="no such file or folder"):
        own(tmp_path / "none.npz")
    (tmp_path / "mine.npz").write_bytes(b"no archive")
    with pytest.raises(ImageError, match="cannot be read"):
        own(tmp_path / "mine.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="no pictures"):
        own(tmp_path / "empty")
    with pytest.raises(ImageError, match="2 images leave none for testing"):
        own(saved(tmp_path, images=GREYS[:2], labels=[0, 1]), split="test")


def test_pictures_of_two_sizes_are_refused(tmp_path):
    Image.fromarray(GREYS[0]).save(tmp_path / "a.png")
    Image.fromarray(GREYS[0].T.copy()).save(tmp_path / "b.png")
    with pytest.raises(ImageError, match="give pictures of one size"):
        own(tmp_path)
    (tmp_path / "c").mkdir()
    Image.fromarray(GREYS[0]).save(tmp_path / "c" / "a.png")
    with pytest.raises(ImageError, match="pictures beside folders of pictures"):
        own(tmp_path)


@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_labels_or_targets_of_fewer_images_are_refused_whatever_the_split(tmp_path, split):
    path = saved(tmp_path, images=GREYS, labels=np.arange(9))
    with pytest.raises(ImageError, match="10 images but 9 labels"):
        own(path, split=split)
    path = saved(tmp_path, images=GREYS, labels=np.arange(10), targets=np.ones((9, 3)))
    with pytest.raises(ImageError, match="10 images but 9 targets"):
        own(path, split=split)


def test_targets_that_are_given_go_before_labels_that_are_coded(tmp_path, rng):
    """Of 10 images three classes, one-hot; and two other outputs, beside them or in the file."""
    coded, targets = np.eye(3)[np.arange(10) % 3], rng.random((10, 2))
    np.save(tmp_path / "t.npy", targets)
    beside = together(saved(tmp_path, images=GREYS, labels=coded), tmp_path / "t.npy")
    np.testing.assert_array_equal(own(beside, split="all").targets, targets)
    path = saved(tmp_path, images=GREYS, labels=coded, targets=targets)
    np.testing.assert_array_equal(own(path, split="all").targets, targets)
    np.testing.assert_array_equal(
        own(saved(tmp_path, images=GREYS, labels=coded), split="all").targets, coded
    )


def test_targets_of_a_file_belong_to_its_images(tmp_path, rng):
    targets = rng.random((10, 4))
    np.save(tmp_path / "t.npy", targets)
    np.savez(tmp_path / "t.npz", targets=targets)
    for name in ("t.npy", "t.npz"):
        np.testing.assert_array_equal(read_targets(tmp_path / name, 10, "float64"), targets)
    with pytest.raises(ImageError, match="10 of them for 9 images"):
        read_targets(tmp_path / "t.npy", 9, "float64")
    with pytest.raises(ImageError, match="no array called targets"):
        read_targets(saved(tmp_path, x=targets), 10, "float64")
