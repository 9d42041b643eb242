"""Networks and images of one's own in the commands; narrow networks on images with a black rim."""

from __future__ import annotations

import json

import numpy as np
import pytest
import sklearn.datasets
import xarray as xr

from circuit.doors.files import save
from circuit.errors import CircuitError
from circuit.network import Network
from models import (
    run_equilibrium,
    run_feedback_strength,
    run_figures,
    run_open_questions,
    run_training,
)
from studies.catalogue import STUDIES
from studies.paper_figures.scales import narrowing
from tests.commands import refusal

pytestmark = pytest.mark.usefixtures("rough_pictures")
QUIET = ["--no-figures", "--quiet"]


@pytest.fixture(scope="module")
def digits():
    """Of scikit-learn, in 8 bits, with a rim of black pixels two rows and columns wide."""
    data = sklearn.datasets.load_digits()
    rimmed = np.pad((data.images * 15).astype(np.uint8), ((0, 0), (2, 2), (2, 2)))
    return rimmed[:200], data.target[:200]


@pytest.fixture
def images(tmp_path, digits):
    """The digits in a file."""
    path = tmp_path / "rimmed.npz"
    np.savez(path, images=digits[0], labels=digits[1])
    return path


@pytest.fixture
def weights(tmp_path, rng):
    """Of a network 144-30-10 with tanh units, in a file that says nothing of them."""
    path = tmp_path / "own.npz"
    arrays = {"W_1": rng.standard_normal((30, 144)) / 12, "W_2": rng.standard_normal((10, 30)) / 6}
    np.savez(path, **arrays, b_1=rng.standard_normal(30) / 10)
    return path


def settled(tmp_path, *arguments):
    """Exit status and summary of the main command."""
    options = ["--batch", "8", "--no-brian2", "--no-figures", "--output", str(tmp_path / "out")]
    status = run_equilibrium.main([*options, *map(str, arguments)])
    return status, json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))


def test_a_narrow_network_sees_the_image_and_not_its_rim(tmp_path, images):
    """The first twenty pixels of every image are black; layer 1 of twenty units reads all 144."""
    status, summary = settled(tmp_path, "--images", images, "--widths", "144", "20", "10")
    assert status == 0
    for layer in summary["layers"]:
        assert layer["updates"]["gait"]["cosine"] > 0.999
        assert np.isfinite(layer["error_bound"])


def test_the_first_line_says_what_became_of_the_pixels(tmp_path, capsys, images):
    settled(tmp_path, "--images", images, "--widths", "144", "20", "10")
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith(
        "8 images of rimmed.npz (12 x 12, pixels divided by 255), layers 144-20"
    )


@pytest.mark.parametrize("rows", ["orthonormal", "gaussian"])
def test_weights_of_ones_own_are_settled_padded_and_said(tmp_path, capsys, images, weights, rows):
    arguments = ["--images", images, "--weights", weights, "--rows", rows]
    arguments += ["--weights-activation", "tanh", "linear", "--loss", "cross_entropy"]
    status, summary = settled(tmp_path, *arguments)
    assert status == 0
    assert len(summary["layers"]) == 2
    said = capsys.readouterr().out
    assert "layers 144-30-30 (10 outputs with a target)" in said
    assert "tanh+linear" in said
    assert f"20 to layer 2; {rows}" in said.replace("Gaussian", "gaussian")


@pytest.mark.parametrize("unit", ["linear", "leaky_relu", "asinh", "tanh", "relu", "logistic"])
def test_weights_of_every_unit_run_from_our_own_file(tmp_path, rng, images, unit):
    shapes = ((12, 144), (10, 12))
    arrays = [rng.standard_normal(shape) / np.sqrt(shape[1]) for shape in shapes]
    save(tmp_path / "net.npz", Network.from_layers(arrays, activations=(unit, "linear")))
    status, _ = settled(tmp_path, "--images", images, "--weights", tmp_path / "net.npz")
    assert status == 0


