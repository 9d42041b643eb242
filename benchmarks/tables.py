"""A section of results: its rows, and how they look as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.timing import RoundTimes, Turn, take_turns, timed


@dataclass
class Section:
    """A table with the sentences that belong to it."""

    title: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def columns(timing: RoundTimes) -> dict[str, Any]:
    """Median and quartiles in milliseconds."""
    low, high = timing.quartiles
    return {"ms": 1e3 * timing.median, "quartiles": [1e3 * low, 1e3 * high]}


def ratios(timing: RoundTimes, base: RoundTimes) -> dict[str, Any]:
    """The ratio to `base` in the same round: median and quartiles."""
    ratio = timing.ratio_to(base)
    return {"ratio": ratio.median, "ratio quartiles": list(ratio.quartiles)}


def compete(
    contestants: Mapping[Any, Callable[[], object]], rounds: int, limit: float
) -> tuple[dict[Any, RoundTimes], dict[Any, Any]]:
    """Timings, and what each contestant returned last."""
    results: dict[Any, Any] = {}

    def turn(name: Any) -> Turn:
        return timed(lambda: results.__setitem__(name, contestants[name]()))

    return take_turns({name: turn(name) for name in contestants}, rounds, limit=limit), results


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as Markdown tables; a new one begins where a row brings other columns."""
    blocks: list[list[dict[str, Any]]] = []
    for row in rows:
        if blocks and (set(row) <= set(blocks[-1][0]) or set(row) >= set(blocks[-1][0])):
            blocks[-1].append(row)
        else:
            blocks.append([row])
    return "\n\n".join(map(_block, blocks))


def _block(rows: list[dict[str, Any]]) -> str:
    names = max(rows, key=len)
    lines = [list(names), ["---"] * len(names)]
    lines += [[cell(row.get(name)) for name in names] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value))
    return str(value)
