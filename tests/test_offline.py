"""What the site would fetch from elsewhere is seen; `docs/conf.py` looks at every page."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "docs"))

import offline  # noqa: E402 - it stands where Sphinx looks for it


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<script src="https://a.org/b.js"></script>', ["https://a.org/b.js"]),
        ("<link rel='stylesheet'\n href='//a.org/b.css'>", ["//a.org/b.css"]),
        ('<img alt="x" src="/images/c.png">', ["/images/c.png"]),
        ('@import url("https://a.org/font.css");', ["https://a.org/font.css"]),
        ("a { background: url(http://a.org/b.png) }", ["http://a.org/b.png"]),
        ('<img src="../_images/c.png"> <a href="https://a.org">there</a>', []),
        ("a { background: url(../b.png) } b { src: url('data:font/woff2;x') }", []),
        ('<code>&lt;script src="https://a.org"</code>', []),
    ],
)
def test_addresses_that_would_be_fetched(text: str, expected: list[str]) -> None:
    """Scripts, styles, pictures; not links that a reader may follow, nor what lies beside."""
    assert offline.from_elsewhere(text) == expected


def test_every_page_below_a_folder_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "good.html").write_text('<img src="a.png">')
    (tmp_path / "sub" / "bad.html").write_text('<script src="//a.org/b.js">')
    (tmp_path / "bad.css").write_text("@import 'https://a.org/c.css';")
    assert offline.fetched(tmp_path) == {
        "bad.css": ["https://a.org/c.css"],
        "sub/bad.html": ["//a.org/b.js"],
    }
