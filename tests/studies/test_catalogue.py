"""The table of studies, the doors of their folders, and lists of cells."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from analysis.sweep.study import Study, grid, together, unmeasured
from models import run_feedback_strength, run_open_questions
from studies.catalogue import STUDIES

ROOT = Path(__file__).resolve().parents[2]
PAPER = "paper_figures"  # of the command that draws the paper's figures, a run at a time


def test_every_folder_is_in_the_table_and_every_study_has_its_command() -> None:
    folders = {path.parent.name for path in (ROOT / "studies").glob("*/__init__.py")}
    assert folders - {PAPER} == set(STUDIES)
    assert {*run_feedback_strength.STUDIES, *run_open_questions.QUESTIONS} == set(STUDIES)


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_its_three_doors(name: str) -> None:
    entry = STUDIES[name]
    study = entry.door("study").study("smoke")
    assert isinstance(study, Study)
    assert (study.name, study.version) == (name, entry.door("study").VERSION)
    assert study.measure is entry.door("study").measure
    assert all(callable(draw) for _, draw in entry.door("figures").FIGURES.values())
    assert callable(entry.door("findings").findings)


def test_who_measures_cells_loads_no_pictures() -> None:
    """A worker that is sent a measure imports its file, and neither matplotlib nor Brian2."""
    names = [f"{entry.package}.study" for entry in STUDIES.values()]
    program = (
        f"import sys, {', '.join(names)}, studies.{PAPER}.study\n"
        "print([name for name in ('matplotlib', 'brian2') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_grid_has_every_combination_the_last_axis_fastest() -> None:
    found = grid({"width": 8}, seed=(1, 2), gamma=(0.1, 0.2, 0.3), unit=("tanh",))
    assert found == [
        {"width": 8, "seed": seed, "gamma": gamma, "unit": "tanh"}
        for seed, gamma in product((1, 2), (0.1, 0.2, 0.3))
    ]


def test_values_that_go_together_are_one_axis() -> None:
    how = ({"rule": "bp"}, {"rule": "itp", "gamma": 0.1})
    assert grid({"gamma": 1.0}, how=how, seed=(3, 4)) == [
        {"gamma": 1.0, "rule": "bp", "seed": 3},
        {"gamma": 1.0, "rule": "bp", "seed": 4},
        {"gamma": 0.1, "rule": "itp", "seed": 3},
        {"gamma": 0.1, "rule": "itp", "seed": 4},
    ]


def test_what_is_not_measured_has_its_labels_and_no_value() -> None:
    data = unmeasured({"layer": [1, 2, 3], "rule": ["bp"]}, cosine=("rule", "layer"), bound=())
    assert data["cosine"].shape == (1, 3)
    assert data["cosine"].sel(rule="bp")["layer"].values.tolist() == [1, 2, 3]
    assert np.isnan(data["cosine"].values).all() and np.isnan(data["bound"].item())
    assert data["status"].item() == "converged"


def test_parts_together_have_the_same_parameters() -> None:
    first, second = grid({"part": "a"}, depth=(1, 2)), grid({"part": "b"}, rule=("bp",))
    assert together(first, second) == (
        {"part": "a", "depth": 1, "rule": None},
        {"part": "a", "depth": 2, "rule": None},
        {"part": "b", "depth": None, "rule": "bp"},
    )
