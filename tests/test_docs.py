"""What the pages point to is there: pages, headings, pictures, and the tests that guard a claim."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
LINK = re.compile(r"\]\(([^)\s]+)\)")
EVERY = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def anchors(page: Path) -> set[str]:
    """What headings are called in links: lower case, without signs, hyphens for spaces."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def known_tests() -> set[str]:
    """Names of all files of tests, without .py, and of all functions in them."""
    names = set()
    for path in (ROOT / "tests").glob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names |= {path.stem} | {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
        }
    return names


@EVERY
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@EVERY
def test_tests_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    quoted = " ".join(re.findall(r"`[^`\n]*`", re.sub(r"```.*?```", "", text, flags=re.S)))
    named = set(re.findall(r"\b(test_\w+?)(?:\.py)?\b(?![\w*])", quoted))
    unknown = {name for name in named if name not in known_tests() and not name.endswith("_")}
    unknown -= {"test_inputs", "test_targets", "test_accuracy", "test_loss"}  # of histories
    assert not unknown


def test_such_names_are_found_at_all() -> None:
    """A page that names a test which does not exist is noticed, and so is a broken link."""
    assert LINK.findall("see [a](b.md#c), ![d](e.png)") == ["b.md#c", "e.png"]
    assert "such-names-are-found" not in anchors(PAGES[0])
    assert "as-a-library" in anchors(PAGES[0])
    assert "test_such_names_are_found_at_all" in known_tests()
    assert "test_this_is_nowhere" not in known_tests()


def test_every_picture_is_shown_somewhere() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in LINK.findall(page.read_text(encoding="utf-8"))
    }
    assert not set((ROOT / "docs" / "images").iterdir()) - shown
