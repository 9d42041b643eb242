"""The groups and synapses of a circuit whose weights learn.

Owns the objects, the order in which they act within a step, and what holds images, targets and
spontaneous activity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from circuit.brian.library import QuietGroup, QuietSynapses, brian2, code_class, require_name
from circuit.checks.room import require_so_few
from circuit.plastic.circuit import Plastic, require_stream
from circuit.plastic.equations import (
    fire,
    input_equations,
    layer_equations,
    show_image,
    synapse_equations,
    transmission,
)
from circuit.plastic.sleep import LATERAL, require_patterns
from circuit.records.brief import Brief

# places in the slot "groups" in a plastic circuit: what was sent arrives, is summed and answered,
# the answer goes down, and then weights and rates move, each by what all of them were before
ARRIVE, SUM_PLASTIC, ANSWER, SEND_DOWN, SUM_MESSAGES, LEARN, MOVE = range(-6, 1)
"""Places in the slot "groups" of Brian2: the order of the parts of a step."""


@dataclass(frozen=True, eq=False, repr=False)
class PlasticPieces(Brief):
    """A plastic circuit and its stream of images as Brian2 objects that belong to no network yet.

    Attributes
    ----------
    plastic : what was built
    clock : the `Clock` that all of them follow
    layers : `NeuronGroup`s of the layers 0 .. L; neuron `network * N_l + unit`
    feedforward, feedback : `Synapses`; `feedforward[l-1]` and `feedback[l-1]` end at layer l
    lateral : `Synapses`; `lateral[l-1]` joins layer l to itself; none without sleep

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import Network
    >>> from circuit.plastic import Plastic, Timing, make_plastic_pieces
    >>> W = np.array([[[0.6, 0.8]]]), np.array([[[1.0]]])
    >>> network = Network(W, (np.zeros((1, 1)),) * 2, ("leaky_relu",) * 2, n_inputs=2, n_outputs=1)
    >>> timing = Timing(step=0.002, free_steps=0, nudged_steps=50)  # of every image
    >>> feedback, rates, taus = (np.ones((1, 1, 1)),), np.array([2.0]), (np.full((1, 1), 0.01),) * 2
    >>> plastic = Plastic(network, feedback, rates, timing, 0.1, taus)
    >>> pieces = make_plastic_pieces(plastic, np.ones((1, 2)), np.ones((1, 1)))
    >>> len(pieces.layers), len(pieces.feedforward), len(pieces.feedback)
    (3, 2, 1)
    """

    plastic: Plastic
    clock: brian2.Clock
    layers: tuple[brian2.NeuronGroup, ...]
    feedforward: tuple[brian2.Synapses, ...]
    feedback: tuple[brian2.Synapses, ...]
    lateral: tuple[brian2.Synapses, ...] = ()

    @property
    def objects(self) -> tuple[brian2.BrianObject, ...]:
        """All that a `Network` must hold for the circuit to run."""
        return (*self.layers, *self.feedforward, *self.feedback, *self.lateral)


def make_plastic_pieces(
    plastic: Plastic,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    patterns: Sequence[np.ndarray] = (),
    codegen: str = "numpy",
    name: str = "plastic",
) -> PlasticPieces:
    """Make the groups and synapses of a plastic circuit, its images and targets in `TimedArray`s.

    Parameters
    ----------
    inputs : array (images, N_0), in the order in which they are shown
    targets : array (images, n_outputs)
    patterns : what fires in sleep, as `circuit.plastic.sleep.spontaneous_patterns` gives it; else
        none
    codegen, name : as in `make_pieces`

    Raises
    ------
    CircuitError
        For bad values, or more than `MOST_SYNAPSES` synapses.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import Network
    >>> from circuit.plastic import Plastic, Timing, make_plastic_pieces
    >>> W = np.array([[[0.6, 0.8]]]), np.array([[[1.0]]])
    >>> network = Network(W, (np.zeros((1, 1)),) * 2, ("leaky_relu",) * 2, n_inputs=2, n_outputs=1)
    >>> timing = Timing(step=0.002, free_steps=0, nudged_steps=50)  # of every image
    >>> feedback, rates, taus = (np.ones((1, 1, 1)),), np.array([2.0]), (np.full((1, 1), 0.01),) * 2
    >>> plastic = Plastic(network, feedback, rates, timing, 0.1, taus)
    >>> pieces = make_plastic_pieces(plastic, np.ones((1, 2)), np.ones((1, 1)), name="mine")
    >>> [layer.name for layer in pieces.layers]
    ['mine_layer_0', 'mine_layer_1', 'mine_layer_2']
    """
    network, timing, target = plastic.network, plastic.timing, code_class(codegen)
    count, widths = len(plastic.rates), network.widths
    require_name(name)
    require_stream(plastic, inputs, targets)
    lateral = () if plastic.sleep is None else plastic.sleep.lateral_of(widths)
    matrices = (*network.weights, *plastic.feedback, *lateral)
    require_so_few(sum(matrix.size for matrix in matrices), widths)
    clock = brian2.Clock(dt=timing.step * brian2.second, name=f"{name}_clock")
    common = {"clock": clock, "dtype": np.float64, "codeobj_class": target}
    period = plastic.period * timing.step * brian2.second
    wide = np.zeros((len(targets), widths[-1]))
    wide[:, : network.n_outputs] = targets
    spaces: list[dict[str, Any]] = [{} for _ in widths]
    spaces[0]["images"] = brian2.TimedArray(inputs, dt=period, name=f"{name}_images")
    spaces[-1]["labels"] = brian2.TimedArray(wide, dt=period, name=f"{name}_labels")
    if plastic.sleep is not None:
        require_patterns(plastic.sleep, widths, len(inputs), patterns)
        for layer, shown in enumerate(patterns):
            beat = plastic.sleep.period * timing.step * brian2.second
            spaces[layer]["sparks"] = brian2.TimedArray(shown, beat, name=f"{name}_sparks_{layer}")
    layers = tuple(
        QuietGroup(
            count * width,
            layer_equations(plastic, layer) if layer else input_equations(plastic),
            method="euler",
            name=f"{name}_layer_{layer}",
            namespace=spaces[layer],
            **common,
        )
        for layer, width in enumerate(widths)
    )
    layers[0].units = widths[0]
    _set_calendar(plastic, layers[0])
    _each_step(layers[0], show_image(plastic), ARRIVE, target)
    for layer, group in enumerate(layers[1:], 1):
        _set_constants(plastic, layer, group)
        group.subexpression_updater.when = "groups"
        group.subexpression_updater.order = ANSWER
        group.state_updater.order = MOVE
        up_text, down_text = transmission(plastic, layer)
        _each_step(group, fire(plastic, layer), ARRIVE, target)
        _each_step(group, up_text, ARRIVE, target)
        _each_step(group, down_text, SEND_DOWN, target)

    make = partial(_make_synapses, plastic, name, common)
    pairs = list(enumerate(pairwise(layers), 1))
    feedforward = tuple(
        make("feedforward", layer, lower, upper, network.weights[layer - 1])
        for layer, (lower, upper) in pairs
    )
    feedback = tuple(  # nothing is sent down to the input
        make("feedback", layer - 1, upper, lower, plastic.feedback[layer - 2])
        for layer, (lower, upper) in pairs[1:]
    )
    inhibition = tuple(
        _make_lateral(plastic, name, common, layer, group, M)
        for layer, (group, M) in enumerate(zip(layers[1:], lateral, strict=bool(lateral)), 1)
    )
    return PlasticPieces(plastic, clock, layers, feedforward, feedback, inhibition)


def _each_step(group: brian2.NeuronGroup, statements: str, order: int, target: Any) -> None:
    """Let the group carry out statements in every step."""
    if statements:
        group.run_regularly(
            statements, when="groups", order=order, clock=group.clock, codeobj_class=target
        )


def _set_constants(plastic: Plastic, layer: int, group: brian2.NeuronGroup) -> None:
    network, timing, width = plastic.network, plastic.timing, plastic.network.widths[layer]
    second = brian2.second
    group.bias = network.biases[layer - 1].ravel()
    group.tau = plastic.time_constants[layer - 1].ravel() * second
    group.own_tau = plastic.own_time_constants[layer - 1].ravel() * second
    group.rate = np.repeat(_rates(plastic, layer), width) / second
    group.noise = np.repeat(plastic.noise, width)
    group.late = np.repeat(plastic.delays, width)
    gamma = np.zeros((len(plastic.rates), width))
    gamma[:, : network.n_projecting(layer)] = plastic.strength
    group.gamma = gamma.ravel()
    group.gain = plastic.gains[layer - 1]
    group.leak = network.activation(layer).smallest_slope
    group.memory, group.capture = timing.memory * second, timing.capture * second
    group.lag = timing.lag * second
    group.period, group.free, group.units = plastic.period, timing.free_steps, width
    _set_calendar(plastic, group)
    if plastic.sleep is not None:
        group.strength = np.repeat(plastic.sleep.strengths, width) / second


def _rates(plastic: Plastic, layer: int) -> np.ndarray:
    """Of learning in `layer` (1 .. L) of every circuit, (R,)."""
    return np.asarray(plastic.rates * plastic.layer_plasticity[:, layer - 1])


def _set_calendar(plastic: Plastic, group: brian2.NeuronGroup) -> None:
    """When the units of a circuit that sleeps do."""
    sleep, timing = plastic.sleep, plastic.timing
    if sleep is not None:
        group.period, group.shown = plastic.period, timing.steps
        group.hold, group.wait, group.patterns = sleep.period, sleep.wait, sleep.patterns
        group.beat = sleep.period * timing.step * brian2.second


def _make_synapses(
    plastic: Plastic,
    name: str,
    common: dict[str, Any],
    direction: str,
    place: int,
    source: brian2.NeuronGroup,
    target: brian2.NeuronGroup,
    weights: np.ndarray,
) -> brian2.Synapses:
    """All units of source and target joined within each circuit, through (R, n_post, n_pre)."""
    synapses = QuietSynapses(
        source,
        target,
        synapse_equations(plastic, direction),
        method="euler",
        name=f"{name}_{direction}_{place}",
        namespace={},
        **common,
    )
    _join(synapses, weights)
    n_post, n_pre = weights.shape[1:]
    loss = plastic.decay * _rates(plastic, place + (direction == "feedback"))
    if direction == "feedback":
        synapses.plasticity = np.repeat(plastic.feedback_plasticity, n_post * n_pre)
        loss = loss * plastic.feedback_plasticity
        if plastic.sleep is not None:
            inverting = np.repeat(plastic.sleep.inverse_rates, n_post * n_pre)
            synapses.inverting = inverting / brian2.second
    synapses.loss = np.repeat(loss, n_post * n_pre) / brian2.second
    for updater in synapses.summed_updaters.values():
        updater.order = SUM_PLASTIC if direction == "feedforward" else SUM_MESSAGES
    synapses.state_updater.order = LEARN
    return synapses


def _make_lateral(
    plastic: Plastic,
    name: str,
    common: dict[str, Any],
    layer: int,
    group: brian2.NeuronGroup,
    weights: np.ndarray,
) -> brian2.Synapses:
    """All units of a layer joined within each circuit, each to itself too, through (R, n, n)."""
    assert plastic.sleep is not None
    synapses = QuietSynapses(
        group,
        group,
        LATERAL,
        method="euler",
        name=f"{name}_lateral_{layer}",
        namespace={},
        **common,
    )
    _join(synapses, weights)
    rates = np.repeat(plastic.sleep.lateral_rates, weights[0].size)
    synapses.learning = rates / brian2.second
    (updater,) = synapses.summed_updaters.values()
    updater.order, synapses.state_updater.order = SUM_PLASTIC, LEARN
    return synapses


def _join(synapses: brian2.Synapses, weights: np.ndarray) -> None:
    """Connect within each circuit, through (R, n_post, n_pre)."""
    n_post, n_pre = weights.shape[1:]
    circuit, post, pre = np.indices(weights.shape).reshape(3, -1)
    synapses.connect(i=circuit * n_pre + pre, j=circuit * n_post + post)
    synapses.weight = weights.ravel()