def test_what_run_training_writes_the_main_command_reads(tmp_path, images):
    folder = tmp_path / "training"
    arguments = ["--images", str(images), "--widths", "144", "20", "10", "--epochs", "1"]
    assert run_training.main([*arguments, *QUIET, "--rule", "bp", "--output", str(folder)]) == 0
    file = folder / "weights_seed1_chosen.npz"
    status, summary = settled(tmp_path, "--images", images, "--weights", file)
    assert status == 0
    assert [layer["layer"] for layer in summary["layers"]] == [1, 2]


def test_back_propagation_reads_all_units_of_a_narrow_network(tmp_path, images):
    """And learns ten digits of which layer 1 would else have seen nothing."""
    arguments = ["--images", str(images), "--widths", "144", "30", "10", "--epochs", "12"]
    run_training.main([*arguments, *QUIET, "--rule", "bp", "--output", str(tmp_path / "bp")])
    with np.load(next((tmp_path / "bp").glob("weights_*.npz"))) as file:
        assert (file["W_1"].shape, file["W_2"].shape) == ((30, 144), (10, 30))
    with xr.open_dataset(tmp_path / "bp" / "history.nc") as data:
        assert data["test_accuracy"].values[0, -1] > 0.6


def test_images_without_labels_need_targets(tmp_path, capsys, digits, rng):
    np.save(tmp_path / "plain.npy", digits[0][:12])
    np.save(tmp_path / "targets.npy", rng.random((12, 3)))
    arguments = ["--images", tmp_path / "plain.npy", "--widths", "144", "20", "8"]
    status, _ = settled(tmp_path, *arguments, "--targets", tmp_path / "targets.npy")
    assert status == 0
    assert "(3 outputs with a target)" in capsys.readouterr().out
    words = refusal(capsys, run_equilibrium.main, *QUIET, "--batch", "4", *map(str, arguments))
    assert "have no labels; give labels, or targets (--targets" in words
    arguments = ["--images", str(tmp_path / "plain.npy"), "--rule", "bp", "--batch", "2"]
    output = ["--output", str(tmp_path / "training")]
    assert "have no labels" in refusal(capsys, run_training.main, *QUIET, *arguments, *output)


def test_targets_without_classes_are_learnt_and_swept(tmp_path, digits, rng):
    """From a file of their own, in training and in a study; other targets are another cell."""
    np.save(tmp_path / "plain.npy", digits[0][:60])
    given = ["--images", str(tmp_path / "plain.npy"), "--targets", str(tmp_path / "t.npy")]
    pixels = digits[0][:60].reshape(60, -1) / 255
    np.save(tmp_path / "t.npy", pixels @ rng.standard_normal((144, 3)) / 12)
    arguments = ["--widths", "144", "20", "3", "--rule", "bp", "--epochs", "5", "--batch", "6"]
    output = ["--output", str(tmp_path / "training")]
    assert run_training.main([*given, *arguments, *QUIET, *output]) == 0
    with xr.open_dataset(tmp_path / "training" / "history.nc") as data:
        losses = data["train_loss"].values[0]
        assert losses[-1] < losses[0] / 2
    arguments = ["--studies", "noise", "--scale", "smoke", "--seeds", "1", "--workers", "0"]
    output = ["--output", str(tmp_path / "out"), "--quiet"]
    assert run_feedback_strength.main([*arguments, *output, *given]) == 0
    with xr.open_dataset(tmp_path / "out" / "noise.nc") as data:
        assert set(data["status"].values.tolist()) == {"converged"}
    measured = {path.name for path in (tmp_path / "out" / "noise" / "cells").iterdir()}
    np.save(tmp_path / "t.npy", rng.standard_normal((60, 3)))
    assert run_feedback_strength.main([*arguments, *output, *given]) == 0
    again = {path.name for path in (tmp_path / "out" / "noise" / "cells").iterdir()}
    assert len(again - measured) == len(measured)


