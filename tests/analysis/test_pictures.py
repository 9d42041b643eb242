"""Pictures come after the files, and one that cannot be drawn costs nothing else."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from analysis.equilibrium.figures import agreement_by_layer
from models import run_equilibrium, run_feedback_strength, run_figures, run_training

BROKEN = [  # main, arguments, module and registry of its pictures, which one fails, status
    (
        run_equilibrium.main,
        ["--batch", "5", "--widths", "64", "20", "10", "--no-brian2"],
        ("analysis.equilibrium.figures", "EQUILIBRIUM", "updates"),
        {"settling.png", "agreement.png", "shifts.png", "summary.json", "equilibrium.nc"},
        0,  # the status is that of the circuit
    ),
    (
        run_training.main,
        ["--train-images", "90", "--depth", "1", "--epochs", "2"],
        ("training.figures", "TRAINING", "learning_curves"),
        {"layers.png", "summary.json", "history.nc"},
        0,
    ),
    (
        run_feedback_strength.main,
        ["--studies", "strength", "--scale", "smoke", "--workers", "0", "--seeds", "1"],
        ("studies.strength.figures", "FIGURES", "strength_gain"),
        {"strength_alignment.png", "strength_error.png", "strength.nc"},
        1,
    ),
]


@pytest.mark.usefixtures("rough_pictures")
@pytest.mark.parametrize(
    ("main", "arguments", "registry", "files", "status"),
    BROKEN,
    ids=["equilibrium", "training", "feedback_strength"],
)
def test_a_picture_that_fails_is_one_line(
    main, arguments, registry, files, status, measured, tmp_path, monkeypatch, capsys
):
    module, name, picture = registry
    if "strength" in arguments:
        measured("strength", 1, tmp_path)
    drawings = getattr(importlib.import_module(module), name)
    needed, _ = drawings[picture]

    def breaks(data):
        raise RuntimeError("no\nLaTeX here")

    monkeypatch.setitem(drawings, picture, (needed, breaks))
    assert main([*arguments, "--quiet", "--output", str(tmp_path)]) == status
    found = {path.name for path in tmp_path.iterdir()}
    assert files <= found
    assert f"{picture}.png" not in found
    said = capsys.readouterr().err
    program = main.__module__.rsplit(".", 1)[-1]
    words = f"{program}: warning: {picture} could not be drawn (RuntimeError: no LaTeX here)\n"
    assert said == words


def test_a_figure_of_runs_that_cannot_be_drawn_is_status_1(tmp_path, monkeypatch, capsys):
    from studies.paper_figures import figures

    def breaks(data):
        raise ValueError("x" * 1000)

    monkeypatch.setitem(figures.FIGURES, "fig2c", breaks)
    arguments = ["fig2c", "--rules", "bp", "--workers", "0", "--quiet", "--output", str(tmp_path)]
    assert run_figures.main(arguments) == 1
    assert (tmp_path / "fig2c.nc").exists()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert len(said) < 400


def test_a_matplotlib_that_cannot_be_imported_costs_the_pictures_alone(
    tmp_path, monkeypatch, capsys
):
    import models.run_equilibrium as command

    def fails(*_):
        raise ValueError("backend: 'nonsense' is not a valid value")

    monkeypatch.setattr(command, "_drawings", fails)
    arguments = ["--batch", "5", "--depth", "1", "--no-brian2", "--quiet"]
    assert command.main([*arguments, "--output", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"equilibrium.nc", "summary.json"}
    assert "pictures could not be drawn (ValueError: backend" in capsys.readouterr().err


def test_pictures_need_no_latex_whatever_a_matplotlibrc_says(tmp_path, capsys):
    with mpl.rc_context({"text.usetex": True}):
        arguments = ["--batch", "5", "--depth", "1", "--no-brian2", "--quiet"]
        assert run_equilibrium.main([*arguments, "--output", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*.png"))) == 4
    assert capsys.readouterr().err == ""


CLAIMS = (
    "only carries makes needs helps costs keeps breaks broken bears deeper stronger weaker never"
)


def test_titles_name_what_is_drawn_and_leave_laws_to_the_pages() -> None:
    """The words of a title stand over a user's own data too, whatever these show."""
    root, seen = Path(__file__).parents[2], 0
    for path in (
        path for floor in ("analysis", "studies") for path in (root / floor).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "headline":
                parts = [one for one in ast.walk(node) if isinstance(one, ast.Constant)]
                text = " ".join(str(one.value) for one in parts).lower()
                seen += 1
                assert not set(re.findall(r"[a-z]+", text)) & set(CLAIMS.split()), (path, text)
    assert seen > 20


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"agrees": 1}, "the circuit's update is that of GAIT-prop"),
        ({"agrees": 0, "verdict": "The equilibrium does not"}, "update is not that of GAIT-prop"),
        ({"agrees": 0, "verdict": "Whether the equi"}, "may or may not be (its bound decides"),
        ({"agrees": 0, "status": "cycling"}, "The circuit did not settle (cycling)"),
    ],
)
def test_the_title_of_the_agreement_is_the_verdict(attributes, words):
    data = xr.Dataset(
        {
            "cosine": (("rule", "layer"), np.ones((1, 2))),
            "relative_error": (("rule", "layer"), np.full((1, 2), 0.01)),
            "bound": ("layer", np.full(2, 0.02)),
        },
        coords={"rule": ["gait"], "layer": [1, 2]},
        attrs={"pathway": "gait", "status": "converged", "verdict": "The"} | attributes,
    )
    assert words in agreement_by_layer(data).get_suptitle()
