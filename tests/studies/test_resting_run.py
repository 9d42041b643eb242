"""Training runs of a sweep that was ended within a cell go on from there, bit for bit."""

from __future__ import annotations

import pytest

import studies.resting_run
import studies.training_run
import training.checkpoints
from analysis.sweep import run as sweep
from analysis.sweep.kept import stored
from circuit.errors import CircuitError
from studies.paper_figures.study import study

EPOCH = 3  # of the state that is on disk when a run is ended


@pytest.fixture
def whole(monkeypatch):
    """A run that looks at test images within epochs, written after every epoch."""
    monkeypatch.setattr(studies.resting_run, "SECONDS", 0.0)
    found = study("claim", "smoke", rules=["gait"])
    cell = {**found.cells[0], "epochs": 5}
    assert cell["test_every"] == 5
    return type(found)("training", (cell,), found.measure, version=1)


@pytest.fixture
def first_epochs(monkeypatch):
    """The epochs that the runs of this test begin with, -1 for anew."""
    begun = []
    train = studies.training_run.train

    def watched(plan, material, state, epochs):
        begun.append(state.epoch)
        return train(plan, material, state, epochs)

    monkeypatch.setattr(studies.training_run, "train", watched)
    return begun


def ended(whole, folder, monkeypatch):
    """The sweep, ended by its user in the middle of an epoch."""
    train = studies.training_run.train

    def some(*given):
        for state in train(*given):
            yield state
            if (state.epoch, state.batch) == (EPOCH, 7):
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(studies.training_run, "train", some)
        with pytest.raises(KeyboardInterrupt):
            sweep.run_group(whole, folder)
    (cell,) = whole.cells
    assert stored(whole, cell, folder) is None
    return whole.path(cell, folder).with_suffix(".unfinished")


def result(whole, folder):
    (folder / "training" / "cells").mkdir(parents=True, exist_ok=True)
    sweep.run_group(whole, folder)
    (cell,) = whole.cells
    path = whole.path(cell, folder)
    assert list(path.parent.iterdir()) == [path]
    return path.read_bytes()


def test_goes_on_bit_for_bit(whole, first_epochs, tmp_path, monkeypatch):
    """Also with the accuracies within the epochs that were over, and without those of the epoch
    that is learnt again.
    """
    reference = result(whole, tmp_path / "reference")
    (tmp_path / "training" / "cells").mkdir(parents=True)
    unfinished = ended(whole, tmp_path, monkeypatch)
    assert sorted(path.name for path in unfinished.iterdir()) == ["checkpoint.npz", "within.json"]
    assert result(whole, tmp_path) == reference
    assert first_epochs == [0, 0, EPOCH]


@pytest.mark.parametrize(
    "spoilt", ["checkpoint.npz", "within.json", "[[1]]", "5", "package", "numpy"]
)
def test_begins_anew_with_what_it_cannot_go_on_from(
    whole, first_epochs, tmp_path, monkeypatch, spoilt
):
    (tmp_path / "training" / "cells").mkdir(parents=True)
    unfinished = ended(whole, tmp_path, monkeypatch)
    if spoilt in ("[[1]]", "5"):  # JSON of another form
        (unfinished / "within.json").write_text(spoilt)
    elif "." not in spoilt:
        known = training.checkpoints.surroundings(None)
        monkeypatch.setattr(
            "training.checkpoints.surroundings", lambda device: known | {spoilt: "another"}
        )
    else:
        whole_file = (unfinished / spoilt).read_bytes()
        (unfinished / spoilt).write_bytes(whole_file[: len(whole_file) // 2])
    written = result(whole, tmp_path)
    assert first_epochs == [0, 0]
    assert written == result(whole, tmp_path / "reference")


@pytest.mark.parametrize(
    ("owner", "name"),
    [(studies.resting_run, "write_atomically"), (training.checkpoints, "save")],
    ids=["within", "checkpoint"],
)
def test_a_disk_that_is_full_for_a_while_costs_no_run(
    whole, first_epochs, tmp_path, monkeypatch, owner, name
):
    """After the second and third epoch it cannot be written: it goes on from the first."""
    reference = result(whole, tmp_path / "reference")
    (tmp_path / "training" / "cells").mkdir(parents=True)
    write, times = getattr(owner, name), iter(range(1, 99))

    def full(*given, **options):
        if next(times) in (2, 3):
            raise CircuitError("it cannot be written (No space left on device)")
        write(*given, **options)

    monkeypatch.setattr(owner, name, full)
    assert result(whole, tmp_path / "full") == reference
    times = iter(range(1, 99))
    ended(whole, tmp_path, monkeypatch)
    assert result(whole, tmp_path) == reference
    assert first_epochs == [0, 0, 0, 1]


def test_short_runs_write_nothing(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(studies.resting_run, "SECONDS", 60.0)
    (tmp_path / "training" / "cells").mkdir(parents=True)
    assert not ended(whole, tmp_path, monkeypatch).exists()