@pytest.mark.parametrize("main", [run_equilibrium.main, run_training.main])
def test_cross_entropy_of_one_output_is_refused_in_one_line(tmp_path, capsys, digits, main):
    """Its softmax is 1 whatever the output is, so that there is nothing to learn."""
    np.save(tmp_path / "plain.npy", digits[0][:60])
    np.save(tmp_path / "t.npy", np.arange(60.0)[:, None] % 2)
    given = ["--images", tmp_path / "plain.npy", "--targets", tmp_path / "t.npy", "--batch", "6"]
    given += ["--widths", "144", "20", "5", "--output", tmp_path / "out", *QUIET]
    given = [str(word) for word in given]
    words = refusal(capsys, main, *given, "--loss", "cross_entropy")
    assert "loss cross_entropy of 1 output" in words
    assert "use loss quadratic" in words
    assert main([*given, "--loss", "quadratic"]) == 0


def test_targets_beside_images_that_lie_apart_are_refused(tmp_path, capsys, digits, rng):
    parts = {"x_train": digits[0][:20], "x_test": digits[0][20:30]}
    np.savez(tmp_path / "apart.npz", **parts)
    np.save(tmp_path / "t.npy", rng.random((20, 3)))
    given = ["--images", str(tmp_path / "apart.npz"), "--targets", str(tmp_path / "t.npy")]
    assert "targets_train" in refusal(capsys, run_training.main, *QUIET, *given, "--rule", "bp")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--images", "IMAGES", "--dataset", "mnist"], "--dataset does nothing with --images"),
        (["--images", "IMAGES", "--data-dir", "x"], "--data-dir does nothing with --images"),
        (["--targets", "IMAGES"], "--targets does nothing with a data set"),
        (["--rows", "gaussian"], "--rows does nothing with a random network"),
        (["--weights", "WEIGHTS", "--init", "gaussian"], "--init does nothing with --weights"),
        (["--weights", "WEIGHTS", "--widths", "64", "9"], "--widths does nothing with --weights"),
        (["--weights", "WEIGHTS"], "it says no activation functions"),
        (["--weights", "WEIGHTS", "--weights-activation", "tanh"], "144 inputs to 10 outputs"),
        (["--images", "none.npz"], "images none.npz: no such file or folder"),
    ],
)
def test_what_does_not_go_together_is_refused(capsys, images, weights, arguments, words):
    stands_for = {"IMAGES": str(images), "WEIGHTS": str(weights)}
    given = [stands_for.get(word, word) for word in arguments]
    assert words in refusal(capsys, run_equilibrium.main, *QUIET, "--batch", "6", *given)


def test_a_study_runs_on_ones_own_images(tmp_path, images):
    arguments = ["--studies", "strength", "--scale", "smoke", "--seeds", "1", "--workers", "0"]
    output = ["--output", str(tmp_path / "out"), "--quiet"]
    assert run_feedback_strength.main([*arguments, *output, "--images", str(images)]) == 0
    with xr.open_dataset(tmp_path / "out" / "strength.nc") as data:
        equal = data["init"].values != "unequal_rows"  # with those some images have no equilibrium
        assert set(data["status"].values[equal].tolist()) == {"converged"}
        assert set(data["reads"].values.tolist()) == {"whole image"}
        cosine = data["cosine"].sel(rule="bp", readout="shift", layer=[1, 2])
        assert np.isfinite(cosine).all()


def test_a_figure_is_drawn_of_ones_own_images(tmp_path, images):
    arguments = ["fig2c", "--rules", "bp", "--seeds", "1", "--workers", "0", "--quiet"]
    output = ["--output", str(tmp_path / "out")]
    assert run_figures.main([*arguments, *output, "--images", str(images)]) == 0
    assert list((tmp_path / "out").glob("*.png"))
    with xr.open_dataset(tmp_path / "out" / "fig2c.nc") as data:  # 160, and the scale wants 400
        assert set(data["status"].values.tolist()) == {"completed"}
        assert data["train_images"].values.tolist() == [160]


