"""Every function and class that the faces offer has an example, and it says what is true."""

from __future__ import annotations

import ast
import doctest
import inspect
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "docs"))

import faces  # noqa: E402 - it stands where Sphinx looks for it

HOMES = [one for one in faces.public(ROOT) if one.has_docstring and one.face == one.home]
PAGES = [one.page for one in HOMES]
ENDS = doctest.ELLIPSIS


def examples(one: faces.Public) -> doctest.DocTest:
    """The examples of a name, as a reader runs them: with nothing imported beforehand."""
    return doctest.DocTestParser().get_doctest(one.value.__doc__ or "", {}, one.page, None, None)


@pytest.mark.parametrize("one", HOMES, ids=PAGES)
def test_every_name_has_an_example_that_says_what_is_true(one: faces.Public) -> None:
    """Under a heading of its own, with at least one line that is compared with what comes out."""
    assert "\nExamples\n--------\n" in (inspect.getdoc(one.value) or "")
    found = examples(one)
    assert any(example.want for example in found.examples)
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=ENDS)
    runner.run(found, out=told.append, clear_globs=True)
    assert not told, "".join(told)


def test_a_false_example_is_noticed() -> None:
    """Of a wrong number, and of a refusal for another reason."""
    for words in (
        ">>> 1 + 1\n3\n",
        ">>> int('x')\nTraceback (most recent call last):\nValueError: no\n",
    ):
        found = doctest.DocTestParser().get_doctest(words, {}, "wrong", None, None)
        told: list[str] = []
        doctest.DocTestRunner(optionflags=ENDS).run(found, out=told.append)
        assert "Expected" in "".join(told)


def test_examples_import_from_faces_alone() -> None:
    """As a reader would: `from circuit...` names a face, never a file of it; settings have none."""
    known = {one.face for one in faces.public(ROOT)}
    known |= {"circuit.settings.declaration", "circuit.settings.peers.contrast"}
    for one in HOMES:
        for example in examples(one).examples:
            for node in ast.walk(ast.parse(example.source)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("circuit"):
                    assert node.module in known, (one.page, node.module)
