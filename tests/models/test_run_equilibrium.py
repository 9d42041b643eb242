"""The main command as a user meets it: files, exit status, words, and bad input."""

import errno
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from circuit import begin, build_circuit, initialise
from circuit.errors import NotFinite
from circuit.methods import ode
from models.command import equilibrium_in_time
from models.run_equilibrium import main, options
from tests.commands import help_of, refusal

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--batch", "6", "--no-brian2", "--no-figures", "--quiet"]


def _run(tmp_path, *arguments):
    """Exit status and summary of the command."""
    status = main([*SMALL, "--output", str(tmp_path), *arguments])
    return status, json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))


def _refusal(capsys, *arguments):
    """The line with which the command, on few images, refuses."""
    return refusal(capsys, main, *SMALL, *arguments)


# --- what it finds and writes ---


def test_default_circuit_carries_gait_prop_and_back_propagation(tmp_path):
    """Orthogonal weights, leaky-ReLU, gamma 0.01: the update is GAIT-prop's, and so BP's (Eq. 21),
    to first order in gamma; it is not that of ITP or TP."""
    status, summary = _run(tmp_path, "--batch", "60")
    assert status == 0
    assert summary["status"] == "converged"
    for layer in summary["layers"]:
        gait, bp = layer["updates"]["gait"], layer["updates"]["bp"]
        assert gait["cosine"] > 1 - 1e-4
        assert gait["relative_error"] < min(layer["update_bound"], 0.02)
        assert bp["relative_error"] < 0.02
        assert layer["relative_residual"] <= summary["method"]["tolerance"]
        assert layer["brian2"] is None
    hidden = summary["layers"][:-1]
    assert all(layer["updates"][rule]["cosine"] < 0.9 for layer in hidden for rule in ("itp", "tp"))


def test_negative_control_gaussian_weights_break_back_propagation(tmp_path):
    """With Gaussian weights the circuit still carries GAIT-prop, but GAIT-prop is not BP."""
    status, summary = _run(tmp_path, "--init", "gaussian", "--batch", "60")
    assert status == 0
    assert all(layer["updates"]["bp"]["cosine"] < 0.7 for layer in summary["layers"][:-1])


def test_itp_pathway_carries_itp_not_back_propagation(tmp_path):
    status, summary = _run(tmp_path, "--pathway", "itp", "--batch", "60")
    assert status == 0
    assert all(layer["updates"]["itp"]["cosine"] > 0.999 for layer in summary["layers"])
    assert all(layer["updates"]["bp"]["cosine"] < 0.9 for layer in summary["layers"][:-1])