def test_narrowing_layers_end_in_as_many_outputs_as_there_are_classes(tmp_path, digits):
    """Of three classes three, not ten."""
    few = np.tile(np.flatnonzero(digits[1] < 3), 10)
    np.savez(tmp_path / "few.npz", images=digits[0][few], labels=digits[1][few])
    arguments = ["fig3", "--rules", "bp", "gait", "--seeds", "1", "--workers", "0", "--quiet"]
    output = ["--output", str(tmp_path / "out"), "--images", str(tmp_path / "few.npz")]
    assert run_figures.main([*arguments, *output]) == 0
    with xr.open_dataset(tmp_path / "out" / "fig3.nc") as data:
        assert set(data["status"].values.tolist()) == {"completed"}
        ends = {str(widths).split("-")[-1] for widths in data["widths"].values}
    assert "3" in ends
    assert "10" not in ends


def test_narrowing_layers_never_widen():
    """Fig. 3B as it is printed, and in proportion; of every size of image and number of classes."""
    assert narrowing(784) == "784-784-500-200-10"
    assert narrowing(196) == "196-196-125-50-10"  # a quarter
    for pixels in range(1, 300):
        for classes in range(1, pixels + 1):
            widths = [int(width) for width in narrowing(pixels, classes).split("-")]
            assert widths == sorted(widths, reverse=True)
            assert (widths[0], widths[-1], len(widths)) == (pixels, classes, 5)


def test_layers_do_not_narrow_to_more_outputs_than_pixels():
    with pytest.raises(CircuitError, match="cannot narrow from 6 pixels to 7 outputs; use images"):
        narrowing(6, 7)


@pytest.mark.parametrize(
    ("main", "name"),
    [
        *((run_figures.main, name) for name in ("fig2a", "fig2c", "fig3", "grid", "longer")),
        *(
            (run_open_questions.main, name)
            for name in ("activations", "overlaps", "top_down", "lateral_inhibition")
        ),
    ],
)
def test_images_of_fewer_pixels_than_classes_are_refused_before_a_run(tmp_path, capsys, main, name):
    pixels = np.arange(6 * 40, dtype=np.uint8).reshape(40, 2, 3)
    np.savez(tmp_path / "tiny.npz", images=pixels, labels=np.arange(40) % 7)
    arguments = [name, "--seeds", "1", "--quiet", "--output", str(tmp_path / "out")]
    words = refusal(capsys, main, *arguments, "--images", str(tmp_path / "tiny.npz"))
    assert "layers of 6 units, one a pixel, have none for each of 7 classes; use images" in words
    assert not list(tmp_path.rglob("*.nc"))


def test_images_of_more_classes_than_layers_have_units_are_refused_before_a_run(tmp_path, capsys):
    """Layers of study noisy_learning have 16 units at scale smoke; 16 classes fit, and all images
    are learnt from where a scale wants more.
    """
    pixels = np.random.default_rng(1).integers(0, 255, (400, 5, 5), dtype=np.uint8)
    for classes in (16, 17):
        np.savez(tmp_path / f"{classes}.npz", images=pixels, labels=np.arange(400) % classes)
    arguments = ["noisy_learning", "--scale", "smoke", "--seeds", "1", "--quiet"]
    arguments += ["--output", str(tmp_path / "out"), "--images", f"{tmp_path}/17.npz"]
    words = refusal(capsys, run_open_questions.main, *arguments)
    assert "layers of 16 units at scale smoke, and none for each of 17 classes; use" in words
    assert not list(tmp_path.rglob("*.nc"))
    question = STUDIES["noisy_learning"].door("study")
    assert question.study("smoke", dataset="own", data_dir=str(tmp_path / "16.npz")).cells
    cells = question.study("laptop", dataset="own", data_dir=str(tmp_path / "16.npz")).cells
    assert {cell["train_images"] for cell in cells} == {320}  # of 400, less those to test on


