"""What a session asks of a settled circuit: report, labelled arrays, a picture, a file."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from circuit import (
    CircuitError,
    Equilibrium,
    begin,
    build_circuit,
    initialise,
    open_results,
    settle,
    updates,
)
from circuit.learned_inverse.inverse_model import InverseModel
from circuit.report import report, tables
from circuit.storage import load_network
from models import run_equilibrium

ROOT = Path(__file__).resolve().parents[3]


def settled(pathway="gait", unit="asinh", method="direct", **options):
    rng = np.random.default_rng(5)
    network = initialise([12, 12, 9, 6], rng, activation=unit, n_outputs=4)
    circuit = build_circuit(network, pathway, [0.02, 0.03, 0.05], time_constant=0.02)
    trial = begin(circuit, rng.random((5, 12)), 0.3 * rng.random((5, 4)))
    return settle(trial, method, **options)


def test_a_record_reports_as_the_report_does():
    record = settled()
    found, other = record.report("mismatch"), report(record, "mismatch")
    assert found.verdict == other.verdict
    text = str(found)
    assert text.startswith(tables(other))
    assert " ".join(text.split()).endswith(other.verdict)  # wrapped, not shortened
    assert max(map(len, text[text.index("The equilibrium") :].splitlines())) <= 100
    with pytest.raises(CircuitError, match="read-out 'rate' is unknown"):
        record.report("rate")


def test_labelled_arrays_hold_the_shifts():
    record = settled()
    data = record.to_xarray()
    assert isinstance(data, xr.Dataset)
    for layer in (1, 2, 3):
        scale = 10.0 ** data[f"shift_per_gain_{layer}"].attrs["log10_gain"]
        np.testing.assert_allclose(
            data[f"shift_per_gain_{layer}"] * scale, record.shifts.absolute(layer), rtol=1e-12
        )
    assert data.attrs["verdict"] == record.report().verdict
    assert data.equals(record.to_xarray())  # nothing in it is drawn anew


@pytest.mark.parametrize("pathway", ["gait", "itp", "grait"])
@pytest.mark.parametrize("method", ["direct", "ode"])
def test_a_record_comes_back_bit_for_bit(tmp_path, pathway, method):
    record = settled(pathway, method=method)
    record.save(tmp_path / "record.npz")
    back = Equilibrium.load(str(tmp_path / "record.npz"))
    for name in ("status", "sample_status", "relative_residuals", "tolerance", "evaluations"):
        assert getattr(back, name) == getattr(record, name)
    for name in ("steps", "model_time", "seconds", "method"):
        assert getattr(back, name) == getattr(record, name)
    assert back.shifts.scales == record.shifts.scales
    assert back.shifts.gains == record.shifts.gains
    assert back.trial.circuit.strengths == (0.02, 0.03, 0.05)
    assert back.trial.circuit.pathway is record.trial.circuit.pathway
    assert back.trial.doubt == record.trial.doubt
    for mine, theirs in (
        (back.shifts.values, record.shifts.values),
        (back.trial.activity.rates, record.trial.activity.rates),
        (back.trial.activity.slopes, record.trial.activity.slopes),
        ((back.trial.error,), (record.trial.error,)),
    ):
        for one, other in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(one, other, strict=True)
    assert repr(back) == repr(record)
    changes = [updates(one.trial.network, one.trial.activity, one.shifts) for one in (back, record)]
    for one, other in zip(*changes, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)
    assert back.report().verdict == record.report().verdict


def test_what_did_not_settle_is_kept_as_what_it_is(tmp_path):
    record = settled(method="sweep", max_steps=1, tolerance=1e-14, must_converge=False)
    record.save(tmp_path / "record.npz")
    back = Equilibrium.load(tmp_path / "record.npz")
    assert not back.converged
    assert back.failure() == record.failure()


def test_the_file_is_a_weights_file_without_pickles(tmp_path):
    record = settled()
    record.save(tmp_path / "record.npz")
    network = load_network(tmp_path / "record.npz")
    np.testing.assert_array_equal(network.weights[1], record.trial.network.weights[1])
    with np.load(tmp_path / "record.npz", allow_pickle=False) as members:
        assert all(members[name].dtype.kind in "iufU" for name in members)


def changed(path, **members):
    """The file with other members."""
    with np.load(path) as old:
        np.savez(path, **(dict(old) | members))


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("record_version", np.array(7), "version is 7"),
        ("pathway", np.array("up"), "pathway 'up' is unknown"),
        ("delta_2", np.zeros((5, 4)), "shifts of shapes"),
        ("error", np.zeros((5, 4)), "shifts of shapes"),
        ("y_1", np.zeros((4, 12)), "activity of shapes"),
        ("status", np.array("fine"), "'fine' is not a valid Status"),
        ("sample_status", np.array(["converged"] * 4), "statuses"),
        ("relative_residuals", np.zeros(2), "residuals"),
        ("strengths", np.array([0.1, 0.2, 3.0]), "outside"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, member, value, words):
    path = tmp_path / "record.npz"
    settled().save(path)
    changed(path, **{member: value})
    with pytest.raises(CircuitError, match=words) as refusal:
        Equilibrium.load(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_missing_files_and_wrong_names_are_one_line(tmp_path):
    with pytest.raises(CircuitError, match="no such file"):
        Equilibrium.load(tmp_path / "record.npz")
    with pytest.raises(CircuitError, match=r"must end in \.npz"):
        settled().save(tmp_path / "record.h5")
    with zipfile.ZipFile(tmp_path / "other.npz", "w"):
        pass
    with pytest.raises(CircuitError, match="it has no 'record_version'"):
        Equilibrium.load(tmp_path / "other.npz")


def test_a_picture_shows_what_the_report_says():
    record = settled()
    figure, found = record.plot(), record.report()
    sizes, cosines, errors = figure.axes
    (circuit,) = [line for line in sizes.lines if line.get_label() == "in the circuit"]
    expected = [
        np.log10(np.mean(np.sum(record.shifts.absolute(i) ** 2, axis=1)) ** 0.5) for i in (1, 2, 3)
    ]
    np.testing.assert_allclose(circuit.get_ydata(), expected, rtol=1e-12)
    (own,) = [line for line in cosines.lines if line.get_label() == "GAIT-prop"]
    np.testing.assert_array_equal(
        own.get_ydata(), [layer.updates["gait"].cosine for layer in found.layers]
    )
    assert errors.get_yscale() == "log"
    assert figure.get_suptitle().startswith("converged, 5 images; gait pathway, gamma 0.02 0.03")
    assert figure._repr_png_()[:4] == b"\x89PNG"


def test_a_picture_is_drawn_once_and_to_the_bit_what_matplotlib_writes(monkeypatch):
    """matplotlib draws everything twice, the first time only to find the layout."""
    figure, draws = settled().plot(), []
    draw = type(figure).draw
    monkeypatch.setattr(type(figure), "draw", lambda *given: (draws.append(given), draw(*given)))
    once, twice, not_laid_out = io.BytesIO(), io.BytesIO(), io.BytesIO()
    figure.write_png(once)
    assert len(draws) == 1
    settled().plot().savefig(twice)
    assert len(draws) == 3
    assert once.getvalue() == twice.getvalue()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position([0.1, 0.1, 0.2, 0.8])
    figure.write_png(not_laid_out)
    assert once.getvalue() != not_laid_out.getvalue()


def test_drawing_leaves_matplotlib_as_it_was_and_takes_nothing_from_it(tmp_path):
    """Another backend is the user's, so are the windows; what a matplotlibrc says shows nowhere."""
    record, plain = settled(), io.BytesIO()
    record.plot().savefig(plain)
    program = (
        "import matplotlib as mpl\n"
        "mpl.use('pdf')\n"
        "mpl.rcParams.update({'text.usetex': True, 'font.size': 30, 'lines.linewidth': 9,\n"
        "    'figure.dpi': 31, 'savefig.dpi': 33, 'axes.facecolor': 'red'})\n"
        "before = dict(mpl.rcParams)\n"
        "import sys\n"
        "from tests.circuit.report.test_record_doors import settled\n"
        "import analysis.canvas\n"
        "with open(sys.argv[1], 'wb') as file:\n"
        "    settled().plot().savefig(file)\n"
        "print(mpl.get_backend(), dict(mpl.rcParams) == before)\n"
        "print([name for name in sys.modules if name == 'matplotlib.pyplot'])\n"
    )
    path = tmp_path / "picture.png"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split("\n")[:2] == ["pdf True", "[]"], done.stderr
    assert path.read_bytes() == plain.getvalue()


