"""Checkpoints: what is read is what was written, and nothing else is taken for a checkpoint."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from circuit.errors import CircuitError
from circuit.lateral_inhibition.companions import Inhibition
from circuit.learned_inverse.companions import LearnedInverse, PseudoInverse
from circuit.learning.lesson import Lesson
from circuit.learning.regulariser import Regulariser
from circuit.settings.learning import Adam
from tests.training.test_training import assert_same_bits, some_images
from training import checkpoints
from training.epochs import begin_training, train
from training.plan import Plan, prepare

LESSON = Lesson("gait", adam=Adam(0.01), pull=Regulariser(0.1))


DEEP = 10**5 * "[" + 10**5 * "]"  # Python 3.13 reads 9000


@pytest.fixture
def scene(tmp_path, rng):
    """A plan, its material, what it is configured as, a state amid an epoch, and its file."""
    plan = Plan(LESSON, (6, 6, 4), seeds=(2, 3), batch=6, precision="float64", checkpoint_every=2)
    material = prepare(plan, some_images(rng), some_images(rng, 20))
    configured = checkpoints.configuration(plan, "made up", "0123")
    *_, state = (
        s for s in train(plan, material, begin_training(plan, material), 2) if s.batch == 4
    )
    path = tmp_path / "checkpoint.npz"
    checkpoints.save(path, state, plan, configured)
    return plan, material, configured, state, path


def rewritten(path, **changed):
    """The file with some members replaced (or, by None, left out)."""
    with np.load(path, allow_pickle=False) as file:
        members = {name: file[name] for name in file.files} | changed
    np.savez(path, **{name: array for name, array in members.items() if array is not None})


def refusal(path, plan, configured, material):
    """The one line of the refusal, which names the file and a remedy."""
    with pytest.raises(CircuitError) as caught:
        checkpoints.load(path, plan, configured, material)
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
    for state in train(plan, material, begin_training(plan, material), 2):
        if not state.at_rest:
            continue
        checkpoints.save(path, state, plan, configured)
        read, changes = checkpoints.load(path, plan, configured, material)
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
    read, _ = checkpoints.load(path, plan, configured, material)
    *_, uninterrupted = train(plan, material, state, 4)
    *_, resumed = train(plan, material, read, 4)
    assert_same_bits(resumed, uninterrupted)


@pytest.mark.parametrize("seeds", [(2,), (2, 3)])
def test_a_circuit_that_waits_for_its_inverse_goes_on_from_the_file(tmp_path, rng, seeds):
    """It waits two steps and learns in two."""
    lesson = Lesson("circuit", inverse=LearnedInverse(order="alternating", block=2))
    plan = Plan(lesson, (6, 6, 4), auxiliary=False, seeds=seeds, batch=6, precision="float64")
    material = prepare(plan, some_images(rng), some_images(rng, 20))
    configured = checkpoints.configuration(plan, "made up", "0123")
    *_, state = train(plan, material, begin_training(plan, material), 1)
    checkpoints.save(tmp_path / "checkpoint.npz", state, plan, configured)
    read, _ = checkpoints.load(tmp_path / "checkpoint.npz", plan, configured, material)
    *_, uninterrupted = train(plan, material, state, 2)
    *_, resumed = train(plan, material, read, 2)
    assert_same_bits(resumed, uninterrupted)


def test_what_learns_beside_the_network_is_kept(scene, rng):
    """Twelve arrays of a name come back in their order: 10 is not between 1 and 2."""
    plan, material, configured, state, path = scene
    companions = {
        "feedback": tuple(rng.random((2, i, 3)) for i in range(1, 13)),
        "feedback_keys": (np.array([3, 2**63 + 1], dtype=np.uint64),),
    }
    learner = replace(state.learner, companions=companions)
    checkpoints.save(path, replace(state, learner=learner), plan, configured)
    read, _ = checkpoints.load(path, plan, configured, material)
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
    plan, material, configured, _, path = scene
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    assert "cannot be read" in refusal(path, plan, configured, material)
    assert path.exists()


def test_a_flipped_bit_anywhere_is_noticed(scene, rng):
    """Either the file is refused, or what is read is what was written (padding, dates)."""
    plan, material, configured, state, path = scene
    content, refused = path.read_bytes(), 0
    for place in rng.integers(0, len(content), 60):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            read, _ = checkpoints.load(path, plan, configured, material)
        except CircuitError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert_same_bits(read, state)
    assert refused > 30


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lesson": replace(LESSON, adam=Adam(0.02))}, "learning rate is 0.01 there and 0.02"),
        ({"lesson": replace(LESSON, rule="bp")}, "rule is gait there and bp here"),
        (
            {"lesson": replace(LESSON, inverse=PseudoInverse()), "auxiliary": True},
            "inverse is left out there and {} here",
        ),
        (
            {"lesson": replace(LESSON, pull=Inhibition(strength=0.1))},
            "pull during is left out there and spontaneous here",
        ),
        ({"seeds": (2, 4)}, r"seeds is [2, 3] there and [2, 4] here"),
        ({"batch": 7}, "batch is 6 there and 7 here"),
        ({"train_images": 40}, "train images is left out there and 40 here"),
        ({"precision": "float32"}, "precision is float64 there and float32 here"),
        ({"checkpoint_every": 3}, "checkpoint every is 2 there and 3 here"),
    ],
)
def test_another_plan_is_refused(scene, change, words):
    plan, material, *_, path = scene
    other = replace(plan, **change)
    configured = checkpoints.configuration(other, "made up", "0123")
    assert words in refusal(path, other, configured, material)


def test_other_images_are_refused(scene):
    plan, material, *_, path = scene
    assert "images is 0123 there and 9999 here" in refusal(
        path, plan, checkpoints.configuration(plan, "made up", "9999"), material
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"version": np.array(1)}, "version 1"),
        ({"version": np.array(1)}, f"which reads version {checkpoints.VERSION}"),
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
        ({"generators": np.array(DEEP)}, "nested too deeply"),
        ({"configuration": np.array(DEEP)}, "nested too deeply"),
        ({"n_outputs": np.array(np.inf)}, "its n_outputs is no whole number"),
        ({"epoch": np.array(1.0)}, "its epoch is no whole number"),
        ({"steps": np.array([13])}, "its steps is no whole number"),
        ({"steps": np.array(10**6)}, "it counts 1000000 steps after 1 epochs of 8 batches"),
        ({"batch": np.array(8), "steps": np.array(16)}, "it is at batch 8 of an epoch of 8"),
        ({"n_outputs": np.array(4)}, "it has 4 outputs, not 3"),
        ({"chosen_epochs": np.array([0, 2])}, "are not among the 2"),
        ({"chosen_epochs": np.array([0.0, 1.0])}, "its chosen epochs are float64"),
        ({"sums": np.array([[1, np.nan], [20, 20], [0, 0]])}, "its sums of loss"),
        ({"sums": np.array([[1.0, 1], [46, 20], [0, 0]])}, "are not of 45 images"),
        ({"sums": np.array([[1.0, 1], [np.nan, 20], [0, 0]])}, "are not of 45 images"),
        ({"sums": np.array([[1.0, 1], [20, 20], [np.nan, 46]])}, "are not of 45 images"),
        ({"sums": np.array([[1.0, 1], [20, 20], [-1, 0]])}, "are not of 45 images"),
        ({"first_W_1": np.full((2, 6, 6), np.nan)}, "not finite"),
        ({"second_W_1": np.ones((2, 6, 6), dtype="f4")}, "are float32"),
        ({"second_b_2": np.full((2, 4), -1e-9)}, "its means of squares are negative"),
        ({"orders": np.zeros((2, 45), dtype="i4")}, "its orders are not of the images"),
        ({"orders": np.zeros((2, 44), dtype="i4")}, "its orders are int32 (2, 44)"),
        ({"orders": np.zeros((2, 45))}, "its orders are float64"),
        ({"W_1": np.array([[object()]])}, "cannot be read"),
    ],
)
def test_other_versions_and_kinds_are_refused(scene, changed, words):
    plan, material, configured, _, path = scene
    rewritten(path, **changed)
    assert words in refusal(path, plan, configured, material)


FLAT = """{"rule": "gait", "feedback_strength": 0.001, "pathway": "gait", "readout": "shift",
"loss": "quadratic", "learning_rate": 0.01, "orthogonality": 0.1, "orthogonality_of": "rows",
"orthogonality_every": 1, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-08, "bias_correction": true,
"increments": "every", "inverse": "exact", "inverse_rate": 1.0, "correction": true}"""


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (2, "it is of version 2, whose settings of a lesson are not nested"),
        (3, "is of another configuration: activation is left out there"),
    ],
)
def test_a_checkpoint_with_flat_settings_is_refused(scene, version, words):
    """As version 2 wrote them; also under the number of this version."""
    plan, material, configured, _, path = scene
    rewritten(path, version=np.array(version), configuration=np.array(FLAT))
    assert words in refusal(path, plan, configured, material)


def test_settings_of_a_lesson_are_kept_part_by_part(scene):
    """Each under the name of its part, so that no two are mistaken for one another."""
    plan, _, configured, *_ = scene
    assert configured["adam"] == {
        "learning_rate": 0.01,
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        "bias_correction": True,
    }
    assert configured["pull"] == {"strength": 0.1, "every": 1, "of": "rows"}
    assert configured["inverse"] is None
    apart = replace(plan, lesson=replace(LESSON, inverse=PseudoInverse()))
    assert checkpoints.configuration(apart, "made up", "0123")["inverse"] == {}


@pytest.mark.parametrize("change", [50, -1, 2**31 - 1])
@pytest.mark.parametrize("place", [(0, 0), (1, 44)])
def test_orders_of_images_that_there_are_not_are_refused(scene, change, place):
    """Above the number of images, or negative, which NumPy would take from the end."""
    plan, material, configured, state, path = scene
    orders = state.orders.astype(np.int32)
    orders[place] = change
    rewritten(path, orders=orders)
    assert "its orders are not of the images" in refusal(path, plan, configured, material)


def test_what_learns_beside_the_network_must_be_there(tmp_path, rng):
    """A learned inverse is part of a state: without it the run cannot go on."""
    lesson = Lesson("gait", adam=Adam(0.01), inverse=LearnedInverse())
    plan = Plan(lesson, (6, 5, 4), auxiliary=False, batch=6, precision="float64")
    material = prepare(plan, some_images(rng), some_images(rng, 20))
    configured = checkpoints.configuration(plan, "made up", "0123")
    path = tmp_path / "checkpoint.npz"
    checkpoints.save(path, begin_training(plan, material), plan, configured)
    checkpoints.load(path, plan, configured, material)
    with np.load(path) as file:
        beside = [name for name in file.files if name.startswith("companion_")]
    assert beside
    rewritten(path, **{beside[0]: None})
    assert "what it holds of" in refusal(path, plan, configured, material)


@pytest.mark.posix
def test_a_pipe_is_no_checkpoint(scene, tmp_path):
    """It would be waited for, for ever."""
    plan, material, configured, *_ = scene
    os.mkfifo(tmp_path / "pipe.npz")
    assert "it is no file" in refusal(tmp_path / "pipe.npz", plan, configured, material)


def test_missing_and_strange_files_are_refused(scene, tmp_path):
    plan, material, configured, *_ = scene
    assert "no such file" in refusal(tmp_path / "none.npz", plan, configured, material)
    strange = tmp_path / "strange.npz"
    strange.write_text("not an archive")
    assert "cannot be read" in refusal(strange, plan, configured, material)


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
    plan, material, configured, state, path = scene
    other = tmp_path / "other.npz"
    shutil.copy(path, other)
    with np.load(other) as file:
        surroundings = json.loads(str(file["surroundings"]))
    rewritten(other, surroundings=np.array(json.dumps(surroundings | {"numpy": "1.0"})))
    read, changes = checkpoints.load(other, plan, configured, material)
    assert_same_bits(read, state)
    assert [words.startswith("numpy 1.0 is now") for words in changes] == [True]