@pytest.mark.usefixtures("rough_pictures")
@pytest.mark.parametrize("pathway", ["gait", "grait"])
def test_rectangles_without_auxiliary_units_through_the_pseudo_inverse(tmp_path, pathway):
    """W^+ = W^T N^-2 for orthogonal rows of any length and shape: GRAIT-prop through it is
    back-propagation (docs/derivation.md, section 8), GAIT-prop is not. Brian2 has the same shifts.
    """
    shape = ["--widths", "64", "32", "24", "10", "--feedback", "pseudo-inverse"]
    arguments = [*shape, "--init", "unequal_rows", "--pathway", pathway, "--activation", "asinh"]
    built = ["--batch", "6", "--quiet", "--brian2-images", "2", "--output", str(tmp_path)]
    assert main([*built, *arguments]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["method"]["name"] == "sweep"
    for layer in summary["layers"]:
        assert layer["updates"][pathway]["relative_error"] <= layer["update_bound"] < 0.1
        assert layer["error_bound"] < 1e-7
        assert layer["brian2"]["relative_error"] < 100 * layer["brian2"]["float_floor"]
    cosines = [layer["updates"]["bp"]["cosine"] for layer in summary["layers"]]
    if pathway == "grait":
        assert min(cosines) > 1 - 1e-4
    else:
        assert cosines[0] < 0.99
    data = xr.open_dataset(tmp_path / "equilibrium.nc")
    for layer, (read, units) in enumerate([(64, 32), (32, 24), (24, 10)], 1):
        there = data.sel(layer=layer)
        for name, count in (("synapse_pre", read), ("synapse_post", units)):
            assert there[name].values.max() == count - 1
    data.close()


def test_itp_through_another_feedback_is_decided(tmp_path):
    """Its mismatches are in other ratios than its gains, and known ones."""
    arguments = ["--feedback", "pseudo-inverse", "--pathway", "itp", "--widths", "64", "30", "12"]
    status, summary = _run(tmp_path, *arguments)
    assert status == 0
    assert summary["status"] == "converged"
    assert summary["undecided_layers"] == []


def test_a_circuit_without_equilibrium_exits_with_1(tmp_path, capsys):
    """Strong feedback through a GAIT pathway with kinks, and a method that does not find where all
    of the images rest: it says so.
    """
    status, summary = _run(tmp_path, "--gamma", "0.7", "--batch", "30", "--method", "direct")
    assert status == 1
    assert summary["status"] != "converged"
    assert "did not settle" in capsys.readouterr().out


def test_an_update_outside_the_bound_exits_with_1(tmp_path, monkeypatch):
    """The verdict depends on the update: a circuit read out wrongly is not called right."""
    from circuit.outcome import Equilibrium

    right = Equilibrium.read_out

    def wrong(record, readout="shift"):
        shifts = right(record, readout)
        return shifts.with_values((1.5 * shifts.values[0], *shifts.values[1:]))

    monkeypatch.setattr(Equilibrium, "read_out", wrong)
    status, summary = _run(tmp_path)
    assert status == 1
    assert not summary["agrees"]
    assert "does not carry" in summary["verdict"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--pathway", "itp"],
        ["--init", "gaussian"],
        ["--gamma", "0.3", "--activation", "asinh", "--readout", "mismatch"],
    ],
    ids=" ".join,
)
def test_what_the_readme_asks_is_decided_in_every_layer(tmp_path, arguments):
    """A relative error of 1.5e-3 does not pass under a bound of 1/2, which would decide nothing."""
    status, summary = _run(tmp_path, "--batch", "60", *arguments)
    assert status == 0
    decided = [layer["update_bound"] < 0.5 for layer in summary["layers"]]
    assert sum(decided) == 4
    assert summary["undecided_layers"] == []


@pytest.mark.usefixtures("rough_pictures")
def test_units_at_their_kink_are_told_of(tmp_path, capsys):
    """At gamma = 0.2 every image settles, some sliding, also where a figure is drawn."""
    arguments = ["--gamma", "0.2", "--batch", "20", "--depth", "2", "--no-brian2"]
    main([*arguments, "--output", str(tmp_path)])
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["status"] == "converged"
    assert "rest at their kink" in capsys.readouterr().out


def test_a_bound_that_decides_nothing_exits_with_3(tmp_path):
    """float32 through Gaussian weights: the tolerance alone could explain any error in layer 1."""
    arguments = ["--init", "gaussian", "--precision", "float32"]
    status, summary = _run(tmp_path, "--batch", "60", *arguments)
    assert status == 3
    assert summary["status"] == "converged"
    undecided = [layer["layer"] for layer in summary["layers"] if layer["update_bound"] >= 0.5]
    assert undecided == summary["undecided_layers"]
    assert 1 in undecided
    assert f"undecided in layers {', '.join(map(str, undecided))}:" in summary["verdict"]
    assert "3 it settled" in " ".join(help_of("run_equilibrium").split())


