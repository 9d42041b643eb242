"""The files that a project carries beside its code: valid by their schemas, and of one mind."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("w*.yml"))


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def is_valid(schema: str, path: Path) -> bool:
    """Whether a file keeps to a schema that check-jsonschema brings with it; nothing is fetched."""
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    words = ["--builtin-schema", f"vendor.{schema}", str(path)]
    return not subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *words], check=False
    ).returncode


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("github-workflows", WORKFLOW),
        ("citation-file-format", ROOT / "CITATION.cff"),
        ("github-issue-config", ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"),
        *(("github-issue-forms", form) for form in FORMS),
    ],
    ids=lambda one: getattr(one, "name", one),
)
def test_files_keep_to_their_schemas(schema: str, path: Path) -> None:
    assert is_valid(schema, path)


@pytest.mark.parametrize(("old", "new"), [("runs-on:", "run-on:"), ("    steps:", "    stops:")])
def test_a_workflow_with_a_slip_is_refused(tmp_path: Path, old: str, new: str) -> None:
    wrong = tmp_path / "ci.yml"
    wrong.write_text(WORKFLOW.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    assert not is_valid("github-workflows", wrong)


def test_the_workflow_covers_what_pyproject_allows() -> None:
    """Three systems, all Pythons, both ends of the dependencies, and extras that exist."""
    jobs = read(".github/workflows/ci.yml")["jobs"]
    matrix = jobs["tests"]["strategy"]["matrix"]
    systems = {"ubuntu-latest", "macos-latest", "windows-latest"}
    assert set(matrix["os"]) == systems == set(jobs["installed"]["strategy"]["matrix"]["os"])
    least, most = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    assert matrix["python"] == [f"3.{minor}" for minor in range(int(least), int(most))]
    lowest = [one for one in matrix["include"] if one["dependencies"] == "lowest-direct"]
    assert {one["os"] for one in lowest} == systems
    assert {one["python"] for one in lowest} == {f"3.{least}"}
    steps = [step for job in jobs.values() for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    named = {extra for one in commands for extra in re.findall(r"'\.\[([\w,]+)\]'", one)}
    assert {"docs", "test"} <= {word for extra in named for word in extra.split(",")}
    assert {w for extra in named for w in extra.split(",")} <= set(PROJECT["optional-dependencies"])
    assert not any("checkout" in step.get("uses", "") for step in jobs["installed"]["steps"])


def test_lint_and_site_are_the_commands_of_ci() -> None:
    """What .ci/run does on one machine, the workflow does too."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    jobs = read(".github/workflows/ci.yml")["jobs"]
    for job in ("lint", "docs"):
        for step in jobs[job]["steps"]:
            command = step.get("run", "pip")
            assert "pip" in command or f".venv/bin/{command}" in script


def test_the_example_of_the_workflow_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """On three layers, every image settles."""
    steps = read(".github/workflows/ci.yml")["jobs"]["installed"]["steps"]
    exec(steps[-1]["run"], {})
    assert "converged" in capsys.readouterr().out


def test_all_that_describes_the_project_says_the_same() -> None:
    """codemeta.json, CITATION.cff, the recipe and pyproject.toml."""
    meta = json.loads((ROOT / "codemeta.json").read_text(encoding="utf-8"))
    cited, recipe = read("CITATION.cff"), read("recipe/recipe.yaml")
    about = recipe["about"]
    assert meta["name"] == PROJECT["name"] == recipe["context"]["name"]
    assert meta["version"] == PROJECT["version"] == cited["version"] == recipe["context"]["version"]
    assert meta["datePublished"] == str(cited["date-released"])
    assert meta["description"] == PROJECT["description"] == about["summary"]
    assert meta["keywords"] == PROJECT["keywords"]
    licence = meta["license"].rpartition("/")[2]
    assert licence == PROJECT["license"] == cited["license"] == about["license"]
    names = [one["name"] for one in PROJECT["authors"]]
    assert [one["name"] for one in meta["author"]] == names
    assert [one["name"] for one in cited["authors"]] == names
    wanted = dict.fromkeys(re.match(r"[\w-]+", line).group() for line in PROJECT["dependencies"])
    assert meta["softwareRequirements"] == list(wanted)
    (paper,), (reference,) = meta["citation"], cited["references"]
    assert paper["name"] == reference["title"]
    assert paper["datePublished"] == str(reference["year"])
    assert paper["isPartOf"] == reference["journal"]
    assert [(one["familyName"], one["givenName"]) for one in paper["author"]] == [
        (one["family-names"], one["given-names"]) for one in reference["authors"]
    ]


def test_the_changelog_dates_this_version() -> None:
    said = read("CITATION.cff")
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {said['version']} ({said['date-released']})" in text


def test_the_recipe_asks_for_what_the_environment_holds() -> None:
    """environment.yml is held against pyproject.toml by tests/test_packaging.py."""
    extras = {
        re.match(r"[\w-]+", line).group() for line in PROJECT["optional-dependencies"]["test"]
    }
    held = {one for one in read("environment.yml")["dependencies"] if isinstance(one, str)}
    core = {re.match(r"[\w-]+", line).group() for line in PROJECT["dependencies"]}
    wanted = {
        one for one in held if re.match(r"[\w-]+", one).group() not in (extras - core) | {"pip"}
    }
    run = {one.replace(" ", "") for one in read("recipe/recipe.yaml")["requirements"]["run"]}
    assert run == wanted


def test_hooks_are_pinned_and_run_what_ci_runs() -> None:
    hooks = read(".pre-commit-config.yaml")["repos"]
    assert all(
        re.fullmatch(r"v?\d+\.\d+\.\d+", one["rev"]) for one in hooks if one["repo"] != "local"
    )
    assert {"ruff", "ruff-format", "mypy"} <= {hook["id"] for one in hooks for hook in one["hooks"]}
