"""The gallery: twelve scripts of one form. `.ci/run` builds the site and runs all of them; the two
quickest are run here too.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "gallery").glob("*.py"))
EVERY = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
WITHOUT_A_FACE = "circuit.settings.declaration"  # what a rule of one's own declares


def faults(text: str, faces: set[str]) -> list[str]:
    """What a script of the gallery lacks."""
    tree = ast.parse(text)
    words = ast.get_docstring(tree) or ""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = {str(node.module) for node in imports if str(node.module).startswith("circuit")}
    lines = [line for line in text.splitlines() if line.strip()]
    looks = {
        "a title": re.match(r"[A-Z].+\n=+\n", words),
        "a question": re.search(r"^\*\*[^*]+\?\*\*$", words, re.MULTILINE),
        "an answer": re.search(r"\*\*\n\S.{30,}", words, re.DOTALL),
        "20 to 60 lines": 20 <= len(lines) <= 60,
        "one figure": text.count("plt.subplots(") == text.count("plt.show()") == 1,
        "labelled axes": all(f"{word}=" in text for word in ("xlabel", "ylabel", "title")),
        "colours for all": 'plt.style.use("tableau-colorblind10")' in text,
        "the face": ours and ours <= faces,
        "parts that are told": text.count("\n# %%\n# ") >= 1,
    }
    return [what for what, found in looks.items() if not found]


def known_faces() -> set[str]:
    """The modules from which a script may import."""
    stubs = (ROOT / "circuit").rglob("__init__.pyi")
    return {".".join(path.parent.relative_to(ROOT).parts) for path in stubs} | {WITHOUT_A_FACE}


def test_there_are_twelve() -> None:
    """In the order in which they are shown."""
    assert [path.name[:3] for path in SCRIPTS] == [f"{number:02}_" for number in range(1, 13)]


@EVERY
def test_every_script_has_the_same_form(script: Path) -> None:
    """Question, answer, code from the face alone, one figure with labelled axes."""
    assert faults(script.read_text("utf-8"), known_faces()) == []


def test_what_is_missing_is_noticed() -> None:
    """Each part, taken out of a script that has all of them."""
    text = SCRIPTS[0].read_text("utf-8")
    for old, new, what in (
        ("?**", "**", "a question"),
        ("plt.show()", "", "one figure"),
        ("ylabel=", "label=", "labelled axes"),
        ("from circuit import", "from circuit.equilibrium import", "the face"),
        ("# %%\n# ", "# ", "parts that are told"),
        ("tableau-colorblind10", "default", "colours for all"),
        ("\nreport = ", "\npass" * 40 + "\nreport = ", "20 to 60 lines"),
    ):
        assert old in text
        assert faults(text.replace(old, new), known_faces()) == [what]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("07_your_rule_on_the_bench", r"^$"),
        (
            "10_depth_50_in_float32",
            r"float32 converged bound \de-0\d\nfloat64 converged .*\n.* 1 - \de-(0[789]|1\d)\n",
        ),
    ],
)
def test_the_quickest_run_without_a_warning(name: str, said: str, tmp_path: Path) -> None:
    """As a reader runs them, from another folder, all warnings being errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "gallery" / f"{name}.py"],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "template"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(said, done.stdout)