def test_summary_has_the_promised_form(tmp_path):
    _, summary = _run(tmp_path, "--seed", "3")
    assert {"status", "verdict", "config", "versions", "seed", "seconds", "layers"} <= set(summary)
    assert summary["seed"] == summary["config"]["seed"] == 3
    assert summary["versions"]["numpy"] == np.__version__
    assert [layer["layer"] for layer in summary["layers"]] == [1, 2, 3, 4]
    for layer in summary["layers"]:
        wanted = {"layer", "shift_norm", "relative_residual", "error_bound", "updates", "brian2"}
        assert wanted <= set(layer)
        assert set(layer["updates"]) == {"gait", "grait", "itp", "tp", "bp"}
        for entry in layer["updates"].values():
            assert set(entry) == {"cosine", "relative_error", "norm_ratio"}


def test_labelled_arrays_open_in_xarray(tmp_path):
    _, summary = _run(tmp_path)
    with xr.open_dataset(tmp_path / "equilibrium.nc") as data:
        assert data.sizes["layer"] == 4
        assert data["input"].dims == ("sample", "unit_0")
        assert data.attrs["verdict"] == summary["verdict"]
        # the shift of the last layer is the nudge towards the target
        outputs = data["forward_rate_4"].values[:, :10]
        error = np.eye(10)[data["label"].values] - outputs
        np.testing.assert_allclose(data["shift_per_gain_4"].values[:, :10], error, rtol=0.03)


def test_same_seed_gives_the_same_file_and_another_seed_another(tmp_path):
    _, first = _run(tmp_path / "a", "--seed", "5")
    _, again = _run(tmp_path / "b", "--seed", "5")
    _, other = _run(tmp_path / "c", "--seed", "6")
    assert first["layers"] == again["layers"]
    assert first["layers"] != other["layers"]


