"""The bench as text that fits into a terminal, as labelled arrays, and as plain values.

Owns these three forms. Does not own the numbers (`circuit.report.bench`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from circuit.report.alignment import Agreement
from circuit.report.bench import Bench, Mark
from circuit.report.tables import wrapped

if TYPE_CHECKING:
    import xarray as xr

MOST_COLUMNS = 6  # layers of a table; of a deeper network the ends
MEASURES = ("cosine", "relative_error", "norm_ratio")
HEADINGS = {"cosine": "cosine", "relative_error": "error", "norm_ratio": "norm"}
FORMS: dict[str, Callable[[float], str]] = {
    "cosine": "{:.4f}".format,
    "relative_error": "{:.0e}".format,
    "norm_ratio": "{:.2g}".format,
}


def text(found: Bench) -> str:
    """One table: three lines a rule against back-propagation, three more against the gradient at
    the rule's own equilibrium where that is another; then what is to be said of single rules.
    """
    shown = _shown(found.depth)
    lines = [
        "Weight changes against back-propagation's; own: against the gradient at the rule's own"
    ]
    lines += ["equilibrium. Images that did not settle are left out of both.", ""]
    head = f"{'rule':<9}{'settled':>8}{'residual':>10}{'passes':>8}{'time/bp':>9}  {'':<11}"
    lines.append(head + "".join(f"{f'layer {layer}':>9}" for layer in shown))
    for mark in found.marks:
        lines += _lines(mark, shown)
    if len(shown) < found.depth:
        lines += ["", f"Of {found.depth} layers these; the files hold all."]
    said = [wrapped(f"{mark.rule}: {mark.words}") for mark in found.marks if mark.words]
    if found.left_out:
        first, count = found.left_out[0], len(found.left_out)
        said.append(
            wrapped(
                f"{count} image(s) are left out, the first is number {first}: the gradient of "
                "their loss leaves the range of floats; scale images or targets down."
            )
        )
    return "\n".join([*lines, *(["", *said] if said else [])])


def _shown(depth: int) -> list[int]:
    """Layers of the table."""
    if depth <= MOST_COLUMNS:
        return list(range(1, depth + 1))
    half = MOST_COLUMNS // 2
    return [*range(1, half + 1), *range(depth - half + 1, depth + 1)]


def _lines(mark: Mark, shown: Sequence[int]) -> list[str]:
    residual = "" if mark.worst_residual is None else f"{mark.worst_residual:.0e}"
    ratio = "" if np.isnan(mark.seconds_over_bp) else f"{mark.seconds_over_bp:.3g}"
    passes = "" if np.isnan(mark.passes) else f"{mark.passes:.4g}"
    start = f"{mark.rule:<9}{mark.settled:>8.0%}{residual:>10}{passes:>8}{ratio:>9}  "
    if not mark.bp:
        return [start + "nothing to compare"]
    blocks = [("", mark.bp)] + ([] if mark.own is None else [("own ", mark.own)])
    rows = []
    for name, marks in blocks:
        for measure in MEASURES:
            values = [FORMS[measure](getattr(marks[layer - 1], measure)) for layer in shown]
            label = f"{name}{HEADINGS[measure]}"
            rows.append(f"{label:<11}" + "".join(f"{value:>9}" for value in values))
    return [start + rows[0], *(" " * len(start) + row for row in rows[1:])]


def as_dataset(found: Bench) -> xr.Dataset:
    """Everything as labelled arrays: measures by rule and layer, and what there is by rule.

    `bp_cosine` and so on are NaN where a rule gave nothing, `own_...` also where back-propagation
    is the gradient at the rule's own equilibrium.
    """
    import xarray as xr

    marks, data = found.marks, dict[str, Any]()
    for which in ("bp", "own"):
        for measure in MEASURES:
            values = [_values(getattr(mark, which), measure, found.depth) for mark in marks]
            data[f"{which}_{measure}"] = (("rule", "layer"), np.array(values))
    for name in ("settled", "passes", "seconds_over_bp"):
        data[name] = ("rule", np.array([getattr(mark, name) for mark in marks]))
    worst = [np.nan if mark.worst_residual is None else mark.worst_residual for mark in marks]
    data["worst_residual"] = ("rule", np.array(worst))
    for name in ("reading", "words"):
        data[name] = ("rule", np.array([getattr(mark, name) for mark in marks], dtype="U"))
    names = np.array([mark.rule for mark in marks], dtype="U")
    return xr.Dataset(data, {"rule": names, "layer": np.arange(1, found.depth + 1)})


def _values(marks: Sequence[Agreement] | None, measure: str, depth: int) -> list[float]:
    return [getattr(one, measure) for one in marks] if marks else [np.nan] * depth


def as_values(found: Bench) -> dict[str, Any]:
    """By rule, what summary.json keeps."""
    return {
        mark.rule: {
            "reading": mark.reading,
            "settled": mark.settled,
            "worst_residual": mark.worst_residual,
            "passes": mark.passes,
            "seconds_over_bp": mark.seconds_over_bp,
            "words": mark.words,
            "layers": [
                {
                    "layer": i + 1,
                    "bp": asdict(bp),
                    "own": None if mark.own is None else asdict(mark.own[i]),
                }
                for i, bp in enumerate(mark.bp)
            ],
        }
        for mark in found.marks
    }
