"""What a user adds to the equations of a layer, or changes in them.

Owns which variables may be changed, and the one line with which the rest is refused. Does not own
the equations (`circuit.brian.rate_equations`).

A line of `extra` whose variable a layer has takes the place of the layer's own; any other is added.
What synapses and `make_pieces` write into stays as it is, and what other units read, or the rate
itself, stays a number without unit that has an equation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from circuit.brian.library import brian2
from circuit.checks.given import is_whole, require_kind, shown
from circuit.errors import CircuitError

written = brian2.equations.equations
DIFFERENTIAL_EQUATION, PARAMETER, FLOAT = (
    written.DIFFERENTIAL_EQUATION,
    written.PARAMETER,
    written.FLOAT,
)
# what the pieces and their synapses write into, in one circuit or another
WRITTEN = (
    *("weighted", "feedback", "target", "gamma", "bias", "tau"),
    *("offset", "squared_length", "leak", "noise"),
)
CHANGEABLE = ("y", "drive", "response", "slope", "sent", "message", "current")
REFUSALS = (
    *(ValueError, TypeError, SyntaxError, KeyError),
    brian2.DimensionMismatchError,
    written.EquationError,
)


def text_of_layer(extra: str | Mapping[int, str], layer: int, depth: int) -> str:
    """What `extra` says of a layer: of all layers the same, or of those that a mapping names.

    Raises `CircuitError` for what is neither, and for a layer that is not there.
    """
    if not isinstance(extra, Mapping):
        require_kind("extra", extra, str)
        return extra
    for key, text in extra.items():
        if not (is_whole(key) and 1 <= key <= depth):
            raise CircuitError(f"extra of layer {shown(key)}; give layers from 1 to {depth}")
        require_kind(f"extra of layer {key}", text, str)
    return extra.get(layer, "")


def with_extra(lines: Sequence[str], extra: str, layer: int) -> list[str]:
    """The equations of a layer, one a line, with `extra` among them. Raises `CircuitError`."""
    if not extra.strip():
        return list(lines)
    try:
        added = written.Equations(extra)
    except REFUSALS as error:
        raise refusal(error, layer) from None
    for name in sorted(added.names):
        _require_changeable(name, added[name], layer)
    kept = [line for line in lines if _defined(line) not in added.names]
    return [*kept, *extra.strip().splitlines()]


def refusal(error: Exception, layer: int) -> CircuitError:
    """Brian2's complaint of a layer with `extra`, in one line."""
    words = str(error.args[0]) if error.args else type(error).__name__
    if isinstance(error, KeyError) and "could not be resolved" in words:
        name = words.split('"')[1]
        return CircuitError(
            f"extra of layer {layer} speaks of {name}, which it does not define; define it there, "
            "or give it in namespace"
        )
    words = " ".join(
        (str(error) or words).replace("%", "").replace("unit radian", "unit 1").split()
    )
    return CircuitError(f"extra of layer {layer} cannot be: {words}")


def _defined(line: str) -> str:
    """The variable that a line of equations is about."""
    word = line.replace(":", "=").split("=")[0].strip()
    return word.removeprefix("d").removesuffix("/dt") if word.endswith("/dt") else word


def _require_changeable(name: str, equation: Any, layer: int) -> None:
    if name in WRITTEN:
        raise CircuitError(
            f"extra of layer {layer} changes {name}, into which the pieces or their synapses "
            f"write; change {', '.join(CHANGEABLE)}, or take another name"
        )
    if name not in CHANGEABLE:
        return
    if not equation.dim.is_dimensionless or equation.var_type != FLOAT:
        kind = equation.unit if equation.var_type == FLOAT else equation.var_type
        raise CircuitError(
            f"extra of layer {layer} makes {name} a {kind}; it is read as a number without unit: "
            "end its line with : 1"
        )
    if name == "y" and equation.type != DIFFERENTIAL_EQUATION:
        raise CircuitError(f"extra of layer {layer} has no dy/dt for the rate y; give one")
    if name != "current" and equation.type == PARAMETER:
        raise CircuitError(
            f"extra of layer {layer} leaves {name} without an equation; give {name} = ... : 1"
        )
