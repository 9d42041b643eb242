"""What is installed, and that commands run from any folder, installed or not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import xarray as xr

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ("circuit", "analysis", "training", "studies", "models", "benchmarks")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of this project in a folder of their own, which nothing is installed from."""
    copy = tmp_path_factory.mktemp("checkout") / "gait circuit"
    copy.mkdir()
    for name in (*FLOORS, "README.md", "LICENSE", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name)  # with what is compiled, whose dates fit
        else:
            shutil.copy(source, copy / name)
    return copy


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder with packages of the same names, as half of all labs have; none can be imported."""
    for name in FLOORS[1:]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('of the lab')\n")
    return tmp_path


def run(program: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`, which stands in front of the path."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, str(program), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_wheel_holds_the_library_and_nothing_else(checkout: Path, tmp_path: Path) -> None:
    """Its stubs and the mark of its types too; all that imports is `circuit`."""
    build = "import sys; from setuptools import build_meta as b; b.build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"circuit"}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.py", "*.pyi", "py.typed")
        for path in (ROOT / "circuit").rglob(pattern)
    }
    assert {name for name in names if name.startswith("circuit/")} == wanted


def test_a_command_runs_where_others_have_their_own_folders(checkout: Path, lab: Path) -> None:
    """With the code of its own checkout, and its results where it was called."""
    done = run(
        checkout / "models" / "run_equilibrium.py",
        lab,
        *("--batch", "6", "--no-brian2", "--no-figures", "--quiet", "--output", "here"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((lab / "here" / "summary.json").read_text())["status"] == "converged"


def test_a_sweep_in_two_processes_finds_its_own_checkout(checkout: Path, lab: Path) -> None:
    """Workers import what the command does, and not what stands where it was called."""
    done = run(
        checkout / "models" / "run_feedback_strength.py",
        lab,
        *("--studies", "strong", "--scale", "smoke", "--seeds", "1", "--workers", "2", "--quiet"),
        *("--output", "here"),
    )
    assert done.returncode == 0, done.stderr
    with xr.open_dataset(lab / "here" / "strong.nc") as data:
        words = [str(word) for word in data["status"].values]
    assert words
    assert not any("missing" in word or "failed" in word for word in words)


def test_the_library_is_imported_from_the_checkout_that_a_command_stands_in(
    checkout: Path, lab: Path
) -> None:
    """Even where another checkout is installed."""
    program = checkout / "models" / "where.py"
    head, _, _ = (checkout / "models" / "run_derivation.py").read_text().partition("from models")
    program.write_text(head + "import circuit.network\nprint(circuit.network.__file__)\n")
    done = run(program, lab)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(checkout)
