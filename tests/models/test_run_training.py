"""The training command as a user meets it: files, statuses, words, kills, and bad input."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from circuit.network import forward
from circuit.settings.learning import Adam
from circuit.storage.networks import load_network
from models import run_training
from models.command.training_options import options
from models.run_training import main
from tests.commands import help_of, refusal
from training import epochs, images
from training.figures import SPLITS, learning_curves
from training.report import outcome

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, str(ROOT / "models" / "run_training.py")]
SMALL = ["--train-images", "200", "--depth", "1", "--epochs", "3", "--no-figures", "--quiet"]


def _run(tmp_path, *arguments):
    """Exit status and summary of the command."""
    status = main([*SMALL, "--output", str(tmp_path), *arguments])
    return status, json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))


def _history(folder):
    with xr.open_dataset(folder / "history.nc") as data:
        return data.load()


def _refusal(capsys, *arguments):
    """The line with which the command, on few images, refuses."""
    return refusal(capsys, main, *SMALL, *arguments)


def _all_arrays(folder):
    """Every array in every .npz, .nc and .csv file of a run."""
    found = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            found |= {(path.name, name): file[name] for name in file.files}
    data = _history(folder)
    found |= {("history.nc", str(name)): data[name].values for name in data.variables}
    found["history.csv", ""] = np.array((folder / "history.csv").read_text(encoding="utf-8"))
    return found


def _assert_same_bits(one, other):
    ours, theirs = _all_arrays(one), _all_arrays(other)
    assert set(ours) == set(theirs)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=str(name))


# --- what it finds and writes ---


def test_files_and_accuracies_called_by_their_names(tmp_path, capsys):
    """Test accuracies found again from the saved weights, and called chosen, end and peak."""
    status, summary = _run(tmp_path, "--seeds", "3", "5")
    assert status == 0
    assert summary["status"] == "completed"
    data, test = _history(tmp_path), images.load("digits", split="test", dtype="float32")
    assert data["test_accuracy"].dims == ("seed", "epoch")
    assert data["alignment"].dims == ("seed", "epoch", "layer")
    assert data["epoch"].values.tolist() == [0, 1, 2, 3]
    for i, seed in enumerate((3, 5)):
        for which, epoch in (("chosen", summary["chosen_epoch"][i]), ("end", 3)):
            network = load_network(tmp_path / f"weights_seed{seed}_{which}.npz")
            outputs = forward(network, test.inputs).rates[-1][:, :10]
            accuracy = np.mean(outputs.argmax(axis=1) == test.labels)
            assert summary["test_accuracy"][which][i] == accuracy
            assert float(data["test_accuracy"].sel(seed=seed, epoch=epoch)) == accuracy
        peak = float(data["test_accuracy"].sel(seed=seed).max())
        assert summary["test_accuracy"]["peak"][i] == peak
    out = capsys.readouterr().out
    assert "epoch chosen on the validation images" in out
    assert "+-" not in out  # of two seeds an interval tells no more than the two
    assert not list(tmp_path.glob(".*"))  # no temporary file is left


def test_an_interval_is_told_of_three_seeds_or_more():
    """Against SciPy's."""
    values = np.array([0.9, 0.93, 0.95])
    data = xr.Dataset(
        {
            "test_accuracy": (("seed", "epoch"), np.stack([values - 0.1, values], axis=1)),
            "settled": (("seed", "epoch"), np.full((3, 2), np.nan)),
            "chosen_epoch": ("seed", [0, 1, 1]),
        },
        {"seed": [1, 2, 3], "epoch": [0, 1]},
        {"rule": "bp", "dataset": "digits", "chosen_by": "validation"},
    )
    (line,) = [line for line in outcome(data, None).splitlines() if "Student's t" in line]
    for which, of in (("end", values), ("chosen", np.array([0.8, 0.93, 0.95]))):
        low, high = stats.t.interval(0.95, 2, np.mean(of), stats.sem(of))
        assert f"{which} {np.mean(of):.4f} +- {(high - low) / 2:.4f}" in line
    assert "+-" not in outcome(data.isel(seed=[0, 1]), None)


