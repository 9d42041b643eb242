"""The equations of learning inside the circuit (`circuit.plastic.circuit`) as Brian2 text, with
units.

Owns the text of layers and synapses. Asks nothing of Brian2.
"""

from __future__ import annotations

import numpy as np

from circuit.errors import CircuitError
from circuit.plastic import sleep
from circuit.plastic.circuit import Plastic
from circuit.units.table import UNIT_TEXTS


def input_equations(plastic: Plastic) -> str:
    """The input: the image that is shown."""
    lines = ["axon : 1", "units : integer (constant, shared)"]
    if plastic.sleep is not None:
        lines += ["period : integer (constant, shared)", sleep.STATES]
    return "\n".join(lines)


def show_image(plastic: Plastic) -> str:
    """What the input carries out in every step."""
    image = "images(t, i % units)"
    if plastic.sleep is None:
        return f"axon = {image}"
    return f"{sleep.CALENDAR}\naxon = awake*{image} + (1 - awake)*{sleep.SPARK}"


def fire(plastic: Plastic, layer: int) -> str:
    """What `layer` (1 .. L) carries out in every step before all sums; "" without sleep."""
    if plastic.sleep is None:
        return ""
    # nobody reads the output's axon
    return sleep.CALENDAR + (f"\nspark = {sleep.SPARK}" if layer < plastic.network.depth else "")


def layer_equations(plastic: Plastic, layer: int) -> str:
    """The equations of `layer` (1 .. L) as text for a `NeuronGroup`.

    "Constant over dt" means computed once per step, in the order that
    `circuit.plastic.objects` gives. Raises `CircuitError` for a layer that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import Network
    >>> from circuit.plastic import Plastic, Timing, layer_equations
    >>> W = np.array([[[0.6, 0.8]]]), np.array([[[1.0]]])
    >>> network = Network(W, (np.zeros((1, 1)),) * 2, ("leaky_relu",) * 2, n_inputs=2, n_outputs=1)
    >>> timing = Timing(step=0.002, free_steps=0, nudged_steps=50)  # of every image
    >>> feedback, rates, taus = (np.ones((1, 1, 1)),), np.array([2.0]), (np.full((1, 1), 0.01),) * 2
    >>> plastic = Plastic(network, feedback, rates, timing, 0.1, taus)
    >>> layer_equations(plastic, 2).splitlines()[0]
    'dy/dt = (response - y + gamma*nudged*(teacher - response))/tau : 1'
    """
    if not 1 <= layer <= plastic.network.depth:
        raise CircuitError(
            f"layer {layer} has no equations; choose from 1 .. {plastic.network.depth}"
        )
    text, top = UNIT_TEXTS[plastic.network.activation(layer).name], plastic.network.depth
    pull = "gamma*nudged*(teacher - response)" if layer == top else "gamma*(mismatch + feedback)"
    fluctuation = " + noise*sqrt(2/tau)*xi" if np.any(plastic.noise > 0) else ""
    awake = "" if plastic.sleep is None else "awake*"  # else it stands still
    free = _free(plastic)
    lines = [
        f"dy/dt = {awake}(response - y + {pull})/tau{fluctuation} : 1",
        f"nudged = {awake}int(timestep(t, dt) % period >= free) : 1 (constant over dt)",
        f"drive = {awake}weighted + bias : 1 (constant over dt)",
        f"response = {text.response} : 1 (constant over dt)",
        f"slope = {text.slope} : 1 (constant over dt)",
    ]
    if plastic.own_drive == "membrane":
        lines += [f"down/dt = {awake}(response - own)/own_tau : 1"]
        away = "y - own"
    else:
        away = "y - response"
    lines += [f"mismatch = {f'{awake}({away})' if awake else away} : 1 (constant over dt)"]
    if plastic.readout == "shift":
        lines += [f"dremembered/dt = {free}*(y - remembered)/memory : 1"]
        signal = "nudged*(y - remembered)"
    else:
        signal = "mismatch"
    lines += [f"teaching = rate*slope*{signal}/gain : Hz (constant over dt)"]
    if layer > 1:
        length = "squared_length*" if plastic.pathway == "grait" else ""
        lines += [f"sent = response + slope**2*{length}mismatch : 1 (constant over dt)"]
        lines += [f"message = {text.inverse} - drive : 1 (constant over dt)"]
    if plastic.storage == "captured":
        lines += [f"dtagged/dt = teaching - {free}*tagged/capture : 1"]
        lines += [f"dbias/dt = {free}*tagged/capture : 1"]
    else:
        lines += ["dbias/dt = teaching : 1"]
    if layer == top:
        lines += _teacher(plastic.timing.teacher_stages, awake)
    lines += _axon(plastic, layer)
    lines += ["squared_length : 1"] if plastic.pathway == "grait" else []
    lines += ["weighted : 1", "feedback : 1", "gamma : 1 (constant)", "rate : Hz (constant)"]
    lines += [f"{name} : 1 (constant, shared)" for name in ("gain", "leak")]
    lines += [f"{name} : second (constant, shared)" for name in ("memory", "capture", "lag")]
    lines += [f"{name} : integer (constant, shared)" for name in ("period", "free", "units")]
    lines += ["own_tau : second (constant)"]
    lines += ["tau : second (constant)", "noise : 1 (constant)", "late : integer (constant)"]
    if plastic.sleep is not None:
        lines += [sleep.STATES, sleep.ANSWER]
    return "\n".join(lines)


