"""The reference of the site offers what the faces of the library offer, and all of it."""

from __future__ import annotations

import inspect
import re
import shutil
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "docs"))

import faces  # noqa: E402 - it stands where Sphinx looks for it

FACES = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for path in (ROOT / "circuit").rglob("__init__.py")
    if "attach_stub" in path.read_text("utf-8")
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages of the reference."""
    folder = tmp_path_factory.mktemp("pages") / "reference"
    faces.write(ROOT, folder)
    return folder


@pytest.mark.parametrize("face", FACES)
def test_every_name_that_a_face_offers_has_a_row_and_a_page(face: str, written: Path) -> None:
    """What is offered is what Python says of the running module."""
    rows = re.findall(r":py:obj:`~([\w.]+)`", (written / f"{face}.rst").read_text("utf-8"))
    offered = import_module(face)
    assert sorted(row.rpartition(".")[2] for row in rows) == sorted(offered.__all__)
    for row in rows:
        page = (written / f"{row}.rst").read_text("utf-8")
        home, _, name = row.rpartition(".")
        found = getattr(offered, name)
        assert found is getattr(import_module(home), name)
        kind = "autofunction" if inspect.isfunction(found) else r"auto(class|exception)"
        kind = kind if callable(found) and name != "Array" else "py:data"
        assert re.search(rf"^\.\. {kind}:: {row}$", page, re.MULTILINE), row


def test_the_index_of_the_reference_names_every_face_once(written: Path) -> None:
    rows = re.findall(r":doc:`([\w.]+)`", (written / "index.rst").read_text("utf-8"))
    assert sorted(rows) == FACES
    assert len(FACES) > 15


def test_constants_say_what_they_are() -> None:
    """A constant has no docstring; the string below its assignment takes the place of one."""
    constants = [one for one in faces.public(ROOT) if not one.has_docstring]
    assert {"circuit.RULES", "circuit.numerics.Array"} < {one.page for one in constants}
    assert [one.page for one in constants if not faces.words_below(one.origin, one.name)] == []


def test_a_name_that_is_new_or_gone_is_noticed(tmp_path: Path) -> None:
    """Pages follow the stubs: a name more, one less, a page of a name that is no more."""
    shutil.copytree(ROOT / "circuit", tmp_path / "circuit", ignore=lambda *_: {"__pycache__"})
    stub = tmp_path / "circuit" / "learned_inverse" / "__init__.pyi"
    text = stub.read_text("utf-8").replace('    "exact_model",\n', "")
    stub.write_text(
        text.replace("__all__ = [", '__all__ = [\n    "InverseModels",').replace(
            "exact_model,", "exact_model, InverseModel as InverseModels,"
        )
    )
    found = faces.offered("circuit.learned_inverse", stub)
    assert "exact_model" not in found
    assert found["InverseModels"] == "circuit.learned_inverse.inverse_model"
    folder = tmp_path / "reference"
    folder.mkdir()
    (folder / "circuit.gone.rst").write_text("")
    faces.write(ROOT, folder)
    assert not (folder / "circuit.gone.rst").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("|y| of `Layer`s", r"\|y\| of ``Layer``\ s"),
        ("*options and coef_ and a_b", r"\*options and coef\_ and a_b"),
        ("`a|b`.", "``a|b``."),
        ("plain words", "plain words"),
        ("see docs/noise.md.", "see :doc:`docs/noise.md </noise>`."),
    ],
)
def test_plain_words_stay_plain_in_restructuredtext(words: str, expected: str) -> None:
    """Bars, stars and trailing underscores mean nothing; backticks are code, pages links."""
    assert faces.as_written(words) == expected
