"""Checkpoints: what is read is what was written, and nothing else is taken for a checkpoint."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from circuit.errors import CircuitError
from circuit.lesson import Lesson
from models import checkpoints
from models.material import Plan, prepare
from models.training import begin, train
from tests.test_training import assert_same_bits, some_images

LESSON = Lesson("gait", learning_rate=0.01, orthogonality=0.1)


@pytest.fixture
def scene(tmp_path, rng):
    """A plan, its material, what it is configured as, a state amid an epoch, and its file."""
    plan = Plan(LESSON, (6, 6, 4), seeds=(2, 3), batch=6, precision="float64", checkpoint_every=2)
    material = prepare(plan, some_images(rng), some_images(rng, 20))
    configured = checkpoints.configuration(plan, "made up", "0123")
    *_, state = (s for s in train(plan, material, begin(plan, material), 2) if s.batch == 4)
    path = tmp_path / "checkpoint.npz"
    checkpoints.save(path, state, plan, configured)
    return plan, material, configured, state, path


def rewritten(path, **changed):
    """The file with some members replaced (or, by None, left out)."""
    with np.load(path, allow_pickle=False) as file:
        members = {name: file[name] for name in file.files} | changed
    np.savez(path, **{name: array for name, array in members.items() if array is not None})


def refusal(path, plan, configured):
    """The one line of the refusal, which names the file and a remedy."""
    with pytest.raises(CircuitError) as caught:
        checkpoints.load(path, plan, configured)
    words = str(caught.value)
    assert "\n" not in words
    assert str(path) in words
    assert "--output" in words
    return words


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("seeds", [(2,), (2, 3)])
def test_what_is_read_is_what_was_written(tmp_path, rng, precision, seeds):
    plan = Plan(LESSON, (6, 6, 4), seeds=seeds, batch=6, precision=precision, checkpoint_every=2)
    splits = (some_images(rng, dtype=precision), some_images(rng, 20, dtype=precision))
    material = prepare(plan, *splits)
    configured = checkpoints.configuration(plan, "made up", "0123")
    path = tmp_path / "checkpoint.npz"
    for state in train(plan, material, begin(plan, material), 2):
        if not state.at_rest:
            continue
        checkpoints.save(path, state, plan, configured)
        read, changes = checkpoints.load(path, plan, configured)
        assert changes == []
        assert_same_bits(read, state)
        assert (read.epoch, read.batch, read.at_rest) == (state.epoch, state.batch, True)
        assert read.learner.steps == state.learner.steps
        assert list(read.generators) == list(state.generators)
        np.testing.assert_array_equal(read.orders, state.orders)
        for one, other in zip(read.sums, state.sums, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        for one, other in zip(
            read.learner.network.weights, state.learner.network.weights, strict=True
        ):
            assert one.dtype == other.dtype
            assert one.strides == other.strides


def test_going_on_from_the_file_ends_in_the_same_bits(scene):
    plan, material, configured, state, path = scene
    read, _ = checkpoints.load(path, plan, configured)
    *_, uninterrupted = train(plan, material, state, 4)
    *_, resumed = train(plan, material, read, 4)
    assert_same_bits(resumed, uninterrupted)


def test_what_learns_beside_the_network_is_kept(scene, rng):
    """Twelve arrays of a name come back in their order: 10 is not between 1 and 2."""
    plan, _, configured, state, path = scene
    companions = {
        "feedback": tuple(rng.random((2, i, 3)) for i in range(1, 13)),
        "feedback_keys": (np.array([3, 2**63 + 1], dtype=np.uint64),),
    }
    learner = replace(state.learner, companions=companions)
    checkpoints.save(path, replace(state, learner=learner), plan, configured)
    read, _ = checkpoints.load(path, plan, configured)
    assert set(read.learner.companions) == set(companions)
    for name, arrays in companions.items():
        for one, other in zip(read.learner.companions[name], arrays, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype


def test_nothing_in_it_is_pickled(scene):
    with np.load(scene[-1], allow_pickle=False) as file:
        for name in file.files:
            assert file[name].dtype != object
        assert json.loads(str(file["configuration"]))["rule"] == "gait"


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.3, 0.7, 0.99, 0.9999])
def test_a_truncated_file_is_refused(scene, fraction):
    plan, _, configured, _, path = scene
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    assert "cannot be read" in refusal(path, plan, configured)
    assert path.exists()


def test_a_flipped_bit_anywhere_is_noticed(scene, rng):
    """Either the file is refused, or what is read is what was written (padding, dates)."""
    plan, _, configured, state, path = scene
    content, refused = path.read_bytes(), 0
    for place in rng.integers(0, len(content), 60):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            read, _ = checkpoints.load(path, plan, configured)
        except CircuitError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert_same_bits(read, state)
    assert refused > 30


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lesson": replace(LESSON, learning_rate=0.02)}, "learning rate is 0.01 there and 0.02"),
        ({"lesson": replace(LESSON, rule="bp")}, "rule is gait there and bp here"),
        ({"seeds": (2, 4)}, r"seeds is [2, 3] there and [2, 4] here"),
        ({"batch": 7}, "batch is 6 there and 7 here"),
        ({"train_images": 40}, "train images is left out there and 40 here"),
        ({"precision": "float32"}, "precision is float64 there and float32 here"),
        ({"checkpoint_every": 3}, "checkpoint every is 2 there and 3 here"),
    ],
)
def test_another_plan_is_refused(scene, change, words):
    plan, *_, path = scene
    other = replace(plan, **change)
    configured = checkpoints.configuration(other, "made up", "0123")
    assert words in refusal(path, other, configured)


def test_other_images_are_refused(scene):
    plan, *_, path = scene
    assert "images is 0123 there and 9999 here" in refusal(
        path, plan, checkpoints.configuration(plan, "made up", "9999")
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"version": np.array(1)}, "version 1"),
        ({"package": np.array("0.0.1")}, "written by gait-circuit 0.0.1"),
        ({"format": np.array("gait-circuit weights")}, "'gait-circuit weights'"),
        ({"W_2": None}, "it has no 'W_2'"),
        ({"history_alignment": None}, "it has no 'history_alignment'"),
        ({"generators": np.array("{")}, "checkpoint"),
        ({"configuration": np.array("{")}, "checkpoint"),
        ({"configuration": np.array("[]")}, "checkpoint"),
        ({"surroundings": np.array("1")}, "checkpoint"),
        ({"generators": np.array("[]")}, "it is not of 2 seeds"),
        ({"generators": np.array("[{}, {}]")}, "remove it"),
        ({"W_1": np.zeros((2, 3, 3))}, "remove it to begin anew"),
        ({"first_W_1": np.zeros((2, 3, 3))}, "of several shapes"),
        ({"epoch": np.array(-5)}, "below zero"),
        ({"epoch": np.array(7)}, "its history of"),
        ({"history_test_loss": np.zeros(2)}, "its history of test_loss is (2,)"),
    ],
)
def test_other_versions_and_kinds_are_refused(scene, changed, words):
    plan, _, configured, _, path = scene
    rewritten(path, **changed)
    assert words in refusal(path, plan, configured)


def test_missing_and_strange_files_are_refused(scene, tmp_path):
    plan, _, configured, *_ = scene
    assert "no such file" in refusal(tmp_path / "none.npz", plan, configured)
    strange = tmp_path / "strange.npz"
    strange.write_text("not an archive")
    assert "cannot be read" in refusal(strange, plan, configured)


def test_only_a_state_at_rest_is_saved(scene):
    plan, material, configured, state, path = scene
    restless = next(iter(train(plan, material, state, 4)))
    assert not restless.at_rest
    with pytest.raises(CircuitError, match="at rest"):
        checkpoints.save(path, restless, plan, configured)


def test_a_failed_write_leaves_the_older_file(scene, monkeypatch):
    plan, _, configured, state, path = scene
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(CircuitError, match="No space left"):
        checkpoints.save(path, state, plan, configured)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_another_machine_is_said_but_not_refused(scene, tmp_path):
    """What rounds differently is no reason to refuse, but no bits are promised."""
    plan, _, configured, state, path = scene
    other = tmp_path / "other.npz"
    shutil.copy(path, other)
    with np.load(other) as file:
        surroundings = json.loads(str(file["surroundings"]))
    rewritten(other, surroundings=np.array(json.dumps(surroundings | {"numpy": "1.0"})))
    read, changes = checkpoints.load(other, plan, configured)
    assert_same_bits(read, state)
    assert [words.startswith("numpy 1.0 is now") for words in changes] == [True]
