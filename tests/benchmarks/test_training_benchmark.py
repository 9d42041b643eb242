"""The benchmark of learning measures what it says. No test here looks at how long anything took."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import training
from benchmarks.training import CONTESTANTS, OWN, PYTORCH, QUICK, STACKED
from circuit.learning.lesson import Lesson


def test_command_prints_and_saves_a_row_for_every_contestant(tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch")
    few = (PYTORCH, OWN, "circuit", "gait, lambda 0.1 every 4", "gait, PyTorch tensors")
    few = {name: CONTESTANTS[name] for name in (*few, f"gait, {STACKED} networks")}
    monkeypatch.setattr(training, "CONTESTANTS", few)
    path = tmp_path / "training.json"
    assert training.main(["--quick", "--output", str(path)]) == 0
    printed = capsys.readouterr().out
    rows = json.loads(path.read_text())["rows"]
    assert [row["a step of"] for row in rows] == list(few)
    for row in rows:
        assert f"| {row['a step of']} |" in printed
        assert all(math.isfinite(row[name]) for name in ("ms", "ratio to bp", "memory, MB"))
    assert rows[1]["ratio to bp"] == 1


def test_contestants_are_those_that_the_table_is_about():
    lessons = {name: one.lesson for name, one in CONTESTANTS.items() if one is not None}
    rules = {lesson.rule for lesson in lessons.values()}
    assert rules == {"bp", "gait", "grait", "itp", "tp", "circuit"}
    every = {lesson.pull.every for lesson in lessons.values() if lesson.pull is not None}
    assert every == {1, 4, 10}
    assert all(training.TrainingSizes().steps % one == 0 for one in every)
    assert CONTESTANTS[f"gait, {STACKED} networks"].networks == STACKED


def test_pytorch_and_our_back_propagation_make_the_same_steps(monkeypatch):
    """The same network, the same images, the same losses: weights agree to rounding."""
    torch = pytest.importorskip("torch")
    seen = {}
    begin = training.begin_learning

    def noting(*given):
        seen["start"] = begin(*given)
        return seen["start"]

    def learning(learner, *rest):
        seen["ours"], step = learn(learner, *rest)
        return seen["ours"], step

    learn = training.learn
    monkeypatch.setattr(training, "begin_learning", noting)
    monkeypatch.setattr(training, "learn", learning)
    adam = torch.optim.Adam
    monkeypatch.setattr(
        torch.optim, "Adam", lambda p, **k: seen.__setitem__("theirs", p) or adam(p, **k)
    )
    sizes = replace(QUICK, before=10, steps=5)
    turn, _ = training.prepare_own(sizes, CONTESTANTS[OWN])
    turn()
    turn, _ = training.prepare_pytorch(sizes)
    turn()
    assert seen["ours"].steps == 15
    for ours, theirs, start in zip(
        seen["ours"].network.weights, seen["theirs"], seen["start"].network.weights, strict=False
    ):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=2e-5)
        assert np.abs(ours - start).max() > 5e-4


@pytest.mark.parametrize(
    "name", [name for name, c in CONTESTANTS.items() if c and c.library == "numpy"]
)
def test_every_contestant_of_numpy_makes_its_steps(name):
    """Those that learn with noise have keys that are whole numbers, whatever the precision."""
    turn, megabytes = training.prepare_own(replace(QUICK, before=0, steps=2), CONTESTANTS[name])
    turn()
    assert megabytes > 0


@pytest.mark.parametrize("networks", [1, 3])
def test_a_stack_has_its_own_images_and_weights(networks):
    network = training.weights_and_biases(QUICK, networks)
    inputs, targets = training.batches(QUICK, networks, 10)()
    lead = (networks,) if networks > 1 else ()
    assert network.weights[0].shape == (*lead, 16, 16)
    assert inputs.shape == (*lead, 12, 16)
    assert targets.shape == (*lead, 12, 10)
    assert np.all(targets.sum(-1) == 1)
    assert inputs.min() == 0 <= inputs.max() <= 1
    if networks > 1:
        assert np.abs(network.weights[0][0] - network.weights[0][1]).max() > 0.1
        assert np.abs(inputs[0] - inputs[1]).max() > 0.1


def test_mnist_where_it_is_given(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (70, 28, 28)).astype(np.uint8)
    labels = np.arange(70).astype(np.uint8) % 10
    arrays = {"x_train": pixels[:60], "y_train": labels[:60]}
    np.savez(tmp_path / "mnist.npz", **arrays, x_test=pixels[60:], y_test=labels[60:])
    try:
        inputs, targets = training.images(replace(QUICK, width=784, data_dir=tmp_path))
    except training.ImageError as error:
        assert "60000" in str(error)  # only the whole data set is taken for it
    else:
        assert inputs.shape == (60, 784)
        assert targets.shape == (60, 10)


def test_bad_input(tmp_path, capsys):
    for arguments, words in (
        (["--output", str(tmp_path / "nowhere" / "a.json")], "make it first"),
        (["--data-dir", str(tmp_path)], "mnist.npz"),
    ):
        with pytest.raises(SystemExit) as stop:
            training.main(arguments)
        assert stop.value.code == 2
        assert words in capsys.readouterr().err


def test_a_contestant_that_fails_stops_the_benchmark(monkeypatch):
    broken = training.Contestant(Lesson("gait"), networks=0)
    monkeypatch.setattr(training, "CONTESTANTS", {OWN: broken})
    with pytest.raises(RuntimeError, match="bp: failed"):
        training.compare(QUICK)
