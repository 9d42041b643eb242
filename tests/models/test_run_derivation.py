"""The command that holds the derivation against the library, as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from analysis import canvas
from analysis.derivation import claims, equilibria
from analysis.derivation.figures import DERIVATION
from models.run_derivation import main, options
from tests.commands import help_of, refusal

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--only", "eq10-order", "closed-form-unequal", "--seeds", "3", "--no-figures", "--quiet"]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """Exit status, folder and summary of the whole table at its smallest."""
    folder = tmp_path_factory.mktemp("derivation")
    status = main(["--scale", "smoke", "--seeds", "1", "--pdf", "--quiet", "--output", str(folder)])
    return status, folder, json.loads((folder / "derivation.json").read_text(encoding="utf-8"))


def test_every_claim_holds_and_every_control_is_there(smoke):
    status, _, summary = smoke
    assert status == 0
    rows = {row["claim"]: row for row in summary["claims"]}
    assert list(rows) == list(claims.CLAIMS)
    for row in rows.values():
        assert row["holds"], row["worst"]
        assert (row["error"] > row["bound"]) == row["control"]
        assert row["link"].startswith("docs/derivation.md#")
        assert row["equation"]
        assert row["decided"] + len(row["undecided"]) == row["checks"]
    controls = {name for name, row in rows.items() if row["control"]}
    assert controls == {"not-itp", "not-tp", "not-gait", "not-one-circuit", "not-mismatch"} | {
        "not-grait",
        "not-as-printed",
        "not-grait-mismatch",
        "not-grait-spectrum",
    }
    assert summary["holds"]
    assert summary["seeds"] == [1]
    assert summary["versions"]["numpy"] == np.__version__


def test_networks_are_as_promised(smoke):
    """Depth 1 to 30, width 8 to 256, gamma 1e-6 to 0.5 (and 0.8 for spectra)."""
    _, folder, _ = smoke
    with xr.open_dataset(folder / "derivation.nc") as data:
        assert (data["depth"].min(), data["depth"].max()) == (1, 30)
        assert data["width"].max() == 256
        assert (np.nanmin(data["gamma"]), np.nanmax(data["gamma"])) == (1e-6, 0.8)
        assert set(data["units"].values) == {"linear", "leaky_relu", "asinh"}
        assert set(data["init"].values) == {"orthogonal", "gaussian", "unequal_rows"}
        assert data["holds"].values.all()
        assert "hold" in data.attrs["verdict"]


def test_figures_are_drawn_from_the_file_alone(smoke, tmp_path):
    _, folder, _ = smoke
    with xr.open_dataset(folder / "derivation.nc") as opened:
        data = opened.load()
    paths = canvas.draw(DERIVATION, data, tmp_path)
    assert [path.name for path in paths] == ["fig1.png", "fig1_circuit.png", "orders.png"]
    for path in paths:
        assert (folder / path.name).read_bytes() == path.read_bytes()
        assert 5_000 < path.stat().st_size < 150 * 1024
        assert (folder / path.name).with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_the_scatter_says_what_the_paper_says(smoke):
    """GAIT-prop is BP with orthogonal weights, in the rule and in the circuit; nothing else is."""
    _, folder, _ = smoke
    with xr.open_dataset(folder / "derivation.nc") as data:
        cosine = data["scatter_cosine"]
        for source in data["source"].values:
            assert float(cosine.sel(source=source, weights="gaussian")) < 0.3
            orthogonal = float(cosine.sel(source=source, weights="orthogonal"))
            assert orthogonal > 0.99 if "gait" in source else orthogonal < 0.9


def test_a_wrong_prediction_exits_with_1(monkeypatch, tmp_path, capsys):
    """c_l off by a part in 10^4: found out, named, and written down as failing."""
    right = equilibria.printed_gain
    monkeypatch.setattr(equilibria, "printed_gain", lambda *given: 1.0001 * right(*given))
    arguments = ["--only", "closed-form", "eq10-order", "--seeds", "1", "--no-figures"]
    assert main([*arguments, "--output", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "Does not hold: closed-form." in said
    assert "FAILS" in said
    assert "docs/derivation.md#3-the-itp-circuit-in-closed-form" in said
    summary = json.loads((tmp_path / "derivation.json").read_text(encoding="utf-8"))
    assert [row["holds"] for row in summary["claims"]] == [True, False]
    assert not summary["holds"]


def test_same_seeds_give_the_same_rows_and_others_others(tmp_path):
    found = []
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        main([*QUICK, "--seeds", seed, "--output", str(tmp_path / name)])
        text = (tmp_path / name / "derivation.json").read_text(encoding="utf-8")
        found.append(json.loads(text)["claims"])
    assert found[0] == found[1] != found[2]


def test_runs_from_another_folder(tmp_path):
    command = [sys.executable, str(ROOT / "models" / "run_derivation.py"), *QUICK]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (tmp_path / "results" / "derivation" / "derivation.json").exists()


def test_help_explains_every_option_and_imports_nothing_heavy():
    shown = help_of("run_derivation")
    for action in options()._actions:
        assert action.help, action.dest
        assert action.option_strings[-1] in shown


def test_config_file(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('only = ["eq10-order"]\nseeds = [7]\nno-figures = true\nquiet = true\n')
    assert main(["--config", str(config), "--seeds", "8", "--output", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / "derivation.json").read_text(encoding="utf-8"))
    assert summary["seeds"] == [8]
    assert [row["claim"] for row in summary["claims"]] == ["eq10-order"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "eq99"], ["'eq99' is unknown", "eq8"]),
        (["--seeds", "-1"], ["-1 is too small", "0 or more"]),
        (["--seeds", "one"], ["'one' is no whole number"]),
        (["--seeds", "1", "1"], ["1 is there twice"]),
        (["--seeds", "4294967296"], ["4294967296 is too large"]),
        (["--pdf", "--no-figures"], ["--pdf does nothing with --no-figures"]),
        (["--scale", "huge"], ["huge", "smoke"]),
        (["--config", "no.toml"], ["no.toml"]),
        (["--unknown"], ["--unknown", "--help"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_status_2(capsys, tmp_path, arguments, words):
    complaint = refusal(capsys, main, *arguments, "--output", str(tmp_path))
    assert all(word in complaint for word in words), complaint


def test_output_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "output folder" in refusal(capsys, main, *QUICK, "--output", str(tmp_path / "file"))


@pytest.mark.parametrize("name", ["derivation.nc", "derivation.json"])
def test_a_result_that_cannot_be_written_is_named(capsys, tmp_path, name):
    (tmp_path / name).mkdir()
    only = ["--only", "eq8", "--seeds", "1", "--no-figures", "--output", str(tmp_path)]
    with pytest.raises(SystemExit) as leaving:
        main(only)
    assert leaving.value.code == 2
    assert f"{name} cannot be written" in capsys.readouterr().err


def test_an_interrupted_run_leaves_earlier_files_as_they_were(monkeypatch, tmp_path, capsys):
    main([*QUICK, "--output", str(tmp_path)])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def interrupted(claim, plan):
        raise KeyboardInterrupt

    monkeypatch.setattr(claims, "judge", interrupted)
    assert main([*QUICK, "--output", str(tmp_path)]) == 130
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert "interrupted" in capsys.readouterr().err
