"""Pages are read by people: their sentences are short, measured page by page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WRITTEN_BY_SCRIPTS = {"reference", "gallery"}  # folders of the site that its build fills
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *(
        page
        for page in sorted((ROOT / "docs").rglob("*.md"))
        if page.relative_to(ROOT / "docs").parts[0] not in WRITTEN_BY_SCRIPTS
    ),
]
LONGEST_MEAN = 25  # words a sentence
ABBREVIATED = re.compile(r"\b(Eqs?|Figs?|Alg|al|e\.g|i\.e|cf|vs)\.")


def prose(text: str) -> list[str]:
    """Paragraphs and list items of a page; no code, formulas, tables, headings and pictures."""
    text = re.sub(r"^(```|:::).*?^\1:*$", "\n", text, flags=re.M | re.S)  # fenced blocks
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"^(?: {4}|\t|#|\||!\[).*$", "", text, flags=re.M)
    text = re.sub(r"^\s*(?:[-*]|\d+\.)\s", "\n", text, flags=re.M)  # an item is a paragraph
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)  # a link is its words
    text = re.sub(r"`[^`]*`", "code", text)  # and a name in code is one
    return [one for part in text.split("\n\n") if (one := " ".join(part.replace("*", "").split()))]


def sentences(text: str) -> list[str]:
    """What ends in a full stop, a question mark or an exclamation mark, or with its paragraph."""
    found = []
    for paragraph in prose(text):
        whole = ABBREVIATED.sub(r"\1", paragraph)
        found += [one for one in re.split(r"(?<=[.!?])[)\"']?\s+(?=\S)", whole) if words(one)]
    return found


def words(sentence: str) -> int:
    """Words and numbers."""
    return sum(bool(re.search(r"\w", one)) for one in sentence.split())


def mean_length(text: str) -> float:
    """Words a sentence; 0 for a page without any."""
    lengths = [words(one) for one in sentences(text)]
    return sum(lengths) / len(lengths) if lengths else 0.0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_sentences_are_short(page: Path) -> None:
    assert mean_length(page.read_text(encoding="utf-8")) <= LONGEST_MEAN


def test_words_are_counted_as_a_reader_counts_them() -> None:
    """By hand: 6, 4, 3 and 5 words; a number with a point in it and Eq. 5 end no sentence."""
    text = (
        "# A heading of six words here\n\nIt is 0.5 of [Eq. 5](a.md). Is `x - y = 1` *really* it?\n"
        "\n```\nnot. these. words.\n```\n\n| nor | these |\n|---|---|\n\n    a = b. c. d.\n\n"
        "- an item alone\n- another one, over\n  two lines.\n\n![picture. of. it](a.png)\n"
    )
    assert [words(one) for one in sentences(text)] == [6, 4, 3, 5]
    assert mean_length(text) == 18 / 4


def test_a_page_of_long_sentences_is_noticed() -> None:
    long = "a word and " * 10 + "an end. "
    assert mean_length(long * 3) == 32 > LONGEST_MEAN
    assert mean_length("# Only a heading\n") == 0
