"""`.ci/run`, in a small project whose two commands say what they see."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAKE = "printf '#!/bin/sh\\n' > .venv/bin/$name; chmod +x .venv/bin/$name"
STUB = f"mkdir -p .venv/bin; for name in pip ruff mypy python; do {MAKE}; done"
README = f"""
python3 -m venv --help > seen.txt && ls -A | sort && {STUB}
python3 -m venv --help > seen.txt && ls -A .venv 2>&1; cat tracked; pwd; exit $STATUS
"""


@pytest.fixture(params=["archive", "clone"] if shutil.which("git") else ["archive"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A tree with one file changed, one new, one deleted, one ignored, and someone's own .venv."""
    root = tmp_path / "a project"
    (root / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", root / ".ci" / "run")
    (root / "README.md").write_text(README)
    (root / "tracked").write_text("as committed\n")
    (root / "deleted").write_text("")
    (root / ".gitignore").write_text(".venv*\nresults\n")
    if request.param == "clone":
        who = ["-c", "user.name=one", "-c", "user.email=one@example.org"]
        for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "one"]):
            subprocess.run(["git", *words], cwd=root, check=True)
    (root / "tracked").write_text("as it is now\n")
    (root / "new file").write_text("")
    (root / "deleted").unlink()
    (root / ".venv").mkdir()
    (root / ".venv" / "mine").write_text("kept")
    (root / "results").mkdir()
    return root


@pytest.mark.posix
@pytest.mark.parametrize("status", [0, 3])
def test_ci_leaves_the_working_tree_alone(project: Path, tmp_path: Path, status: int) -> None:
    """It runs both commands as printed on what stands in the tree, and leaves nothing behind."""
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    before = sorted(path for path in project.rglob("*") if ".git" not in path.parts)
    done = subprocess.run(
        ["bash", ".ci/run"],
        cwd=project,
        env={**os.environ, "TMPDIR": str(rooms), "STATUS": str(status), "CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    lines = done.stdout.splitlines()
    commands = README.split("\n")[1:3]
    first, second = (lines.index(f"+ {command}") for command in commands)
    seen = lines[first + 1 : lines.index("+ lint and types")]
    expected = [".ci", ".gitignore", "README.md", "new file", "seen.txt", "tracked"]
    assert sorted(seen) == sorted(expected)
    # the second begins without .venv, sees the file as it is, and ends what is printed
    missing, content, place = lines[second + 1 :]
    assert ".venv" in missing and content == "as it is now"
    assert Path(place).parent == rooms.resolve()
    assert list(rooms.iterdir()) == []
    assert sorted(path for path in project.rglob("*") if ".git" not in path.parts) == before
    assert (project / ".venv" / "mine").read_text() == "kept"
