"""What a result was measured from: another file is measured anew, the same file moved is not."""

from __future__ import annotations

import hashlib
import os
import shutil
import time

import numpy as np
import pytest

from analysis.sweep import run as sweep
from analysis.sweep.kept import stored
from analysis.sweep.study import Study
from circuit.errors import CircuitError
from models import run_feedback_strength
from studies.paper_figures import study as training
from studies.strength import study as strength
from tests import toy_cells
from training import sources
from training.sources import OUTSIDE, kept

SIDE = 28


def images_file(folder, brightness, name="mnist"):
    """A file of 30 training and 20 test images, all pixels of one value; written in place."""
    folder.mkdir(exist_ok=True)
    arrays = {}
    for split, count in (("train", 30), ("test", 20)):
        arrays[f"x_{split}"] = np.full((count, SIDE, SIDE), brightness, dtype=np.uint8)
        arrays[f"y_{split}"] = (np.arange(count) % 10).astype(np.uint8)
    np.savez(folder / f"{name}.npz", **arrays)
    return folder


def bright(data_dir, dataset="mnist", weights=None):
    """A study of two cells that find the mean of what the images hold."""
    cells = tuple(
        {"dataset": dataset, "data_dir": data_dir, "weights": weights, "times": times}
        for times in (1, 2)
    )
    return Study("bright", cells, toy_cells.brightness, outside=OUTSIDE)


def measured(study, folder):
    """The values, and which files were written for them."""
    before = {path: path.stat().st_mtime_ns for path in folder.glob("bright/cells/*.nc")}
    values = sweep.run(study, folder, workers=0, quiet=True)["value"].values
    after = {path: path.stat().st_mtime_ns for path in folder.glob("bright/cells/*.nc")}
    return values, {path for path in after if after[path] != before.get(path)}


@pytest.mark.parametrize("by", ["option", "variable"])
def test_other_images_under_the_same_name_are_measured(tmp_path, monkeypatch, by):
    """Of brightness 51 and 102: a fifth and two fifths; written in place, so of the same size."""
    data, out = images_file(tmp_path / "data", 51), tmp_path / "out"
    out.mkdir()
    if by == "variable":
        monkeypatch.setenv("GAIT_CIRCUIT_DATA", str(data))
    study = bright(str(data) if by == "option" else None)
    values, written = measured(study, out)
    np.testing.assert_allclose(values, [0.2, 0.4])
    assert len(written) == 2
    stamps = os.stat(data / "mnist.npz")
    images_file(data, 102)
    os.utime(data / "mnist.npz", ns=(stamps.st_atime_ns, stamps.st_mtime_ns))  # as cp -p has it
    values, written = measured(study, out)
    np.testing.assert_allclose(values, [0.4, 0.8])
    assert len(written) == 2
    images_file(data, 51)
    values, written = measured(study, out)
    np.testing.assert_allclose(values, [0.2, 0.4])
    assert not written


