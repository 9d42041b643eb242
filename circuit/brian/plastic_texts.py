"""The equations of learning inside the circuit (`circuit.plastic`) as Brian2 text, with units.

Owns the text of layers and synapses. Does not own the values, nor the objects that carry the text
(`circuit.brian.plastic`). Asks nothing of Brian2.
"""

from __future__ import annotations

import numpy as np

from circuit.errors import CircuitError
from circuit.plastic import Plastic
from circuit.unit_texts import UNIT_TEXTS


def input_equations() -> str:
    """The input: the image that is shown."""
    return "axon : 1\nunits : integer (constant, shared)"


SHOW_IMAGE = "axon = images(t, i % units)"


def layer_equations(plastic: Plastic, layer: int) -> str:
    """The equations of `layer` (1 .. L) as text for a `NeuronGroup`.

    "Constant over dt" means computed once per step, in the order that
    `circuit.brian.plastic` gives. Raises `CircuitError` for a layer that is not there.
    """
    if not 1 <= layer <= plastic.network.depth:
        raise CircuitError(
            f"layer {layer} has no equations; choose from 1 .. {plastic.network.depth}"
        )
    text, top = UNIT_TEXTS[plastic.network.activation(layer).name], plastic.network.depth
    pull = "gamma*nudged*(teacher - response)" if layer == top else "gamma*(mismatch + feedback)"
    fluctuation = " + noise*sqrt(2/tau)*xi" if np.any(plastic.noise > 0) else ""
    lines = [
        f"dy/dt = (response - y + {pull})/tau{fluctuation} : 1",
        "nudged = int(timestep(t, dt) % period >= free) : 1 (constant over dt)",
        "drive = weighted + bias : 1 (constant over dt)",
        f"response = {text.response} : 1 (constant over dt)",
        f"slope = {text.slope} : 1 (constant over dt)",
    ]
    if plastic.own_drive == "membrane":
        lines += ["down/dt = (response - own)/own_tau : 1"]
        lines += ["mismatch = y - own : 1 (constant over dt)"]
    else:
        lines += ["mismatch = y - response : 1 (constant over dt)"]
    if plastic.readout == "shift":
        lines += ["dremembered/dt = (1 - nudged)*(y - remembered)/memory : 1"]
        signal = "nudged*(y - remembered)"
    else:
        signal = "mismatch"
    lines += [f"teaching = rate*slope*{signal}/gain : Hz (constant over dt)"]
    if layer > 1:
        lines += ["sent = response + slope**2*mismatch : 1 (constant over dt)"]
        lines += [f"message = {text.inverse} - drive : 1 (constant over dt)"]
    if plastic.storage == "captured":
        lines += ["dtagged/dt = teaching - (1 - nudged)*tagged/capture : 1"]
        lines += ["dbias/dt = (1 - nudged)*tagged/capture : 1"]
    else:
        lines += ["dbias/dt = teaching : 1"]
    if layer == top:
        lines += _teacher(plastic.timing.teacher_stages)
    lines += _axon(plastic, layer)
    lines += ["weighted : 1", "feedback : 1", "gamma : 1 (constant)", "rate : Hz (constant)"]
    lines += [f"{name} : 1 (constant, shared)" for name in ("gain", "leak")]
    lines += [f"{name} : second (constant, shared)" for name in ("memory", "capture", "lag")]
    lines += [f"{name} : integer (constant, shared)" for name in ("period", "free", "units")]
    lines += ["own_tau : second (constant)"]
    lines += ["tau : second (constant)", "noise : 1 (constant)", "late : integer (constant)"]
    return "\n".join(lines)


def _teacher(stages: int) -> list[str]:
    """The target as it reaches the output."""
    if stages == 0:
        return ["teacher = labels(t, i % units) : 1 (constant over dt)"]
    before = ["labels(t, i % units)", *(f"teacher_{stage}" for stage in range(1, stages))]
    names = [*(f"teacher_{stage}" for stage in range(1, stages)), "teacher"]
    return [
        f"d{name}/dt = ({source} - {name})/lag : 1"
        for name, source in zip(names, before, strict=True)
    ]


def _carried(layer: int) -> tuple[dict[str, str], dict[str, str]]:
    """What leaves a unit, as name -> what it is late by; rates, and what is sent down."""
    up = {"axon": "y"}
    down = {"letter": "message", "lesson": "teaching"} if layer > 1 else {}
    return up, down


def _axon(plastic: Plastic, layer: int) -> list[str]:
    """Names of what leaves a unit; with delays, the variables that hold it back."""
    up, down = _carried(layer)
    units = {"lesson": "Hz"}
    lines = []
    for name, source in {**up, **down}.items():
        unit = units.get(name, "1")
        if plastic.longest_delay == 0:
            lines += [f"{name} = {source} : {unit}"]
            continue
        lines += [f"{name} : {unit}"]
        lines += [f"{name}_{age} : {unit}" for age in range(plastic.longest_delay + 1)]
    return lines


def transmission(plastic: Plastic, layer: int) -> tuple[str, str]:
    """The statements that hold back rates, and messages, in every step; "" without delays.

    NAME_k is what was sent k steps ago, and `late` the delay of a unit.
    """
    if plastic.longest_delay == 0:
        return "", ""
    up, down = (
        "\n".join(_hold(name, source, plastic.longest_delay) for name, source in part.items())
        for part in _carried(layer)
    )
    return up, down


def _hold(name: str, source: str, longest: int) -> str:
    ages = range(longest, 0, -1)
    lines = [f"{name}_{age} = {name}_{age - 1}" for age in ages]
    lines += [f"{name}_0 = {source}"]
    chosen = " + ".join(f"int(late == {age})*{name}_{age}" for age in range(longest + 1))
    return "\n".join([*lines, f"{name} = {chosen}"])


def synapse_equations(plastic: Plastic, direction: str) -> str:
    """The equations of `direction` "feedforward" or "feedback" as text for `Synapses`.

    Raises `CircuitError` for any other direction.
    """
    if direction not in ("feedforward", "feedback"):
        raise CircuitError(f"direction {direction!r} is unknown; choose feedforward or feedback")
    if direction == "feedforward":
        summed, product = "weighted_post = weight*axon_pre", "teaching_post*axon_pre"
    else:
        summed, product = "feedback_post = weight*letter_pre", "plasticity*lesson_pre*y_post"
    if plastic.storage == "captured":
        change = [
            f"dtag/dt = {product} - (1 - nudged_post)*tag/capture_post : 1 (clock-driven)",
            "dweight/dt = (1 - nudged_post)*tag/capture_post - loss*weight : 1 (clock-driven)",
        ]
    else:
        change = [f"dweight/dt = {product} - loss*weight : 1 (clock-driven)"]
    if direction == "feedback":
        change += ["plasticity : 1 (constant)"]
    return "\n".join([*change, "loss : Hz (constant)", f"{summed} : 1 (summed)"])
