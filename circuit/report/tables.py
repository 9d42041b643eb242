"""The report of a settled circuit as text that fits into a terminal.

Owns what is shown of it, and how.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import numpy as np

from circuit.report.comparison import DECISIVE, LayerReport, Report
from circuit.report.digits import digits_apart

WIDTH = 100  # characters of a line
MOST_SHOWN = 24  # layers of a table; of a deeper network the ends and the worst
MOST_DIGITS = 4  # of an error and what is allowed, for which there is room
SHOWN_OF_EACH = 5  # first layers, last ones, and worst by residual and by error

Row = dict[tuple[str, str], str]  # (group, heading) -> entry


def text(found: Report) -> str:
    """Tables, remarks and verdict."""
    parts = [tables(found), *(wrapped(remark) for remark in found.remarks), wrapped(found.verdict)]
    return "\n\n".join(parts)


def wrapped(words: str) -> str:
    """A sentence in lines that fit."""
    return fill(words, WIDTH, break_long_words=False, break_on_hyphens=False)


def tables(found: Report, brian2: Sequence[tuple[float, float]] | None = None) -> str:
    """The report as text, in two tables: what was found, and whose update it is.

    Of a deep network some layers only (`shown_layers`), and the count of the others. Of a circuit
    that did not settle there is but the residual, for it has no shifts. `brian2` holds (relative
    error, float64 floor) of every layer.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.report import report, tables
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> tables(report(settle(trial))).splitlines()[0]
    'Shift of every layer (root mean square over images; the others relative to it)'
    """
    shown = shown_layers(found)
    layers = [found.layers[number - 1] for number in shown]
    if found.record.converged:
        parts = _of_settled(found, layers, brian2)
    else:
        tolerance = found.record.tolerance
        rows: list[Row] = [{("", "residual"): _size(one.relative_residual)} for one in layers]
        parts = [
            f"Residual of every layer, relative to its shift (worst image; {tolerance:.1e} is "
            "asked for)",
            _aligned(layers, rows),
        ]
    left_out = len(found.layers) - len(shown)
    if left_out:
        words = (
            f"{left_out} of {len(found.layers)} layers are left out here, those between the first "
            f"and last {SHOWN_OF_EACH} that are not among the worst; the files hold all."
        )
        parts += ["", wrapped(words)]
    return "\n".join(parts)


def _of_settled(
    found: Report, layers: Sequence[LayerReport], brian2: Sequence[tuple[float, float]] | None
) -> list[str]:
    """Both tables, with what has to be said of them."""
    own, settled, agreed = found.pathway, list[Row](), list[Row]()
    for layer in layers:
        row = {
            "|shift|": _power(layer.log10_shift),
            "predicted": _power(layer.log10_prediction),
            "residual": _size(layer.relative_residual),
            "error bound": _size(layer.error_bound),
        }
        if brian2 is not None:
            row["Brian2 differs by"], row["float64 floor"] = map(_size, brian2[layer.layer - 1])
        settled.append({("", name): value for name, value in row.items()})
        compared: Row = {}
        for rule in (own, *(name for name in layer.updates if name != own)):
            entry, group = layer.updates[rule], rule.upper()
            cosine, error, places = "-", "-", 1
            if entry is not None:
                if np.isfinite(entry.cosine):
                    cosine = f"{entry.cosine:.{6 if rule == own else 4}f}"
                places = min(digits_apart(entry.relative_error, layer.allowed), MOST_DIGITS) - 1
                error = f"{entry.relative_error:.{places if rule == own else 0}e}"
            compared |= {(group, "cosine"): cosine, (group, "error"): error}
            if rule == own:
                star = "*" if layer.bound >= DECISIVE else ""
                compared[group, "allowed"] = f"{layer.allowed:.{places}e}{star}"
        agreed.append(compared)
    parts = [
        "Shift of every layer (root mean square over images; the others relative to it)",
        _aligned(layers, settled),
        "",
        f"Weight change from the circuit against each rule's; {own.upper()}'s it is to carry",
        _aligned(layers, agreed),
    ]
    if any(layer.bound >= DECISIVE for layer in layers):
        words = (
            f"* the bound itself is {DECISIVE:g} or more, or infinite: feedback of this strength "
            "may explain any deviation, and the layer decides nothing."
        )
        parts.append(wrapped(words))
    return parts


def shown_layers(found: Report) -> list[int]:
    """Numbers of the layers of a table, in order: all, or the ends and the worst.

    Worst are those with the largest residuals, and those whose update is furthest from its rule's
    in units of its bound. What is not a number counts as worst.
    """
    depth = len(found.layers)
    if depth <= MOST_SHOWN:
        return list(range(1, depth + 1))
    residuals = np.array([layer.relative_residual for layer in found.layers])
    owns = [layer.updates[found.pathway] for layer in found.layers]
    errors = np.array([np.nan if own is None else own.relative_error for own in owns])
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = errors / np.array([layer.bound for layer in found.layers])
    chosen = {*range(1, SHOWN_OF_EACH + 1), *range(depth - SHOWN_OF_EACH + 1, depth + 1)}
    for measure in (residuals, excess):
        order = np.argsort(np.where(np.isnan(measure), np.inf, measure), stable=True)
        chosen.update((order[-SHOWN_OF_EACH:] + 1).tolist())
    return sorted(chosen)


def _aligned(layers: Sequence[LayerReport], rows: Sequence[Row]) -> str:
    """Rows under their headings, columns of a group beside each other under its name."""
    labels = [f"layer {layer.layer}" for layer in layers]
    lines = [" " * max(map(len, labels)) for _ in range(2)] + [
        label.ljust(max(map(len, labels))) for label in labels
    ]
    for group in dict.fromkeys(name for name, _ in rows[0]):
        columns = [name for name in rows[0] if name[0] == group]
        block = [""] * len(rows)
        heading = ""
        for place, (_, name) in enumerate(columns):
            entries = [row[group, name] for row in rows]
            width, gap = max(map(len, (name, *entries))), " " if group and place else "  "
            block = [
                f"{line}{gap}{entry:>{width}}" for line, entry in zip(block, entries, strict=True)
            ]
            heading += f"{gap}{name:>{width}}"
        lines[0] += f"{group:>{len(heading)}}"
        lines[1] += heading
        for place, line in enumerate(block, 2):
            lines[place] += line
    return "\n".join(line for line in lines if line.strip())


def _size(value: float) -> str:
    """A relative size in two digits; what is not finite in words."""
    return f"{value:.1e}" if np.isfinite(value) else "infinite" if value > 0 else "-"


def _power(log10: float) -> str:
    """10**log10 in three digits, also where it underflows."""
    if not np.isfinite(log10):
        return "0" if log10 < 0 else "-"
    exponent = int(np.floor(log10))
    return f"{10 ** (log10 - exponent):.2f}e{exponent:+03d}"