@pytest.mark.posix
def test_images_that_were_moved_are_not_measured_anew(tmp_path, monkeypatch):
    """Nor found by a link, by another option, or by the variable in place of the option."""
    data, out = images_file(tmp_path / "data", 51), tmp_path / "out"
    out.mkdir()
    first, _ = measured(bright(str(data)), out)
    shutil.move(data, tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for place in ("elsewhere", "link"):
        values, written = measured(bright(str(tmp_path / place)), out)
        assert not written
        np.testing.assert_array_equal(values, first)
    monkeypatch.setenv("GAIT_CIRCUIT_DATA", str(tmp_path / "elsewhere"))
    values, written = measured(bright(None), out)
    assert not written
    np.testing.assert_array_equal(values, first)


def test_cells_without_files_have_the_keys_that_they_had():
    """The hash that was written down before files counted: name, version and parameters."""
    study = training.study("fig2b", "smoke")
    assert study.outside is OUTSIDE
    for cell, text in (
        (study.cells[0], None),
        ({"seed": 3, "data_dir": None, "dataset": "digits"}, None),
        (
            {"seed": 3, "data_dir": "somewhere", "dataset": "digits"},  # which digits are not in
            '{"data_dir": null, "dataset": "digits", "seed": 3}',
        ),
    ):
        text = text or toy_cells.as_json(cell)
        expected = hashlib.sha256(f"training\n1\n{text}".encode()).hexdigest()[:24]
        assert study.key(cell) == expected


def test_the_key_holds_the_digest_of_the_bytes(tmp_path):
    data = images_file(tmp_path / "data", 7)
    cell = bright(str(data)).cells[0]
    digest = hashlib.sha256((data / "mnist.npz").read_bytes()).hexdigest()
    assert sources.content(cell) == f"images {digest[:24]}"


def test_other_weights_under_the_same_name_are_measured(tmp_path):
    path, out = tmp_path / "weights.npz", tmp_path / "out"
    out.mkdir()
    path.write_bytes(b"one")
    _, written = measured(bright(None, "digits", str(path)), out)
    path.write_bytes(b"two")
    _, again = measured(bright(None, "digits", str(path)), out)
    assert len(written) == len(again) == 2 and not written & again
    path.rename(tmp_path / "moved.npz")
    _, moved = measured(bright(None, "digits", str(tmp_path / "moved.npz")), out)
    assert not moved


def test_every_study_of_images_counts_them(tmp_path):
    """Of all that commands sweep: with other images no cell keeps its key; moved, all do."""
    first, second = images_file(tmp_path / "one", 3), images_file(tmp_path / "two", 4)
    shutil.copytree(first, tmp_path / "three")
    names = [*run_feedback_strength.STUDIES, *toy_cells.questions()]
    assert len(names) == 13
    for name in names:
        study = toy_cells.study_called(name)
        keys = [
            {
                one.key(cell)
                for one in [study("smoke", dataset="mnist", data_dir=str(folder))]
                for cell in one.cells
            }
            for folder in (first, second, tmp_path / "three")
        ]
        assert keys[0] == keys[2], name
        assert not keys[0] & keys[1], name
    figures = training.study("fig2b", "laptop", datasets=["mnist"], data_dir=str(first))
    other = training.study("fig2b", "laptop", datasets=["mnist"], data_dir=str(second))
    assert not set(map(figures.key, figures.cells)) & set(map(other.key, other.cells))


def test_what_a_process_keeps_goes_with_the_file(tmp_path):
    """A worker of a cluster lives on between two sweeps."""
    data = images_file(tmp_path / "data", 51)
    given = {"dataset": "mnist", "batch": 5, "width": 10, "depth": 1, "seed": 1}
    cell = strength.setting(**given, data_dir=str(data))
    assert strength.setting(**given, data_dir=str(data)) is cell
    np.testing.assert_allclose(cell.inputs, 0.2)
    images_file(data, 102)
    np.testing.assert_allclose(strength.setting(**given, data_dir=str(data)).inputs, 0.4)


def test_results_are_kept_by_all_parameters(tmp_path):
    calls = []

    @kept(maxsize=4)
    def doubled(number, *, dataset="digits", **others):
        calls.append(number)
        return 2 * number + len(others)

    found = [doubled(1), doubled(1), doubled(2), doubled(1, weights=None), doubled(1)]
    assert found == [2, 2, 4, 3, 2]
    assert calls == [1, 2, 1]


def test_files_that_are_not_there_are_named(tmp_path):
    study = bright(str(tmp_path))
    with pytest.raises(CircuitError, match=r"mnist\.npz cannot be read \(No such file") as refused:
        sweep.run(study, tmp_path / "out", workers=0, quiet=True)
    assert "\n" not in str(refused.value)
    images_file(tmp_path, 51)
    assert stored(study, study.cells[0], tmp_path / "out") is None


def test_a_picture_that_changes_in_a_folder_is_another_content(tmp_path):
    """Also where its name and size stay; and the same pictures elsewhere are the same."""
    folder = tmp_path / "a" / "class"
    folder.mkdir(parents=True)
    cell = {"dataset": "own", "data_dir": str(tmp_path / "a")}
    (folder / "1.png").write_bytes(b"one")
    first = OUTSIDE.content(cell)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert OUTSIDE.content(cell | {"data_dir": str(tmp_path / "b")}) == first
    (folder / "1.png").write_bytes(b"two")
    os.utime(folder / "1.png", ns=(1, 1))
    assert OUTSIDE.content(cell) != first
    # also beside one that was written later, and where pictures change classes
    (folder / "2.png").write_bytes(b"six")
    (tmp_path / "a" / "other").mkdir()

    def rewritten() -> None:
        (folder / "1.png").write_bytes(b"ten")
        os.utime(folder / "1.png", ns=(1, 1))

    known = {OUTSIDE.content(cell)}
    for change in (
        rewritten,
        lambda: (folder / "1.png").rename(tmp_path / "a" / "other" / "1.png"),
        lambda: (tmp_path / "a" / "other").rename(tmp_path / "a" / "third"),
    ):
        time.sleep(0.02)  # a file's clock ticks in steps
        change()
        known.add(OUTSIDE.content(cell))
    assert len(known) == 4
