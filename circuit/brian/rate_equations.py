"""The rate equations of `circuit.dynamics` as Brian2 text, with units.

Owns the text. Does not own what a user adds to it (`circuit.brian.extra`), nor the groups and
synapses that carry it and their order within a step (`circuit.brian.objects`).
"""

from __future__ import annotations

from collections.abc import Mapping

from circuit.brian.extra import text_of_layer, with_extra
from circuit.circuit import Circuit
from circuit.errors import CircuitError
from circuit.units.table import UNIT_TEXTS

INPUT_EQUATIONS = "y : 1"  # clamped

FEEDFORWARD_EQUATIONS = """
weight : 1 (constant)
weighted_post = weight*y_pre : 1 (summed)
"""

FEEDBACK_EQUATIONS = """
weight : 1 (constant)
feedback_post = weight*message_pre : 1 (summed)
"""


def equations(
    circuit: Circuit, layer: int, *, noise: bool = False, extra: str | Mapping[int, str] = ""
) -> str:
    """Return the equations of `layer` (1 .. L) as text for a `NeuronGroup`.

    `gamma` is 0 at units that get no feedback; `offset` is c of a plain circuit's feedback B x + c;
    `squared_length` is N^2 of a unit's weights (GRAIT pathway), which stand still here. `current`
    is 0 until somebody sends it: it drives a unit as its bias does, and the unit knows of it, so
    that it sends nothing of it down. "Constant over dt" means computed once per step, in the order
    that `circuit.brian.objects` gives.

    `extra` as in `make_pieces`.

    Raises `CircuitError` for a layer that is not there, for an activation without text, and for an
    `extra` that cannot be (`circuit.brian.extra`).

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise
    >>> from circuit.brian import equations
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> equations(trial.circuit, 1).splitlines()[0]
    'dy/dt = (response - y + gamma*(feedback - response))/tau : 1'
    """
    if not 1 <= layer <= circuit.network.depth:
        raise CircuitError(
            f"layer {layer} has no equations; choose from 1 .. {circuit.network.depth}"
        )
    unit = circuit.network.activation(layer)
    if unit.name not in UNIT_TEXTS:
        raise CircuitError(
            f"activation {unit.name!r} has no Brian2 text; use {', '.join(UNIT_TEXTS)}, or add it "
            "to its file in circuit.units"
        )
    text = UNIT_TEXTS[unit.name]
    pull = received = "target" if layer == circuit.network.depth else "feedback"
    if pull == "feedback" and circuit.sends_deviations:
        received = "(y + feedback)"
    elif pull == "feedback" and circuit.is_plain:
        received = "(feedback + offset)"
    fluctuation = " + noise*sqrt(2/tau)*xi" if noise else ""
    lines = [
        f"dy/dt = (response - y + gamma*({received} - response))/tau{fluctuation} : 1",
        "drive = weighted + bias + current : 1 (constant over dt)",
        f"response = {text.response} : 1 (constant over dt)",
    ]
    if layer > 1:  # nobody listens to what layer 1 would send to the input
        if circuit.pathway.gradient_adjusted:
            adjusted = circuit.pathway.row_adjusted
            deviation = "squared_length*(y - response)" if adjusted else "(y - response)"
            lines += [
                f"slope = {text.slope} : 1 (constant over dt)",
                f"sent = response + slope**2*{deviation} : 1 (constant over dt)",
            ]
        else:
            lines += ["sent = y : 1 (constant over dt)"]
        less = (
            " - bias - current"
            if circuit.feedback is None
            else " - drive"
            if circuit.corrected
            else ""
        )
        lines += [f"message = {text.inverse}{less} : 1 (constant over dt)"]
    lines += [
        "weighted : 1",
        f"{pull} : 1",
        "current : 1",
        "gamma : 1",
        "bias : 1 (constant)",
        "tau : second (constant, shared)",
    ]
    if received == "(feedback + offset)":
        lines += ["offset : 1 (constant)"]
    if circuit.pathway.row_adjusted:
        lines += ["squared_length : 1 (constant)"]
    if unit.name == "leaky_relu":
        lines += ["leak : 1 (constant, shared)"]
    if noise:
        lines += ["noise : 1 (constant, shared)"]
    return "\n".join(with_extra(lines, text_of_layer(extra, layer, circuit.network.depth), layer))
