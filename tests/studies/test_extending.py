"""The study that docs/extending.md shows, run from the page as a reader would."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FLOORS = ("circuit", "analysis", "training", "studies", "models")
TABLE = "studies/catalogue.py"
ARGUMENTS = ("reach", "--scale", "smoke", "--workers", "0", "--quiet", "--output", "here")
DIES = """
import os, signal, sys
sys.path[0] = sys.argv.pop(1)
from analysis.sweep import run
from models.run_open_questions import main
stored, store = [], run.store
def store_three(*what):
    if len(stored) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    stored.append(store(*what))
run.store = store_three
main(sys.argv[1:])
"""


def blocks() -> dict[str, str]:
    """The files that the page shows, by the headings over them; of the table, the new line."""
    found = {}
    for section in PAGE.split("\n### ")[1:]:
        heading, _, text = section.partition("\n")
        if heading.startswith("studies/"):
            (block,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
            found[heading.replace("\\", "")] = block
    return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this project with the study of the page in it."""
    copy = tmp_path_factory.mktemp("extended") / "checkout"
    for floor in FLOORS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / floor, copy / floor, ignore=ignored)
    files = blocks()
    table = copy / TABLE
    before, end, after = table.read_text().partition("\n}\n")
    table.write_text(f"{before}\n{files.pop(TABLE)}}}\n{after}")
    for name, text in files.items():
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text(text)
    assert end
    return copy


def run(checkout: Path, folder: Path, *program: str) -> subprocess.CompletedProcess[str]:
    """The command with the study, in `folder`."""
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, *program, *ARGUMENTS],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def done(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run that nobody interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    ended = run(checkout, folder, str(checkout / "models" / "run_open_questions.py"))
    assert (ended.returncode, ended.stderr) == (0, "")
    return folder / "here"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_page_shows_a_whole_study_in_fewer_than_60_lines() -> None:
    files = blocks()
    doors = {f"studies/reach/{name}.py" for name in ("__init__", "study", "figures", "findings")}
    assert set(files) == doors | {TABLE}
    assert files[TABLE].count("\n") == 1
    assert sum(text.count("\n") for text in files.values()) < 60


def test_the_study_of_the_page_finds_what_theory_says(done: Path) -> None:
    """A shift goes as gamma to the number of layers up to the nudge, but for terms of order L gamma
    (docs/derivation.md, section 5).
    """
    with xr.open_dataset(done / "reach.nc") as data:
        assert set(data["status"].values.tolist()) == {"converged"}
        assert data.sizes == {"cell": 8, "layer": 4}
        cells = data.isel(cell=data["pathway"].values == "gait").groupby("gamma").mean("cell")
        weak, strong = cells["size"].sel(gamma=0.01), cells["size"].sel(gamma=0.1)
    orders = np.log10(strong / weak).values  # gamma differs by ten
    np.testing.assert_allclose(orders, [4, 3, 2, 1], atol=np.log10(1 + 4 * 0.1))
    assert (done / "reach.png").is_file()


@pytest.mark.posix
def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(
    checkout: Path, done: Path, tmp_path: Path
) -> None:
    ended = run(checkout, tmp_path, "-c", DIES, str(checkout))
    assert ended.returncode == -signal.SIGKILL
    left = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nc")}
    assert len(left) == 3
    ended = run(checkout, tmp_path, str(checkout / "models" / "run_open_questions.py"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(path.stat().st_mtime_ns == time for path, time in left.items())
    assert contents(tmp_path / "here") == contents(done)