def test_images_that_did_not_settle_are_told_with_the_verdict():
    """Of two seeds a half and a quarter of them in the last epoch; of none where all did."""
    curves = {"test_accuracy": (("seed", "epoch"), np.full((2, 3), 0.5))}
    for settled, words in (
        ([[np.nan, 1, 0.5], [np.nan, 1, 0.25]], " In the last epoch 37.5 % of the images settled."),
        ([[np.nan, 0, 1], [np.nan, 0, 1]], ""),
        (np.full((2, 3), np.nan), ""),
    ):
        data = xr.Dataset(
            curves | {"settled": (("seed", "epoch"), settled), "chosen_epoch": ("seed", [2, 2])},
            {"seed": [1, 2], "epoch": [0, 1, 2]},
            {"rule": "circuit", "dataset": "digits", "chosen_by": "validation"},
        )
        assert outcome(data, None).endswith(f"50.0 % at the peak.{words}")


@pytest.mark.parametrize(("seeds", "words"), [(1, None), (3, "; thin: each)"), (13, "13 seeds)")])
def test_thin_lines_are_told_of_where_there_are_some(seeds, words):
    """Three kinds of images in two panels: a thin line a seed, if seeds are few, and their mean."""
    curve = (("seed", "epoch"), np.linspace(0.9, 0.2, 3) * np.ones((seeds, 1)))
    names = [f"{split}_{what}" for split in SPLITS for what in ("loss", "accuracy")]
    data = xr.Dataset(
        dict.fromkeys(names, curve) | {"chosen_epoch": ("seed", [2] * seeds)},
        {"seed": range(seeds), "epoch": [0, 1, 2]},
        {"rule": "bp", "dataset": "digits", "chosen_by": "validation"},
    )
    figure = learning_curves(data)
    thin = [line for axes in figure.axes for line in axes.lines if line.get_linewidth() < 1]
    assert len(thin) == (6 * 3 if seeds == 3 else 0)
    title = figure.get_suptitle()
    assert title.endswith(words) if words else "seeds" not in title


def test_chosen_on_the_test_images_is_called_so(tmp_path, capsys):
    _, summary = _run(tmp_path, "--validation", "0")
    assert summary["chosen_by"] == "test"
    assert summary["test_accuracy"]["chosen"] == summary["test_accuracy"]["peak"]
    assert "chosen on the test images themselves" in capsys.readouterr().out


