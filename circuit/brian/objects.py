"""The groups and synapses of a trial, to be run as they are or in a model of one's own.

Owns `Pieces`: how they are made, and how rates and nudge are set and read. Does not own the
equations (`circuit.brian.rate_equations`) nor a `Network` to run them in (`circuit.brian.phases`).

Within one Euler step Brian2 does four things in this order, so that a step is an Euler step of the
equations as printed, for all layers at once:

    SUM_DRIVES   `weighted`, through the feed-forward synapses
    RESPOND      `drive`, `response`, `slope`, `sent`, `message`, each from what its own unit knows
    SUM_FEEDBACK `feedback`, through the feedback synapses
    MOVE         `y`, and what else a user's equations move

Synapses of a user that sum into a layer come before all of them, or with SUM_DRIVES.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from circuit.brian.extra import REFUSALS, refusal
from circuit.brian.library import (
    QuietGroup,
    QuietSynapses,
    brian2,
    code_class,
    in_seconds,
    require_name,
)
from circuit.brian.limits import longest_step
from circuit.brian.rate_equations import (
    FEEDBACK_EQUATIONS,
    FEEDFORWARD_EQUATIONS,
    INPUT_EQUATIONS,
    equations,
)
from circuit.checks.given import is_sequence, real, real_array, require_flag
from circuit.checks.room import both_ways, require_so_few
from circuit.circuit import Circuit
from circuit.errors import CircuitError, ShapeMismatch
from circuit.numerics.arrays import is_numpy
from circuit.records.brief import Brief, counted
from circuit.trial import Trial

SUM_DRIVES, RESPOND, SUM_FEEDBACK, MOVE = range(-3, 1)  # places in Brian2's slot "groups"
"""When, within a step, drives are summed, layers respond, feedback is summed and rates move."""


@dataclass(frozen=True, eq=False, repr=False)
class Pieces(Brief):
    """The circuit of a trial as Brian2 objects that belong to no network yet.

    Attributes
    ----------
    trial : what was built
    clock : the `Clock` that all of them follow
    layers : `NeuronGroup`s of the layers 0 (input) .. L
    feedforward : `Synapses`; `feedforward[l-1]` goes from layer l-1 to layer l
    feedback : `Synapses`; `feedback[l-1]` goes from layer l+1 to layer l, for l = 1 .. L-1
    noise : standard deviation of an isolated unit's rate

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise
    >>> from circuit.brian import make_pieces
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> pieces = make_pieces(trial)
    >>> [layer.name for layer in pieces.layers]
    ['circuit_layer_0', 'circuit_layer_1', 'circuit_layer_2']
    """

    trial: Trial
    clock: brian2.Clock
    layers: tuple[brian2.NeuronGroup, ...]
    feedforward: tuple[brian2.Synapses, ...]
    feedback: tuple[brian2.Synapses, ...]
    noise: float

    def _words(self) -> list[str]:
        return [
            f"{counted(len(self.layers), 'group')} of {sum(map(len, self.layers))} units",
            f"{_synapses(self.trial)} synapses",  # a standalone device has not made them yet
            f"step {1e3 * float(self.clock.dt):.3g} ms",
            *self.trial._words(),
        ]

    @property
    def objects(self) -> tuple[brian2.BrianObject, ...]:
        """All that a `Network` must hold for the circuit to run."""
        return (*self.layers, *self.feedforward, *self.feedback)


def make_pieces(
    trial: Trial,
    *,
    step: float | brian2.Quantity | None = None,
    noise: float = 0.0,
    codegen: str = "numpy",
    name: str = "circuit",
    extra: str | Mapping[int, str] = "",
    namespace: Mapping[str, Any] | None = None,
) -> Pieces:
    """Make the groups and synapses of a trial, to be put into a `Network` of one's own.

    Rates start at 0 and the nudge is off; see `set_rates` and `set_nudge`.

    Parameters
    ----------
    trial : of one network, NumPy arrays (batch, N_l) in float64
    step
        Length of an Euler step in seconds (or a Brian2 quantity); a tenth of the smallest time
        constant by default (less with rows so long that `limits.longest_step` is), and at most that
        time constant.
    noise
        Standard deviation that an isolated unit dy/dt = -y/tau + noise sqrt(2/tau) xi would have.
    codegen
        "numpy", which needs no compiler, or "cython".
    name
        How the names of all objects begin. Two circuits in one `Network` need different names; the
        same name every time lets Cython find what it compiled before.
    extra
        Equations, as Brian2 writes them, to add to those of the layers 1 .. L or to take their
        place (`brian.equations` prints them): one text for all, or layer -> text.
    namespace : what `extra` speaks of and does not define, such as a `TimedArray`

    Raises
    ------
    CircuitError
        For bad values, an activation without text, an `extra` that cannot be, or more than
        `room.MOST_SYNAPSES` synapses.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise
    >>> from circuit.brian import make_pieces
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> pieces = make_pieces(trial, step=0.001, name="mine")
    >>> [layer.name for layer in pieces.layers]
    ['mine_layer_0', 'mine_layer_1', 'mine_layer_2']
    """
    _require_plain(trial)
    length = _step_length(trial.circuit, step)
    noise = real("noise", noise)
    if not 0 <= noise < math.inf:
        raise CircuitError(f"noise {noise} is not a standard deviation; give 0 or more")
    target = code_class(codegen)
    require_name(name)
    texts = [
        equations(trial.circuit, layer, noise=noise > 0, extra=extra)
        for layer in range(1, trial.network.depth + 1)
    ]
    if namespace is not None and not extra:
        raise CircuitError("a namespace serves nobody without extra; leave it out, or give extra")
    _require_few_synapses(trial)

    clock = brian2.Clock(dt=length * brian2.second, name=f"{name}_clock")
    common = {"clock": clock, "namespace": {}, "dtype": np.float64, "codeobj_class": target}
    batch, network = trial.error.shape[0], trial.network
    own = common | {"namespace": dict(namespace or {}), "method": "euler"}
    layers = tuple(
        _make_layer(
            layer, batch * width, text, extra=bool(extra), name=f"{name}_layer_{layer}", **own
        )
        for layer, (width, text) in enumerate(
            zip(network.widths, [INPUT_EQUATIONS, *texts], strict=True)
        )
    )
    layers[0].y = trial.activity.rates[0].ravel()
    for layer, group in enumerate(layers[1:], 1):
        _set_constants(trial, layer, group, noise)

    feedforward, feedback = [], []
    for layer, (lower, upper) in enumerate(pairwise(layers), 1):
        up = QuietSynapses(
            lower, upper, FEEDFORWARD_EQUATIONS, name=f"{name}_feedforward_{layer}", **common
        )
        _connect(up, network.weights[layer - 1], batch)
        up.summed_updaters["weighted_post"].order = SUM_DRIVES
        feedforward.append(up)
        if layer == 1:
            continue  # no feedback reaches the input
        down = QuietSynapses(
            upper, lower, FEEDBACK_EQUATIONS, name=f"{name}_feedback_{layer - 1}", **common
        )
        model = trial.circuit.feedback
        back = network.factors[layer - 1].inverse if model is None else model.weights[layer - 2]
        _connect(down, back, batch)
        down.summed_updaters["feedback_post"].order = SUM_FEEDBACK
        feedback.append(down)
    return Pieces(trial, clock, layers, tuple(feedforward), tuple(feedback), float(noise))


def set_nudge(pieces: Pieces, on: bool) -> None:
    """Let the target draw on the output units that carry an error (nudged phase), or not (free).

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise
    >>> from circuit.brian import make_pieces, set_nudge
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> pieces = make_pieces(trial)
    >>> set_nudge(pieces, True)
    >>> pieces.layers[-1].gamma[:]
    array([0.1, 0.1, 0.1])
    """
    require_flag("on", on)
    network, batch = pieces.trial.network, pieces.trial.error.shape[0]
    gamma = np.zeros((batch, network.widths[-1]))
    if on:
        gamma[:, : network.n_outputs] = pieces.trial.circuit.strengths[-1]
    pieces.layers[-1].gamma = gamma.ravel()


def set_rates(pieces: Pieces, rates: Sequence[np.ndarray]) -> None:
    """Set y_1 .. y_L, arrays (batch, N_l). Raises `ShapeMismatch` for any others.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise
    >>> from circuit.brian import make_pieces, read_rates, set_rates
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> pieces = make_pieces(trial)
    >>> set_rates(pieces, trial.activity.rates[1:])
    >>> bool((read_rates(pieces)[0] == trial.activity.rates[1]).all())
    True
    """
    wanted = [np.shape(rate) for rate in pieces.trial.activity.rates[1:]]
    if not is_sequence(rates):
        raise ShapeMismatch(f"rates are {type(rates).__name__}; give a tuple of y_1 .. y_L")
    rates = [real_array("rates", rate) for rate in rates]
    found = [np.shape(rate) for rate in rates]
    if found != wanted:  # transposed, they would fit into the group, at other units
        raise ShapeMismatch(f"rates of shapes {found}; give {wanted}")
    for group, rate in zip(pieces.layers[1:], rates, strict=True):
        group.y = np.ascontiguousarray(rate).ravel()


def read_rates(pieces: Pieces) -> tuple[np.ndarray, ...]:
    """Return copies of y_1 .. y_L, arrays (batch, N_l).

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise
    >>> from circuit.brian import make_pieces, read_rates
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> [rates.shape for rates in read_rates(make_pieces(trial))]
    [(1, 3), (1, 3)]
    """
    batch = pieces.trial.error.shape[0]
    return tuple(np.array(group.y_[:]).reshape(batch, -1) for group in pieces.layers[1:])


def _make_layer(
    layer: int, units: int, text: str, *, extra: bool, **options: Any
) -> brian2.NeuronGroup:
    """The group of a layer, in the order of a step. Raises `CircuitError` for an `extra` that
    Brian2 cannot take: names that nobody knows, units that do not fit.
    """
    # what a user's synapses sum into it comes at order - 1: before the drives, which read y_0
    order = RESPOND if layer else SUM_DRIVES
    try:
        group = QuietGroup(units, text, order=order, **options)
        if extra and layer:
            group.equations.check_units(group, run_namespace={})
    except REFUSALS as error:
        if not extra:
            raise
        raise refusal(error, layer) from None
    group.state_updater.order = MOVE
    if group.subexpression_updater is not None:
        group.subexpression_updater.when = "groups"
        group.subexpression_updater.order = RESPOND
    return group


def _set_constants(trial: Trial, layer: int, group: brian2.NeuronGroup, noise: float) -> None:
    circuit, network, batch = trial.circuit, trial.network, trial.error.shape[0]
    group.bias = np.tile(network.biases[layer - 1], batch)
    group.tau = circuit.time_constants[layer - 1] * brian2.second
    model = circuit.feedback
    if circuit.pathway.row_adjusted and model is None:
        group.squared_length = np.tile(network.squared_lengths(layer), batch)
    elif (
        circuit.pathway.row_adjusted and model is not None and layer > 1
    ):  # nobody listens to layer 1
        group.squared_length = np.tile(model.squared_lengths(network, layer), batch)
    if model is not None and circuit.is_plain and layer < network.depth:
        offset = np.zeros((batch, network.widths[layer]))
        offset[:, : network.n_projecting(layer)] = model.biases[layer - 1]
        group.offset = offset.ravel()
    if layer == network.depth:
        group.target = trial.target.ravel()
        group.gamma = 0.0
    else:
        gamma = np.zeros((batch, network.widths[layer]))
        gamma[:, : network.n_projecting(layer)] = circuit.strength(layer)
        group.gamma = gamma.ravel()
    if network.activation(layer).name == "leaky_relu":
        group.leak = network.activation(layer).smallest_slope
    if noise > 0:
        group.noise = noise


def _connect(synapses: brian2.Synapses, weights: np.ndarray, batch: int) -> None:
    """Join, in every image, the first units of source and target through `weights`, whose rows
    are those of the target.
    """
    rows, columns = weights.shape
    image = np.repeat(np.arange(batch), rows * columns)
    source = np.tile(np.arange(columns), batch * rows) + len(synapses.source) // batch * image
    target = np.tile(np.repeat(np.arange(rows), columns), batch)
    target = target + len(synapses.target) // batch * image
    synapses.connect(i=source, j=target)
    synapses.weight = np.tile(weights.ravel(), batch)


def _step_length(circuit: Circuit, step: float | brian2.Quantity | None) -> float:
    shortest = min(circuit.time_constants)
    if step is None:
        return min(shortest / 10, longest_step(circuit))
    length = in_seconds(step, "step")
    if not 0 < length <= shortest:
        raise CircuitError(
            f"step = {length:g} s is not between 0 and the smallest time constant, {shortest:g} s, "
            f"over which Euler's method overshoots; use for example {shortest / 10:g}"
        )
    return length


def _require_plain(trial: Trial) -> None:
    if not (is_numpy(trial.error) and trial.error.ndim == 2 and trial.error.dtype == np.float64):
        raise CircuitError(
            f"Brian2 needs one network and NumPy arrays (batch, units) in float64, not "
            f"{type(trial.error).__module__} {tuple(trial.error.shape)} {trial.error.dtype}; "
            "convert, or use method direct"
        )
    if trial.error.shape[0] == 0:
        raise CircuitError("the trial holds no image, and Brian2 has no empty groups; give one")


def _require_few_synapses(trial: Trial) -> None:
    require_so_few(_synapses(trial), trial.network.widths)


def _synapses(trial: Trial) -> int:
    """Of all images."""
    return trial.error.shape[0] * both_ways([matrix.size for matrix in trial.network.weights])
