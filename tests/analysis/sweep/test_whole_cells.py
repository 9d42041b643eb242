"""Cells on disk: whatever is changed in a file, its result is not taken, and nothing breaks."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace

import numpy as np
import pytest

from analysis import records
from analysis.sweep import kept as cells
from analysis.sweep import run as sweep
from analysis.sweep.kept import collect, store, stored
from analysis.sweep.study import Study
from circuit.errors import CircuitError
from tests import toy_cells


@pytest.fixture
def scene(tmp_path):
    """A study of two cells with labels, words and a traceback, measured; and their files."""
    kinds = ({"what": "fine", "at": 1}, {"what": "raise", "at": 2})
    study = Study("fragile", kinds, toy_cells.fragile)
    sweep.run(study, tmp_path, workers=0, quiet=True)
    return study, tmp_path, [study.path(cell, tmp_path) for cell in study.cells]


@pytest.mark.parametrize("which", [0, 1])
def test_every_flipped_bit_is_noticed(scene, rng, which):
    """Not a result the less for any bit of a file: header, attributes, padding, values, digest."""
    study, folder, paths = scene
    whole, path = paths[which].read_bytes(), paths[which]
    assert stored(study, study.cells[which], folder) is not None
    bits = rng.choice(8 * len(whole), 400, replace=False)
    digest = whole.index(b"sha256:")
    for bit in [*bits, *range(8 * digest, 8 * (digest + 71), 7)]:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        assert stored(study, study.cells[which], folder) is None, bit


@pytest.mark.parametrize("extra", [b"\0", b"\0\0\0\0", b"more"])
def test_bytes_that_were_added_are_noticed(scene, extra):
    study, folder, paths = scene
    paths[0].write_bytes(paths[0].read_bytes() + extra)
    assert stored(study, study.cells[0], folder) is None


def test_damaged_attributes_are_measured_again(scene):
    """The list of packages, which is read for every result, no longer JSON."""
    study, folder, paths = scene
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole.replace(b'{"python"', b'["python"'))
    assert collect(study, folder)["status"].values.tolist()[0] == "missing"
    sweep.run(study, folder, workers=0, quiet=True)
    assert paths[0].read_bytes() == whole


def earlier(study, cell, folder, **changes):
    """The file of a cell as it was written before its digest was that of all bytes."""
    path = study.path(cell, folder)
    data = records.read_dataset(path)
    data.attrs |= {"digest": cells._digest(data)} | changes
    records.write_dataset(path, data)
    return path


def test_cells_of_the_earlier_form_still_count(scene):
    study, folder, _ = scene
    path = earlier(study, study.cells[0], folder)
    before = path.read_bytes()
    assert b"sha256:" not in before
    assert sweep.run(study, folder, workers=0, quiet=True)["value"].values[0] == 1
    assert path.read_bytes() == before


@pytest.mark.parametrize("changes", [{"packages": "{"}, {"packages": "[]"}, {"digest": "0" * 64}])
def test_damaged_cells_of_the_earlier_form_do_not(scene, changes):
    study, folder, paths = scene
    whole = paths[0].read_bytes()
    earlier(study, study.cells[0], folder, **changes)
    sweep.run(study, folder, workers=0, quiet=True)
    assert paths[0].read_bytes() == whole


def test_only_processes_that_died_are_counted(tmp_path):
    """A cell that others of this machine have begun, who live, is measured all the same; so is one
    whose count is taken away meanwhile by who ends it.
    """
    study = Study("fragile", ({"what": "fine"},), toy_cells.fragile)
    (cell,) = study.cells
    path = study.path(cell, tmp_path)
    path.parent.mkdir(parents=True)
    started = path.with_suffix(".started")
    alive = f"{sweep.myself().host} {os.getppid()}\n"
    started.write_text(5 * alive)
    sweep.run_group(study, tmp_path)
    assert collect(study, tmp_path)["status"].item() == "converged"
    assert not started.exists()
    path.unlink()
    started.write_text(3 * "elsewhere 1\n")  # where nobody else would be given the cell
    unfinished = path.with_suffix(".unfinished")
    unfinished.mkdir()
    sweep.run_group(study, tmp_path)
    assert collect(study, tmp_path)["status"].item() == "failed: its process died 3 times"
    assert not unfinished.exists()  # a cell that has a result is not gone on with


def test_two_sweeps_of_one_folder_at_once(tmp_path):
    """Threads that measure the same quick cells over and over, one folder: all refused or whole."""
    study = Study("fragile", tuple({"what": str(i)} for i in range(20)), toy_cells.fragile)
    found = []

    def go() -> None:
        try:
            found.append(sweep.run(study, tmp_path, workers=0, quiet=True).attrs["cells"])
        except CircuitError as error:
            found.append(str(error))

    threads = [threading.Thread(target=go) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "20 converged" in found
    assert all(one == "20 converged" or "is in use by another thread" in one for one in found)


def test_a_scheduler_that_does_not_answer_costs_nothing(scene, monkeypatch):
    """What is there, damaged or counted, is left as it was until somebody can measure it again."""
    study, folder, paths = scene
    monkeypatch.setattr("analysis.sweep.cluster.ANSWER", 0.2)
    paths[0].write_bytes(b"damaged")
    paths[0].with_suffix(".started").write_text("elsewhere 1\n")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(CircuitError, match="no Dask scheduler"):
        sweep.run(study, folder, scheduler="tcp://127.0.0.1:1", quiet=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_digest_in_the_words_of_a_result_is_not_taken_for_that_of_the_file(scene):
    study, folder, paths = scene
    data = records.read_dataset(paths[0]).assign_attrs(note="sha256:" + 64 * "0")
    store(study, study.cells[0], folder, data.drop_attrs().assign_attrs(note=data.attrs["note"]))
    assert stored(study, study.cells[0], folder) is not None
    other = replace(study, name="other")
    assert json.loads(other.identity(study.cells[0])) == study.cells[0]
    assert np.isfinite(stored(study, study.cells[0], folder)["value"].item())
