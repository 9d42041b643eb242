"""The page docs/brian2.md, run once for all tests of its blocks."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DEPRECATED = (
    r"'\w+' (argument is )?deprecated"  # by pyparsing 3.3, whose old names Brian2 2.9 calls
)
TEXT = (Path(__file__).parents[3] / "docs" / "brian2.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@dataclass(frozen=True)
class Page:
    """What running all blocks of the page, one after the other, has left.

    Attributes
    ----------
    names : what they define
    shapes : of `record.rates[0]` after each block
    printed : on standard output
    """

    names: dict[str, Any]
    shapes: list[tuple[int, ...]]
    printed: str


@pytest.fixture(scope="package")
def page() -> Iterator[Page]:
    """The page, run. Brian2's code generation target is put back afterwards."""
    import brian2

    target = brian2.prefs.codegen.target
    brian2.prefs.codegen.target = "numpy"  # a compiler would see groups of other names every time
    names: dict[str, Any] = {}
    shapes, printed = [], io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(printed):
        warnings.filterwarnings("ignore", DEPRECATED, DeprecationWarning)
        for block in BLOCKS:
            if "cpp_standalone" in block:
                continue  # for a compiler: test_standalone.py
            exec(compile(block, "docs/brian2.md", "exec"), names)
            if "record" in names:
                shapes.append(names["record"].rates[0].shape)
    yield Page(names, shapes, printed.getvalue())
    brian2.prefs.codegen.target = target
