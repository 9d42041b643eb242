"""How a record shows itself: one short line, and in a notebook that line above a table.

Owns the form. Nothing here prints arrays: a settled circuit of twenty images holds 28,000
characters of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from enum import Enum
from html import escape
from itertools import groupby
from typing import Any

from circuit.checks.given import shown

Rows = Sequence[Sequence[object]]  # the first holds the headings


class Brief:
    """A record with a short `repr`. Dataclasses take it with `repr=False`.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from circuit.records import Brief
    >>> @dataclass(frozen=True, repr=False)
    ... class Reading(Brief):
    ...     layer: int
    ...     values: tuple[float, ...]
    >>> Reading(2, (0.5, 0.25))
    Reading(layer 2, values [0.5, 0.25])
    """

    def _words(self) -> Sequence[str]:
        """What stands in the brackets: of an array its shape, of a record its kind."""
        return [
            f"{one.name} {_brief(getattr(self, one.name, None))}"
            for one in fields(self)  # type: ignore[arg-type]
            if not one.name.startswith("_")
        ]

    def __getstate__(self) -> dict[str, Any]:
        """Its fields: what is computed when first read is computed anew, so that a record's pickle
        (and joblib's key of it) is the same before and after it is read.
        """
        return {one.name: getattr(self, one.name) for one in fields(self)}  # type: ignore[arg-type]

    def _rows(self) -> Rows:
        """A table for notebooks; none by default."""
        return ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._words())})"

    def _repr_html_(self) -> str:
        """What Jupyter shows."""
        return f"<code>{escape(repr(self))}</code>{table(self._rows())}"


def _brief(value: Any) -> str:
    """A field in a word or two."""
    if isinstance(value, Brief):
        return type(value).__name__
    if isinstance(value, Enum):
        return str(value.value)
    if getattr(value, "shape", ()):
        return str(tuple(value.shape))
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        short = [_brief(one) for one in value] if len(value) <= 8 else []
        plain = ", ".join(short)
        return f"[{plain}]" if short and len(plain) <= 60 else f"[{len(value)}]"
    return f"{value:.3g}" if isinstance(value, float) else shown(value)


def table(rows: Rows) -> str:
    """Rows as an HTML table; nothing for none."""
    if not rows:
        return ""
    lines = [
        "<tr>" + "".join(f"<{tag}>{escape(str(entry))}</{tag}>" for entry in row) + "</tr>"
        for tag, row in zip(["th"] + ["td"] * (len(rows) - 1), rows, strict=True)
    ]
    return f"<table>{''.join(lines)}</table>"


def widths_of(widths: Sequence[int]) -> str:
    """Widths as 64-64-10, equal ones of a deep network counted: 64 x 100-10."""
    if len(widths) <= 8:
        return "-".join(map(str, widths))
    runs = [(width, len(list(run))) for width, run in groupby(widths)]
    parts = [f"{width} x {count}" if count > 2 else "-".join([str(width)] * count)
             for width, count in runs]  # fmt: skip
    return "-".join(parts if len(parts) <= 8 else [*parts[:4], "...", *parts[-3:]])


def same_or_each(values: Sequence[Any]) -> str:
    """One value for all, or all of them, a deep network's from the first to the last."""
    words = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in values]
    if len(set(words)) == 1:
        return words[0]
    return " ".join(words if len(words) <= 6 else [*words[:2], "...", *words[-2:]])


def counted(number: int, what: str) -> str:
    """`1 image`, `20 images`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def batch_of(shape: Sequence[int]) -> str:
    """The samples of arrays `(..., batch, units)` in words, of a stack also its networks."""
    *stack, batch, _ = (int(length) for length in shape)
    if not stack:
        return counted(batch, "image")
    networks = 1
    for length in stack:
        networks *= length
    return f"{counted(networks, 'network')} x {counted(batch, 'image')}"


def kind_of(array: Any) -> str:
    """Library and precision of an array where they are not NumPy's float64: `torch float32`."""
    library, dtype = type(array).__module__.split(".")[0], str(array.dtype).split(".")[-1]
    words = ([] if library == "numpy" else [library]) + ([] if dtype == "float64" else [dtype])
    return " ".join(words)