def _free(plastic: Plastic, place: str = "") -> str:
    """1 in the free phase, else 0."""
    return f"({'1' if plastic.sleep is None else f'awake{place}'} - nudged{place})"


def _teacher(stages: int, awake: str) -> list[str]:
    """The target as it reaches the output."""
    if stages == 0:
        return ["teacher = labels(t, i % units) : 1 (constant over dt)"]
    before = ["labels(t, i % units)", *(f"teacher_{stage}" for stage in range(1, stages))]
    names = [*(f"teacher_{stage}" for stage in range(1, stages)), "teacher"]
    return [
        f"d{name}/dt = {awake}({source} - {name})/lag : 1"
        for name, source in zip(names, before, strict=True)
    ]


def _carried(plastic: Plastic, layer: int) -> tuple[dict[str, str], dict[str, str]]:
    """What leaves a unit, as name -> what it is late by; rates, and what is sent down."""
    if plastic.sleep is None:
        axon, letter = "y", "message"
    else:  # what is sent down in sleep comes back as what B makes of the weighted sum
        axon, letter = "awake*y + (1 - awake)*spark", "message + (1 - awake)*weighted"
    down = {"letter": letter, "lesson": "teaching"} if layer > 1 else {}
    return {"axon": axon}, down


def _axon(plastic: Plastic, layer: int) -> list[str]:
    """Names of what leaves a unit; with delays, the variables that hold it back."""
    up, down = _carried(plastic, layer)
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
        for part in _carried(plastic, layer)
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

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import Network
    >>> from circuit.plastic import Plastic, Timing, synapse_equations
    >>> W = np.array([[[0.6, 0.8]]]), np.array([[[1.0]]])
    >>> network = Network(W, (np.zeros((1, 1)),) * 2, ("leaky_relu",) * 2, n_inputs=2, n_outputs=1)
    >>> timing = Timing(step=0.002, free_steps=0, nudged_steps=50)  # of every image
    >>> feedback, rates, taus = (np.ones((1, 1, 1)),), np.array([2.0]), (np.full((1, 1), 0.01),) * 2
    >>> plastic = Plastic(network, feedback, rates, timing, 0.1, taus)
    >>> "lesson_pre*y_post" in synapse_equations(plastic, "feedback")
    True
    """
    if direction not in ("feedforward", "feedback"):
        raise CircuitError(f"direction {direction!r} is unknown; choose feedforward or feedback")
    if direction == "feedforward":
        summed, product = "weighted_post = weight*axon_pre", "teaching_post*axon_pre"
        asleep = "pulled_post*axon_pre"
    else:
        summed, product = "feedback_post = weight*letter_pre", "plasticity*lesson_pre*y_post"
        asleep = "inverting*practising_post*(spark_post - feedback_post)*weighted_pre"
    loss, free = "loss*weight", _free(plastic, "_post")
    if plastic.sleep is not None:
        loss = f"awake_post*{loss} + {asleep}"
    if plastic.storage == "captured":
        change = [
            f"dtag/dt = {product} - {free}*tag/capture_post : 1 (clock-driven)",
            f"dweight/dt = {free}*tag/capture_post - {loss} : 1 (clock-driven)",
        ]
    else:
        change = [f"dweight/dt = {product} - {loss} : 1 (clock-driven)"]
    if direction == "feedback":
        change += ["plasticity : 1 (constant)"]
        change += ["inverting : Hz (constant)"] if plastic.sleep is not None else []
    sums = [f"{summed} : 1 (summed)"]
    if direction == "feedforward" and plastic.pathway == "grait":
        sums += ["squared_length_post = weight**2 : 1 (summed)"]
    return "\n".join([*change, "loss : Hz (constant)", *sums])