@pytest.mark.parametrize("name", ["top_down", "lateral_inhibition"])
def test_an_open_question_is_asked_of_ones_own_images(tmp_path, capsys, digits, name):
    """Of fewer than the study would take of a data set, which it takes all."""
    np.savez(tmp_path / "few.npz", images=digits[0][:250, 2:-2, 2:-2], labels=digits[1][:250])
    arguments = [name, "--scale", "smoke", "--seeds", "1", "--workers", "0"]
    output = ["--output", str(tmp_path / "out"), "--images", str(tmp_path / "few.npz")]
    assert run_open_questions.main([*arguments, *output]) == 0
    with xr.open_dataset(tmp_path / "out" / f"{name}.nc") as data:
        assert set(data["dataset"].values.tolist()) == {"own"}
        assert not any("failed" in str(status) for status in data["status"].values)
    assert "failed:" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["strength", "strong", "noise", "imperfection"])
def test_cells_on_digits_are_what_they_were_and_others_say_what_is_read(name):
    """A parameter more is another key: results on digits are found again."""
    door = STUDIES[name].door("study")
    assert all("reads" not in cell for cell in door.study("laptop").cells)
    others = door.study("laptop", dataset="mnist", data_dir="somewhere").cells
    assert {cell["reads"] for cell in others} == {"whole image"}


def test_a_study_pads_trained_weights_that_are_not_square(tmp_path, images):
    """As back-propagation leaves them in a narrow network: an exact inverse needs more rows."""
    folder = tmp_path / "training"
    arguments = ["--images", str(images), "--widths", "144", "20", "10", "--epochs", "1"]
    assert run_training.main([*arguments, *QUIET, "--rule", "bp", "--output", str(folder)]) == 0
    weights = ["--weights", str(folder / "weights_seed1_end.npz"), "--images", str(images)]
    arguments = ["--studies", "strength", "--scale", "smoke", "--seeds", "1", "--workers", "0"]
    output = ["--output", str(tmp_path / "out"), "--quiet"]
    assert run_feedback_strength.main([*arguments, *output, *weights]) == 0
    with xr.open_dataset(tmp_path / "out" / "strength.nc") as data:
        trained = data.isel(cell=np.flatnonzero(data["init"].values == "trained"))
        assert trained.sizes["cell"] == 6
        cosine = trained["cosine"].sel(rule="gait", readout="shift", layer=[1, 2])
        gait = np.flatnonzero(trained["pathway"].values == "gait")
        assert (cosine.isel(cell=gait[:1]) > 0.999).all()


def test_weights_of_any_shape_go_through_the_pseudo_inverse_unpadded(tmp_path, capsys, rng, images):
    """Of a network that widens above layer 1, which no added row could help."""
    shapes = ((12, 144), (20, 12), (10, 20))
    arrays = {
        f"W_{layer}": rng.standard_normal(shape) / np.sqrt(shape[1])
        for layer, shape in enumerate(shapes, 1)
    }
    np.savez(tmp_path / "wide.npz", **arrays)
    arguments = ["--images", images, "--weights", tmp_path / "wide.npz"]
    arguments += ["--weights-activation", "asinh"]
    words = refusal(capsys, run_equilibrium.main, *QUIET, "--batch", "6", *map(str, arguments))
    assert "layer 2 has 20 units that read 12" in words
    assert "--feedback pseudo-inverse" in words
    status, summary = settled(tmp_path, *arguments, "--feedback", "pseudo-inverse")
    assert summary["status"] == "converged"
    assert status in (0, 3)  # a bound may decide nothing, but no update disagrees
    assert "layers 144-12-20-10 (10 outputs" in capsys.readouterr().out
    idle = ["--feedback", "pseudo-inverse", "--rows", "gaussian"]
    words = refusal(capsys, run_equilibrium.main, *QUIET, *map(str, arguments), *idle)
    assert "--rows does nothing with --feedback pseudo-inverse" in words