def test_brian2_and_figures(tmp_path):
    """The whole of it, small: Brian2 agrees to a few dozen roundings, and every figure is there."""
    arguments = ["--batch", "3", "--depth", "1", "--brian2-images", "1", "--gamma", "0.05"]
    assert main([*arguments, "--pdf", "--output", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    for layer in summary["layers"]:
        assert layer["brian2"]["relative_error"] < 300 * layer["brian2"]["float_floor"]
    for name in ("settling", "updates", "agreement", "shifts"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
        assert (tmp_path / f"{name}.pdf").exists()
    assert not list(tmp_path.glob(".*"))  # no temporary file is left


NARROW = ["--widths", "64", "40", "10", "--batch", "6"]
SYNAPSES = 64 * 40 + 10**2 + 10**2  # of one image: into both layers, and down from the output


@pytest.mark.parametrize(("most", "room"), [(3 * SYNAPSES, 3), (3 * SYNAPSES - 1, 2)])
def test_brian2_simulates_as_many_images_as_fit(tmp_path, capsys, monkeypatch, most, room):
    monkeypatch.setattr("circuit.checks.room.MOST_SYNAPSES", most)
    assert main([*NARROW, "--no-figures", "--output", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["brian2_images"] == room
    for layer in summary["layers"]:
        assert layer["brian2"]["relative_error"] < 300 * layer["brian2"]["float_floor"]
    assert f"Brian2: {room} of 4 images fit" in capsys.readouterr().out


@pytest.mark.usefixtures("rough_pictures")
def test_where_not_even_one_image_fits_brian2_is_left_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("circuit.checks.room.MOST_SYNAPSES", SYNAPSES - 1)
    assert main([*NARROW, "--output", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["brian2_images"] == 0
    assert all(layer["brian2"] is None for layer in summary["layers"])
    assert "not even one image fits" in capsys.readouterr().out
    assert (tmp_path / "settling.png").exists()  # by SciPy


@pytest.mark.parametrize(("room", "remedy"), [(3, "give 3 or less"), (0, "--no-brian2")])
def test_more_images_than_fit_are_refused_before_anything_is_computed(
    tmp_path, capsys, monkeypatch, room, remedy
):
    monkeypatch.setattr("circuit.checks.room.MOST_SYNAPSES", room * SYNAPSES + 7)
    initialise = "circuit.initialisation.networks.initialise"
    monkeypatch.setattr(initialise, lambda *_, **__: pytest.fail("computed"))
    arguments = [*NARROW, "--brian2-images", "4", "--output", str(tmp_path)]
    words = refusal(capsys, main, *arguments)
    assert f"--brian2-images 4 is more than the {room} that fit" in words
    assert remedy in words
    assert not list(tmp_path.iterdir())


def test_what_brian2_cannot_simulate_costs_no_result(tmp_path, capsys, monkeypatch):
    def fails(*_):
        raise NotFinite("a rate is not finite\nin layer 1")

    monkeypatch.setattr(equilibrium_in_time, "simulate", fails)
    assert main([*NARROW, "--no-figures", "--quiet", "--output", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"equilibrium.nc", "summary.json"}
    said = capsys.readouterr().err
    assert said.endswith("Brian2 is left out: a rate is not finite in layer 1\n")
    assert said.count("\n") == 1


def test_what_was_found_is_there_when_brian2_is_stopped(tmp_path, capsys, monkeypatch):
    """It may take minutes; Ctrl-C then costs Brian2's part alone."""

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(equilibrium_in_time, "simulate", stopped)
    assert main([*NARROW, "--no-figures", "--quiet", "--output", str(tmp_path)]) == 130
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["status"] == "converged"
    assert all(layer["brian2"] is None for layer in summary["layers"])
    with xr.open_dataset(tmp_path / "equilibrium.nc") as data:
        assert data.attrs["verdict"] == summary["verdict"]
    assert capsys.readouterr().err.count("\n") == 1


def test_what_was_found_is_there_when_the_picture_in_time_is_stopped(tmp_path, monkeypatch):
    """Without Brian2 SciPy integrates for it, which may take long as well."""

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(equilibrium_in_time, "integrate", stopped)
    arguments = ["--batch", "3", "--depth", "1", "--no-brian2", "--quiet"]
    assert main([*arguments, "--output", str(tmp_path)]) == 130
    assert {"equilibrium.nc", "summary.json"} <= {path.name for path in tmp_path.iterdir()}


def test_steps_of_one_length_end_where_units_slide_and_are_exact_elsewhere(monkeypatch):
    """Error control would ask for ever shorter steps along a kink. Smooth units: as with it."""
    calls, plain = [], ode.velocity
    monkeypatch.setattr(ode, "velocity", lambda *a, **b: calls.append(1) or plain(*a, **b))
    times = 0.01 * np.linspace(0.05, 20, 40)  # of 10 ms
    for unit, gamma in (("leaky_relu", 0.5), ("asinh", 0.1)):
        rng = np.random.default_rng(1)
        network = initialise([16, 16, 16, 16], rng, activation=unit, n_outputs=4)
        trial = begin(
            build_circuit(network, "gait", gamma), rng.random((2, 16)), rng.random((2, 4))
        )
        calls.clear()
        free = ode.free_phase(trial, times, fixed_step=0.02 * 0.01)
        assert 1000 <= len(calls) <= 7 * 20 / 0.02  # stages of a Runge-Kutta pair of order five
    for found, wanted in zip(free, ode.free_phase(trial, times), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-7)


def test_figure_of_settling_without_brian2(tmp_path):
    arguments = ["--batch", "3", "--depth", "1", "--no-brian2", "--quiet"]
    assert main([*arguments, "--output", str(tmp_path)]) == 0
    assert (tmp_path / "settling.png").stat().st_size > 5000


@pytest.mark.parametrize("method", ["sweep", "newton", "ode"])
def test_methods_agree_on_the_result(tmp_path, method):
    _, direct = _run(tmp_path / "direct", "--gamma", "0.02")
    _, other = _run(tmp_path / method, "--gamma", "0.02", "--method", method)
    for one, two in zip(direct["layers"], other["layers"], strict=True):
        assert one["shift_norm"] == pytest.approx(two["shift_norm"], rel=1e-8)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--widths", "64", "40", "20", "10"],
        ["--gamma", "0.02", "0.01", "0.01", "0.03"],
        ["--nudge", "0.1"],
        ["--loss", "cross_entropy"],
        ["--precision", "float32"],
        ["--readout", "mismatch"],
        ["--activation", "asinh", "--gamma", "0.1"],
        ["--activation", "tanh"],
        ["--activation", "linear"],
        ["--depth", "0"],
        ["--depth", "12", "--gamma", "0.001"],
    ],
    ids=" ".join,
)
def test_every_option_does_its_work(tmp_path, arguments):
    status, summary = _run(tmp_path, *arguments)
    assert status == 0, summary["verdict"]


def test_tanh_with_one_hot_targets_has_no_target_propagation(tmp_path):
    """tanh never reaches 1, so the inverse of the target does not exist; the others go on."""
    _, summary = _run(tmp_path, "--activation", "tanh")
    assert all(layer["updates"]["tp"] is None for layer in summary["layers"])
    assert all(layer["updates"]["gait"] is not None for layer in summary["layers"])


# --- how it is called ---


def test_runs_from_another_folder(tmp_path):
    """By its path, from elsewhere, as a file."""
    command = [sys.executable, str(ROOT / "models" / "run_equilibrium.py"), *SMALL]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "equilibrium" / "summary.json").exists()


def test_help_explains_every_option_and_imports_nothing_heavy():
    """--help answers at once because numpy and the like are not imported before it."""
    shown = help_of("run_equilibrium")
    for action in options()._actions:
        assert action.help, action.dest
        assert action.option_strings[-1] in shown


def test_config_file_holds_any_option_and_the_command_line_wins(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('batch = 5\ngamma = [0.02]\n"pathway" = "itp"\nno-figures = true\n')
    _, summary = _run(tmp_path / "a", "--config", str(config), "--batch", "4")
    assert summary["config"]["batch"] == 4
    assert summary["config"]["gamma"] == [0.02]
    assert summary["config"]["pathway"] == "itp"
    tomllib.loads(config.read_text())


# --- bad input: one line, status 2 ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gamma", "0"], ["gamma = 0", "(0, 1)", "0.01"]),
        (["--gamma", "1.5"], ["gamma = 1.5", "(0, 1)"]),
        (["--gamma", "nan"], ["nan"]),
        (["--gamma", "0.1", "0.1"], ["2 feedback strengths for 4 layers"]),
        (["--nudge", "2"], ["gamma = 2 at layer 4"]),
        (["--widths", "64", "32", "40"], ["increase from 32 to 40 at layer 2"]),
        (
            ["--feedback", "pseudo-inverse", "--method", "direct"],
            ["method direct needs the exact inverse as feedback", "use sweep"],
        ),
        (["--widths", "60", "40", "10"], ["60", "64 pixels"]),
        (["--widths", "64", "32", "5"], ["5 units for 10 classes"]),
        (["--gamma", "1e-310"], ["gamma = 1e-310", "1 / gamma overflows"]),
        (["--widths", "64", "10", "--depth", "1"], ["--depth does nothing with --widths"]),
        (["--depth", "9" * 30], ["too large", "1000"]),
        (["--seed", "4294967296"], ["4294967296 is too large"]),
        (["--no-brian2", "--brian2-images", "2"], ["--brian2-images", "--no-brian2"]),
        (["--no-figures", "--pdf"], ["--pdf does nothing with --no-figures"]),
        (["--data-dir", "nowhere"], ["--data-dir does nothing with data set digits"]),
        (["--batch", "0"], ["0 is too small"]),
        (["--batch", "99999"], ["99999"]),
        (["--batch", "many"], ["'many' is no whole number"]),
        (["--tolerance", "-1"], ["tolerance -1.0 is not positive"]),
        (["--tolerance", "1"], ["tolerance 1.0 is not positive and below 1"]),
        (["--dataset", "cifar"], ["cifar", "digits"]),
        (["--activation", "relu"], ["relu", "leaky_relu"]),
        (["--unknown", "1"], ["--unknown", "--help"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_bad_values_are_named_with_a_remedy(capsys, tmp_path, arguments, words):
    complaint = _refusal(capsys, "--output", str(tmp_path), *arguments)
    assert all(word in complaint for word in words), complaint


def test_more_images_for_brian2_than_there_are_is_refused(capsys, tmp_path):
    few = ["--batch", "3", "--brian2-images", "4", "--output", str(tmp_path)]
    assert "--brian2-images 4 is more than the batch of 3" in refusal(capsys, main, *few)


def test_missing_and_broken_data_files(capsys, tmp_path):
    folder = ["--output", str(tmp_path), "--dataset", "mnist", "--data-dir", str(tmp_path)]
    assert "mnist.npz" in _refusal(capsys, *folder)
    (tmp_path / "mnist.npz").write_bytes(b"PK\x03\x04 no archive")
    assert "mnist.npz" in _refusal(capsys, *folder)


def test_output_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "output folder" in _refusal(capsys, "--output", str(tmp_path / "file"))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_output_folder_without_permission_or_room(capsys, tmp_path, monkeypatch, code):
    """The system refuses to make a file there. Permissions alone would not stop the superuser."""

    def refused(*_arguments, **_options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    complaint = _refusal(capsys, "--output", str(tmp_path))
    assert "cannot be written" in complaint
    assert os.strerror(code) in complaint
    assert str(tmp_path) in complaint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["equilibrium.nc", "summary.json"])
def test_a_result_that_cannot_be_written_is_named(capsys, tmp_path, name):
    (tmp_path / name).mkdir()
    assert f"{name} cannot be written" in _refusal(capsys, "--output", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gama = 0.1", ["'gama' is no option", "gamma"]),
        ("gamma = ", ["not TOML"]),
        ("quiet = 3", ["true or false"]),
        ('method = "euler"', ["euler", "direct"]),
        ("batch = { a = 1 }", ["batch"]),
    ],
)
def test_bad_config_files(capsys, tmp_path, text, words):
    config = tmp_path / "bad.toml"
    config.write_text(text)
    complaint = _refusal(capsys, "--config", str(config), "--output", str(tmp_path))
    assert all(word in complaint for word in words), complaint


def test_config_file_that_is_not_there(capsys, tmp_path):
    assert "no.toml" in _refusal(capsys, "--config", str(tmp_path / "no.toml"))


def test_earlier_results_survive_bad_input(capsys, tmp_path):
    """A refused run loses nothing that an earlier one saved."""
    _, before = _run(tmp_path)
    _refusal(capsys, "--output", str(tmp_path), "--gamma", "7")
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == before


def test_the_first_line_comes_before_what_takes_long_to_load(tmp_path):
    """In a process of its own: when the first words reach the pipe, nothing heavy is there yet;
    what comes later is (the control).
    """
    path = str(ROOT / "models" / "run_equilibrium.py")
    script = (
        "import runpy, sys\n"
        "loaded = []\n"
        "class Seen:\n"
        "    def __getattr__(self, name): return getattr(sys.__stdout__, name)\n"
        "    def write(self, text):\n"
        "        loaded.append({'brian2', 'matplotlib', 'xarray', 'sklearn'} & set(sys.modules))\n"
        "        return sys.__stdout__.write(text)\n"
        "sys.stdout = Seen()\n"
        f"sys.argv = ['run', '--batch', '3', '--depth', '1', '--output', {str(tmp_path)!r}]\n"
        "try:\n"
        f"    runpy.run_path({path!r}, run_name='__main__')\n"
        "except SystemExit as leaving:\n"
        "    assert leaving.code == 0\n"
        "assert loaded[0] == set(), loaded[0]\n"
        "assert loaded[-1] >= {'matplotlib', 'xarray'}, loaded[-1]\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 images of digits, layers 64-64-64")
