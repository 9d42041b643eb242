"""What the pages of the built site load: all of it from the site itself, by relative addresses."""

from __future__ import annotations

import re
from pathlib import Path

LOADS = re.compile(
    r"<(?:script|link|img|iframe|source|video|audio|object|embed)\b[^>]*?"
    r"\b(?:src|href|data|srcset)=[\"']((?:https?:)?//[^\"']*|/[^\"']*)[\"']",
    re.IGNORECASE,
)
STYLES = re.compile(r"(?:@import\s*|url\()\s*[\"']?((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)


def from_elsewhere(text: str) -> list[str]:
    """Addresses of scripts, styles, pictures and frames that a page or a style sheet would fetch.

    >>> from_elsewhere('<script src="https://a.org/b.js"></script> <img src="/c.png">')
    ['https://a.org/b.js', '/c.png']
    >>> from_elsewhere('<a href="https://a.org">a link</a> <img src="../_images/c.png">')
    []
    """
    return LOADS.findall(text) + STYLES.findall(text)


def fetched(site: Path) -> dict[str, list[str]]:
    """The same of all pages and style sheets below a folder: page -> addresses."""
    pages = [path for path in sorted(site.rglob("*")) if path.suffix in {".html", ".css"}]
    found = {path: from_elsewhere(path.read_text("utf-8", "replace")) for path in pages}
    return {path.relative_to(site).as_posix(): them for path, them in found.items() if them}