def test_results_of_a_command_are_opened(tmp_path, capsys):
    arguments = ["--batch", "5", "--depth", "1", "--no-brian2", "--quiet"]
    assert run_equilibrium.main([*arguments, "--output", str(tmp_path)]) == 0
    verdict = " ".join(capsys.readouterr().out.split())
    found = open_results(str(tmp_path))
    assert found.summary["verdict"] == verdict
    assert found.data["equilibrium"].attrs["verdict"] == verdict
    assert found.data["equilibrium"].sizes["sample"] == 5
    assert {"agreement", "shifts", "updates"} <= set(found.pictures)
    assert repr(found).startswith(f"Results({tmp_path.name}, equilibrium, 4 pictures, The equilib")
    assert "<table>" in found._repr_html_()


def test_folders_without_results_are_one_line(tmp_path):
    with pytest.raises(CircuitError, match="no such folder"):
        open_results(tmp_path / "none")
    with pytest.raises(CircuitError, match="it holds none"):
        open_results(tmp_path)
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(CircuitError, match="cannot be read"):
        open_results(tmp_path)
    (tmp_path / "summary.json").write_text("[]")
    with pytest.raises(CircuitError, match="is no summary"):
        open_results(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    (tmp_path / "study.nc").write_bytes(b"CDF")
    with pytest.raises(CircuitError, match="is no NetCDF file"):
        assert open_results(tmp_path).data


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("feedback", ["pseudo-inverse", "matrices"])
def test_feedback_through_other_matrices_comes_back(feedback, corrected, tmp_path):
    """Bit for bit, settled again to the same state, and not as the exact inverse."""
    rng = np.random.default_rng(5)
    network = initialise([12, 12, 9, 6], rng, activation="asinh", auxiliary=False)
    if feedback == "matrices":
        pinvs = [np.linalg.pinv(weights) for weights in network.weights[1:]]
        moved = tuple(B + 0.02 * rng.normal(size=B.shape) for B in pinvs)
        feedback = InverseModel(moved, tuple(rng.normal(size=len(B)) / 9 for B in moved))
    circuit = build_circuit(network, "gait", 0.02, feedback=feedback, corrected=corrected)
    record = settle(begin(circuit, rng.random((5, 12)), 0.3 * rng.random((5, 6))))
    record.save(tmp_path / "record.npz")
    found = Equilibrium.load(tmp_path / "record.npz")
    assert found.trial.circuit.corrected is corrected
    assert (found.trial.still is None) is corrected
    for layer in (1, 2, 3):
        np.testing.assert_array_equal(
            found.shifts.absolute(layer), record.shifts.absolute(layer), strict=True
        )
    assert found.error_bounds == record.error_bounds
    assert found.report().verdict == record.report().verdict
    again = settle(found.trial)
    for layer in (1, 2, 3):
        one, other = again.shifts.absolute(layer), record.shifts.absolute(layer)
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-12 * np.abs(other).max())
    members = dict(np.load(tmp_path / "record.npz"))
    assert members["record_version"] == 2
    np.savez(tmp_path / "newer.npz", **(members | {"record_version": np.array(3)}))
    with pytest.raises(CircuitError, match="only 1 and 2 are known"):
        Equilibrium.load(tmp_path / "newer.npz")