def test_pictures(tmp_path):
    arguments = [word for word in SMALL if word != "--no-figures"]
    assert main([*arguments, "--output", str(tmp_path), "--seeds", "1", "2", "--pdf"]) == 0
    for name in ("learning_curves", "layers"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
        assert (tmp_path / f"{name}.pdf").exists()


def test_no_layers_measured_no_picture_of_them(tmp_path):
    arguments = [word for word in SMALL if word != "--no-figures"]
    assert main([*arguments, "--output", str(tmp_path), "--measure-every", "0"]) == 0
    assert (tmp_path / "learning_curves.png").exists()
    assert not (tmp_path / "layers.png").exists()
    header = (tmp_path / "history.csv").read_text(encoding="utf-8").splitlines()[0]
    assert "test_loss" in header
    assert "condition" not in header


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rule", "bp", "--loss", "cross_entropy", "--activation", "asinh"],
        ["--rule", "tp", "--learning-rate", "1e-5", "--orthogonality", "100"],
        ["--rule", "itp", "--orthogonality-of", "columns", "--orthogonality-every", "3"],
        ["--rule", "circuit", "--pathway", "itp", "--readout", "shift", "--gamma", "0.01"],
        ["--rule", "grait", "--gamma", "0.01"],
        ["--rule", "circuit", "--pathway", "grait", "--activation", "asinh"],
        [
            "--rule",
            "circuit",
            "--readout",
            "mismatch",
            "--activation",
            "tanh",
            "--init",
            "gaussian",
        ],
        ["--preset", "reference", "--dataset", "digits", "--rule", "bp"],
        [
            "--order",
            "stored",
            "--batches-per-epoch",
            "2",
            "--batch",
            "20",
            "--precision",
            "float64",
        ],
        ["--beta1", "0.5", "--beta2", "0.9", "--epsilon", "1e-6", "--bias-correction", "no"],
    ],
    ids=" ".join,
)
def test_every_option_does_its_work(plain, tmp_path, arguments):
    """Each is taken into the configuration, and what comes out is another history."""
    status, summary = _run(tmp_path / "other", *arguments)
    assert status == 0
    for option, value in zip(arguments[::2], arguments[1::2], strict=True):
        assert str(summary["config"][option[2:].replace("-", "_")]) in {value, str(_number(value))}
    theirs = _history(tmp_path / "other")
    assert not np.array_equal(plain["test_loss"].values, theirs["test_loss"].values)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The history of a run with no option."""
    folder = tmp_path_factory.mktemp("plain")
    _run(folder, "--rule", "gait")
    return _history(folder)


def _number(text):
    try:
        return float(text)
    except ValueError:
        return text


def test_widths_replace_depth(tmp_path):
    arguments = [word for word in SMALL if word not in {"--depth", "1"}]
    widths = ["64", "32", "10"]
    assert main([*arguments, "--output", str(tmp_path), "--widths", *widths]) == 0
    assert load_network(tmp_path / "weights_seed1_end.npz").widths == (64, 32, 10)


def test_pytorch_gives_the_same_to_rounding(tmp_path):
    """The same seed, the same images in the same order, in another library."""
    pytest.importorskip("torch")
    wanted = ["--precision", "float64", "--seeds", "1", "2"]
    _run(tmp_path / "numpy", *wanted)
    _run(tmp_path / "torch", *wanted, "--device", "cpu")
    ours, theirs = _history(tmp_path / "numpy"), _history(tmp_path / "torch")
    for name in ("learning_loss", "test_loss", "alignment", "condition"):
        np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-7)


# --- interrupted ---


def _start(folder, *arguments, ignoring=False):
    """The command in a process that hears Ctrl-C, even if this one ignores it, or that does not."""
    command = [*PROGRAM, *SMALL, "--output", str(folder), *arguments]
    heard = signal.SIG_IGN if ignoring else signal.default_int_handler
    before = signal.signal(signal.SIGINT, heard)  # that it is ignored is inherited
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)


def _wait_for_checkpoints(process, folder, count):
    """Until the checkpoint has been written `count` more times, or the process has ended."""
    path, seen, last = folder / "checkpoint.npz", 0, None
    if path.exists():
        last = path.stat().st_mtime_ns
    while seen < count and process.poll() is None:
        time.sleep(0.0005)
        stamp = path.stat().st_mtime_ns if path.exists() else None
        if stamp != last:
            seen, last = seen + 1, stamp


def _end(process, status=0):
    """Let it end by itself."""
    _, words = process.communicate(timeout=120)
    assert process.returncode == status, words
    return words


LONG = ["--epochs", "25", "--checkpoint-every", "3", "--batch", "15", "--seeds", "1", "2"]


@pytest.mark.posix
def test_killed_again_and_again_it_ends_in_the_same_bits(tmp_path):
    """SIGKILL at the 1st, 9th and 22nd checkpoint since the start, and then to the end."""
    _end(_start(tmp_path / "whole", *LONG))
    killed = tmp_path / "killed"
    for count in (1, 9, 22):
        process = _start(killed, *LONG, "--resume")
        _wait_for_checkpoints(process, killed, count)
        assert process.poll() is None, "it ended before it was killed"
        process.kill()
        _end(process, -signal.SIGKILL)
    assert not (killed / "summary.json").exists()
    _end(_start(killed, *LONG, "--resume"))
    _assert_same_bits(tmp_path / "whole", killed)
    assert not list(killed.glob(".*"))  # what a killed process left half written is cleared


def test_killed_while_it_writes_it_leaves_a_checkpoint_that_is_whole(tmp_path, monkeypatch):
    """The file is replaced by renaming: a write that never ends leaves the older one."""

    def dies(name, **arrays):
        Path(name).write_bytes(b"half of it")
        raise KeyboardInterrupt

    _run(tmp_path / "whole")
    _run(tmp_path / "stopped", "--epochs", "2")
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", dies)
        status = main([*SMALL, "--output", str(tmp_path / "stopped"), "--resume"])
    assert status == 130
    assert _run(tmp_path / "stopped", "--resume")[0] == 0
    _assert_same_bits(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.posix
def test_ctrl_c_says_how_to_go_on(tmp_path):
    folder = tmp_path / "run"
    process = _start(folder, *LONG)
    _wait_for_checkpoints(process, folder, 2)
    process.send_signal(signal.SIGINT)
    words = _end(process, 130)
    assert words.count("\n") == 1
    assert "interrupted" in words
    assert f"--output {folder}" in words
    assert words.rstrip().endswith("--resume")
    assert (folder / "checkpoint.npz").exists()


@pytest.mark.posix
def test_ctrl_c_is_ignored_where_it_was_to_be(tmp_path):
    """As by a shell script of what it runs in the background."""
    process = _start(tmp_path, *LONG, ignoring=True)
    _wait_for_checkpoints(process, tmp_path, 2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _end(process, 0)
    assert (tmp_path / "summary.json").exists()


def test_ctrl_c_while_libraries_are_loaded(tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_training, "exit_status", interrupted)
    assert main([*SMALL, "--output", str(tmp_path)]) == 130
    assert capsys.readouterr().err.count("\n") == 1


OFTEN = ["--checkpoint-every", "4", "--batch", "40"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nobody interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    _run(folder, *OFTEN)
    return folder


@pytest.mark.parametrize("batches", [1, 2, 5, 9, 14])
def test_interrupted_at_any_batch_and_resumed(whole, tmp_path, monkeypatch, batches):
    """Also before the first checkpoint: then it begins anew."""
    learn, calls = epochs.learn, []

    def interrupted(*arguments):
        calls.append(0)
        if len(calls) == batches:
            raise KeyboardInterrupt
        return learn(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(epochs, "learn", interrupted)
        assert main([*SMALL, "--output", str(tmp_path / "stopped"), *OFTEN]) == 130
    assert _run(tmp_path / "stopped", *OFTEN, "--resume")[0] == 0
    _assert_same_bits(whole, tmp_path / "stopped")


def test_more_epochs_can_be_asked_for(tmp_path):
    """A run that is complete goes on as if it had been longer from the beginning."""
    _run(tmp_path / "long", "--epochs", "5")
    _run(tmp_path / "short", "--epochs", "2")
    assert _run(tmp_path / "short", "--epochs", "5", "--resume")[0] == 0
    _assert_same_bits(tmp_path / "long", tmp_path / "short")


def test_a_finished_run_resumed_changes_nothing(tmp_path):
    _run(tmp_path)
    before = _all_arrays(tmp_path)
    assert _run(tmp_path, "--resume")[0] == 0
    for name, array in _all_arrays(tmp_path).items():
        np.testing.assert_array_equal(array, before[name])


def test_a_run_is_not_begun_over_another(tmp_path, capsys):
    _run(tmp_path)
    before = _all_arrays(tmp_path)
    capsys.readouterr()
    words = _refusal(capsys, "--output", str(tmp_path))
    assert "--resume" in words
    assert "another --output" in words
    for name, array in _all_arrays(tmp_path).items():
        np.testing.assert_array_equal(array, before[name])


def test_what_does_not_belong_is_not_resumed(tmp_path, capsys):
    _run(tmp_path)
    capsys.readouterr()
    here = ["--output", str(tmp_path), "--resume"]
    assert "learning rate is" in _refusal(capsys, *here, "--learning-rate", "0.5")
    assert "more than --epochs 2" in _refusal(capsys, *here, "--epochs", "2")
    checkpoint = tmp_path / "checkpoint.npz"
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2])
    assert "cannot be read" in _refusal(capsys, *here)
    assert checkpoint.stat().st_size == len(content) // 2


# --- failure ---


def test_exploding_weights_end_with_status_1_and_what_was_good(tmp_path, capsys, monkeypatch):
    """From the third epoch on the learning rate is beyond reason."""
    learn, calls = epochs.learn, []

    def explosive(learner, lesson, inputs, targets):
        calls.append(0)
        if len(calls) > 2 * 3:  # 180 images in batches of 60
            lesson = replace(lesson, adam=Adam(1e30))
        return learn(learner, lesson, inputs, targets)

    monkeypatch.setattr(epochs, "learn", explosive)
    wanted = ["--rule", "tp", "--batch", "60", "--seeds", "4", "6", "--epochs", "9"]
    status, summary = _run(tmp_path, *wanted)
    assert status == 1
    out = capsys.readouterr().out
    for words in ("epoch 3", "batch", "seed", "layer"):
        assert words in summary["status"]
        assert words in out
    assert summary["epochs"] == 2
    assert _history(tmp_path).sizes["epoch"] == 3
    assert load_network(tmp_path / "weights_seed4_chosen.npz").depth == 2
    assert not (tmp_path / "weights_seed4_end.npz").exists()
    monkeypatch.undo()
    resumed, summary = _run(tmp_path, *wanted, "--resume")  # the last good checkpoint
    assert (resumed, summary["epochs"]) == (0, 9)


# --- how it is called ---


def test_help_explains_every_option_and_imports_nothing_heavy():
    shown = help_of("run_training")
    for action in options()._actions:
        assert action.help, action.dest
        assert action.option_strings[-1] in shown


def test_config_file_counts_as_given_and_the_command_line_wins(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('rule = "bp"\nbatch = 50\nseeds = [4]\nlearning-rate = 0.002\n')
    _, summary = _run(tmp_path / "run", "--config", str(config), "--batch", "40")
    wanted = {"rule": "bp", "batch": 40, "seeds": [4], "learning_rate": 0.002}
    assert summary["config"] == summary["config"] | wanted


def test_progress_goes_to_stderr_and_says_how_long(tmp_path, capsys, monkeypatch):
    from training import report

    monkeypatch.setattr(report, "INTERVAL", 0.0)
    arguments = [word for word in SMALL if word != "--quiet"]
    assert main([*arguments, "--output", str(tmp_path)]) == 0
    words = capsys.readouterr().err.splitlines()
    assert len(words) == 4
    assert "180 images to learn from, 20 to choose by, 360 to test on" in words[0]
    for epoch, line in enumerate(words[1:], 1):
        assert line.startswith(f"epoch {epoch}: loss ")
        assert "on validation" in line
        assert ("left" in line) == (epoch < 3)


# --- bad input: one line, status 2 ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rule", "hebb"], ["hebb", "gait"]),
        (["--preset", "best"], ["best", "reference"]),
        (["--gamma", "0"], ["gamma = 0", "(0, 1]"]),
        (["--gamma", "nan"], ["nan"]),
        (["--learning-rate", "-1"], ["-1", "1e-4"]),
        (["--orthogonality", "-0.1"], ["-0.1"]),
        (["--orthogonality-every", "0"], ["0 is too small"]),
        (["--beta2", "1"], ["beta2", "[0, 1)"]),
        (["--widths", "64", "10"], ["--depth", "--widths", "give one"]),
        (["--batch", "0"], ["0 is too small"]),
        (["--batch", "181"], ["180 to learn from in batches of 181"]),
        (["--epochs", "0"], ["0 is too small"]),
        (["--epochs", "many"], ["'many' is no whole number"]),
        (["--train-images", "9999"], ["9999", "1437"]),
        (["--validation", "1"], ["[0, 1)"]),
        (["--seeds", "1", "1"], ["--seeds: 1 is there twice"]),
        (["--seeds", "4294967296"], ["4294967296 is too large", "2147483647"]),
        (["--depth", "1001"], ["1001 is too large"]),
        (["--spontaneous-samples", "9" * 30], ["too large"]),
        (["--pdf"], ["--pdf does nothing with --no-figures"]),
        (["--data-dir", "nowhere"], ["--data-dir does nothing with data set digits"]),
        (["--output", "no\0name"], ["output folder", "embedded null"]),
        (["--config", "no\0name"], ["embedded null"]),
        (["--rule", "circuit", "--activation", "clipped_tanh"], ["clipped_tanh", "use tanh"]),
        (["--inverse", "learned", "--inverse-before", "99"], ["none of the 27 batches"]),
        (["--rule", "tp", "--gamma", "0.1"], ["--gamma", "nothing with --rule tp"]),
        (["--orthogonality", "0", "--orthogonality-every", "3"], ["nothing", "--orthogonality 0"]),
        (["--orthogonality-by", "inhibition", "--orthogonality", "0"], ["--orthogonality 0"]),
        (
            [
                *("--orthogonality-by", "inhibition", "--lateral-during", "task"),
                *("--spontaneous-samples", "5"),
            ],
            ["--spontaneous-samples", "--lateral-during task"],
        ),
        (
            ["--inverse", "learned", "--inverse-steps", "0", "--inverse-rate", "0.5"],
            ["--inverse-rate", "--inverse-steps 0 and --inverse-before 0"],
        ),
        (
            ["--inverse", "learned", "--inverse-noise", "0", "--inverse-aim", "clean"],
            ["--inverse-aim", "--inverse-noise 0"],
        ),
        (["--seeds", "-1"], ["-1 is too small"]),
        (["--dataset", "cifar"], ["cifar", "digits"]),
        (["--dataset", "mnist", "--data-dir", "nowhere"], ["mnist.npz"]),
        (["--device", "abacus"], ["abacus"]),
        (["--unknown", "1"], ["--unknown", "--help"]),
        (["--pathway", "itp"], ["--pathway", "do nothing", "give --rule circuit"]),
        (["--lateral-rate", "0.5"], ["--lateral-rate", "--orthogonality-by regulariser"]),
        (["--inverse-steps", "3"], ["--inverse-steps", "give --inverse learned"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_bad_values_are_named_with_a_remedy(capsys, tmp_path, arguments, words):
    complaint = _refusal(capsys, "--output", str(tmp_path), *arguments)
    assert all(word in complaint for word in words), complaint
    assert not (tmp_path / "checkpoint.npz").exists()


def test_widths_that_do_not_fit(capsys, tmp_path):
    for widths, words in ((["60", "10"], "64 pixels"), (["64", "5"], "5 units for 10 classes")):
        given = ["--output", str(tmp_path), "--quiet", "--widths", *widths]
        assert words in refusal(capsys, main, *given)


def test_without_pytorch_a_device_is_refused(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    words = _refusal(capsys, "--output", str(tmp_path), "--device", "cpu")
    assert "PyTorch, which is not installed" in words
    assert "NumPy" in words


def test_a_gpu_that_is_not_there_is_refused(capsys, tmp_path):
    pytest.importorskip("torch")
    words = _refusal(capsys, "--output", str(tmp_path), "--device", "cuda:99")
    assert "--device cuda:99 is not to be had" in words


def test_output_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "output folder" in _refusal(capsys, "--output", str(tmp_path / "file"))


@pytest.mark.parametrize("name", ["history.nc", "history.csv", "summary.json"])
def test_a_result_that_cannot_be_written_is_named(capsys, tmp_path, name):
    """A folder is in the way; the checkpoint is there all the same, and the run can go on."""
    (tmp_path / name).mkdir()
    words = _refusal(capsys, "--output", str(tmp_path), "--epochs", "1")
    assert f"{name} cannot be written" in words
    (tmp_path / name).rmdir()
    assert _run(tmp_path, "--epochs", "1", "--resume")[0] == 0


def test_a_device_without_numbers_is_refused(capsys, tmp_path):
    pytest.importorskip("torch")
    words = _refusal(capsys, "--output", str(tmp_path), "--device", "meta")
    assert "--device meta is not to be had" in words


def test_runs_from_another_folder(tmp_path):
    """By its path, from elsewhere, with the default folder for its files."""
    done = subprocess.run(
        [*PROGRAM, *SMALL], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "training" / "summary.json").exists()
