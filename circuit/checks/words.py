"""Words from elsewhere in a message of ours: none fills a screen."""

from __future__ import annotations


def shortened(text: str, most: int) -> str:
    """`text`, without its middle if it has more than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}[...{len(text) - 2 * half} characters...]{text[-half:]}"
