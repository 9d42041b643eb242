"""The project's own files agree with each other."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"matplotlib": "matplotlib-base"}


def _project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _requirements(lines, python="3.12"):
    """name -> least version, of the requirements that hold for this Python."""
    found = {}
    for line in lines:
        requirement, _, marker = line.partition(";")
        if "<" in marker.replace(">=", "") and "3.12" in marker:
            continue  # for Python 3.11, which the conda environment does not offer
        name, version = re.match(r"([\w-]+)>=([\d.]+)", requirement).groups()
        found[CONDA_NAMES.get(name, name)] = version
    return found


def test_conda_environment_holds_what_pyproject_asks_for():
    """environment.yml has the same packages and least versions as pyproject's core and tests."""
    project = _project()
    wanted = _requirements(project["dependencies"])
    wanted |= _requirements(project["optional-dependencies"]["test"])
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    offered = {
        match.group(1): match.group(2)
        for entry in plain
        if (match := re.match(r"([\w-]+)>=([\d.]+)", entry)) and match.group(1) != "python"
    }
    assert offered == wanted
    assert set(plain) - {f"{name}>={version}" for name, version in offered.items()} == {
        "python>=3.12,<3.14",
        "pip",
    }


def test_every_package_of_the_library_is_installed():
    """A folder that is not listed works from the checkout and is missing after an install."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = tomllib.loads(text)["tool"]["setuptools"]["packages"]
    found = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for path in (ROOT / "circuit").rglob("__init__.py")
    }
    assert sorted(listed) == sorted(found)


def test_tests_do_not_need_pytorch():
    """The extra that the second README command installs brings no PyTorch."""
    extras = _project()["optional-dependencies"]
    assert not any("torch" in line for line in extras["test"] + _project()["dependencies"])


def test_version_stands_everywhere_the_same():
    version = _project()["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_readme_begins_with_the_two_commands():
    """Both commands stand in the README, install first, so that .ci/run can run them as printed."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line.startswith("python3 -m venv ")]
    assert len(commands) == 2
    assert commands[0].endswith("python models/run_equilibrium.py")
    assert commands[1].endswith("python -m pytest")
