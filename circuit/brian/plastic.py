"""Learning inside the circuit: weights are variables of the dynamics, images follow one another.

Owns the groups and synapses of a plastic circuit, their run through a stream of images, and the
snapshots of weights. Does not own what a plastic circuit is (`circuit.plastic`) nor its equations
as text (`circuit.brian.plastic_texts`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from circuit.brian.library import (
    brian2,
    code_class,
    divergence_unsaid,
    require_name,
    require_so_few,
    run_steps,
    seeded,
)
from circuit.brian.plastic_texts import (
    SHOW_IMAGE,
    input_equations,
    layer_equations,
    synapse_equations,
    transmission,
)
from circuit.errors import CircuitError
from circuit.plastic import Plastic, PlasticRecord, require_stream

# places in the slot "groups" in a plastic circuit: what was sent arrives, is summed and answered,
# the answer goes down, and then weights and rates move, each by what all of them were before
ARRIVE, SUM_PLASTIC, ANSWER, SEND_DOWN, SUM_MESSAGES, LEARN, MOVE = range(-6, 1)


@dataclass(frozen=True, eq=False)
class PlasticPieces:
    """A plastic circuit and its stream of images as Brian2 objects that belong to no network yet.

    Attributes
    ----------
    plastic : what was built
    clock : the `Clock` that all of them follow
    layers : `NeuronGroup`s of the layers 0 .. L; neuron `network * N_l + unit`
    feedforward, feedback : `Synapses`; `feedforward[l-1]` and `feedback[l-1]` end at layer l
    """

    plastic: Plastic
    clock: brian2.Clock
    layers: tuple[brian2.NeuronGroup, ...]
    feedforward: tuple[brian2.Synapses, ...]
    feedback: tuple[brian2.Synapses, ...]

    @property
    def objects(self) -> tuple[brian2.BrianObject, ...]:
        """All that a `Network` must hold for the circuit to run."""
        return (*self.layers, *self.feedforward, *self.feedback)


def make_plastic_pieces(
    plastic: Plastic,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    codegen: str = "numpy",
    name: str = "plastic",
) -> PlasticPieces:
    """Make the groups and synapses of a plastic circuit, its images and targets in `TimedArray`s.

    Parameters
    ----------
    inputs : array (images, N_0), in the order in which they are shown
    targets : array (images, n_outputs)
    codegen, name : as in `make_pieces`

    Raises
    ------
    CircuitError
        For bad values, or more than `MOST_SYNAPSES` synapses.
    """
    network, timing, target = plastic.network, plastic.timing, code_class(codegen)
    count, widths = len(plastic.rates), network.widths
    require_name(name)
    require_stream(plastic, inputs, targets)
    require_so_few(sum(matrix.size for matrix in (*network.weights, *plastic.feedback)), widths)
    clock = brian2.Clock(dt=timing.step * brian2.second, name=f"{name}_clock")
    common = {"clock": clock, "dtype": np.float64, "codeobj_class": target}
    period = timing.steps * timing.step * brian2.second
    wide = np.zeros((len(targets), widths[-1]))
    wide[:, : network.n_outputs] = targets
    spaces: list[dict[str, Any]] = [{} for _ in widths]
    spaces[0]["images"] = brian2.TimedArray(inputs, dt=period, name=f"{name}_images")
    spaces[-1]["labels"] = brian2.TimedArray(wide, dt=period, name=f"{name}_labels")
    layers = tuple(
        brian2.NeuronGroup(
            count * width,
            layer_equations(plastic, layer) if layer else input_equations(),
            method="euler",
            name=f"{name}_layer_{layer}",
            namespace=spaces[layer],
            **common,
        )
        for layer, width in enumerate(widths)
    )
    layers[0].units = widths[0]
    _each_step(layers[0], SHOW_IMAGE, ARRIVE, target)
    for layer, group in enumerate(layers[1:], 1):
        _set_constants(plastic, layer, group)
        group.subexpression_updater.when = "groups"
        group.subexpression_updater.order = ANSWER
        group.state_updater.order = MOVE
        up_text, down_text = transmission(plastic, layer)
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
    return PlasticPieces(plastic, clock, layers, feedforward, feedback)


def run_plastic(
    plastic: Plastic,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    snapshots: int = 1,
    generator: np.random.Generator | None = None,
    codegen: str = "numpy",
) -> PlasticRecord:
    """Let the circuits learn from a stream of images: one run, in which only equations act.

    Parameters
    ----------
    inputs, targets, codegen : as in `make_plastic_pieces`
    snapshots
        How many times weights are recorded after the beginning: every ceil(images / snapshots)
        images, so less often where that is rounded up, and at the end, where the last distance may
        be shorter. By default at the end alone.
    generator : where the seed of the noise is drawn from. Needed if there is noise.

    Raises
    ------
    CircuitError
    """
    if plastic.noise.any() and generator is None:
        raise CircuitError("noise needs a generator; give for example numpy.random.default_rng(1)")
    if not (isinstance(snapshots, int | np.integer) and 1 <= snapshots <= len(inputs)):
        raise CircuitError(f"snapshots = {snapshots!r}; give 1 to {len(inputs)}, one an image")
    pieces = make_plastic_pieces(plastic, inputs, targets, codegen=codegen)
    every = -(-len(inputs) // snapshots)
    clock = brian2.Clock(
        dt=every * plastic.timing.steps * pieces.clock.dt, name="plastic_record_clock"
    )
    watched = [(synapses, "weight") for synapses in (*pieces.feedforward, *pieces.feedback)]
    watched += [(group, "bias") for group in pieces.layers[1:]]
    monitors = [
        brian2.StateMonitor(
            group,
            variable,
            record=True,
            clock=clock,
            name=f"{group.name}_monitor",
            codeobj_class=code_class(codegen),
        )
        for group, variable in watched
    ]
    network = brian2.Network(*pieces.objects, *monitors, name="plastic_network*")
    began = time.perf_counter()
    with seeded(generator if plastic.noise.any() else None):
        steps = advance_plastic(network, pieces, len(inputs))
    seconds = time.perf_counter() - began
    shown = [*range(0, len(inputs), every), len(inputs)]
    found = []
    for (group, variable), monitor in zip(watched, monitors, strict=True):
        last = np.array(getattr(group, f"{variable}_")[:])
        found.append([*getattr(monitor, f"{variable}_").T[: len(shown) - 1], last])
    ups, downs = len(pieces.feedforward), len(pieces.feedback)

    def shaped(flat: Sequence[list[np.ndarray]], like: Sequence[np.ndarray]) -> tuple[Any, ...]:
        pairs = list(zip(flat, like, strict=True))
        return tuple(
            tuple(series[at].reshape(array.shape) for series, array in pairs)
            for at in range(len(shown))
        )

    widths = plastic.network.widths[1:]
    return PlasticRecord(
        images=tuple(shown),
        weights=shaped(found[:ups], plastic.network.weights),
        biases=shaped(found[ups + downs :], plastic.network.biases),
        feedback=shaped(found[ups : ups + downs], plastic.feedback),
        rates=tuple(
            np.array(group.y_[:]).reshape(-1, width)
            for group, width in zip(pieces.layers[1:], widths, strict=True)
        ),
        steps=steps,
        seconds=seconds,
    )


def advance_plastic(network: brian2.Network, pieces: PlasticPieces, images: int) -> int:
    """Run a `Network` that holds the pieces for so many images; returns the Euler steps.

    After the end of the stream its last image stays. What ceases to be finite stays so, in its own
    circuit only. Raises what `library.run_steps` does.
    """
    steps = images * pieces.plastic.timing.steps
    with divergence_unsaid():  # Brian2 would speak of variables, and not of circuits
        run_steps(network, pieces.clock, steps)
    return steps


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
    group.rate = np.repeat(plastic.rates, width) / second
    group.noise = np.repeat(plastic.noise, width)
    group.late = np.repeat(plastic.delays, width)
    gamma = np.zeros((len(plastic.rates), width))
    gamma[:, : network.n_projecting(layer)] = plastic.strength
    group.gamma = gamma.ravel()
    group.gain = plastic.gains[layer - 1]
    group.leak = network.activation(layer).smallest_slope
    group.memory, group.capture = timing.memory * second, timing.capture * second
    group.lag = timing.lag * second
    group.period, group.free, group.units = timing.steps, timing.free_steps, width


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
    synapses = brian2.Synapses(
        source,
        target,
        synapse_equations(plastic, direction),
        method="euler",
        name=f"{name}_{direction}_{place}",
        namespace={},
        **common,
    )
    n_post, n_pre = weights.shape[1:]
    circuit, post, pre = np.indices(weights.shape).reshape(3, -1)
    synapses.connect(i=circuit * n_pre + pre, j=circuit * n_post + post)
    synapses.weight = weights.ravel()
    loss = plastic.decay * plastic.rates
    if direction == "feedback":
        synapses.plasticity = np.repeat(plastic.feedback_plasticity, n_post * n_pre)
        loss = loss * plastic.feedback_plasticity
    synapses.loss = np.repeat(loss, n_post * n_pre) / brian2.second
    (updater,) = synapses.summed_updaters.values()
    updater.order = SUM_PLASTIC if direction == "feedforward" else SUM_MESSAGES
    synapses.state_updater.order = LEARN
    return synapses
