"""The circuit as a Brian2 model: groups of rate neurons, and synapses between them.

Owns the groups and synapses that hold the equations (`circuit.rate_texts`), and the run through the
two phases of a trial; below that, circuits whose weights learn. The only file that imports Brian2;
nobody imports it eagerly, for Brian2 takes a second. Does not own the judgement whether a state is
an equilibrium. Takes NumPy arrays in float64 only.

A layer is one `NeuronGroup`, and a batch of images is so many copies of the circuit side by side in
the same groups: neuron `image * N_l + unit`. No synapse joins two images.

Within one Euler step Brian2 does four things in this order, so that a step is an Euler step of the
equations as printed, for all layers at once:

    SUM_DRIVES   `weighted`, through the feed-forward synapses
    RESPOND      `drive`, `response`, `slope`, `sent`, `message`, each from what its own unit knows
    SUM_FEEDBACK `feedback`, through the feedback synapses
    0            `y`

Rates are absolute here, and a shift is the difference of two of them: `float_floor` says what
float64 leaves of it. For exact small shifts use another method.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from circuit import spontaneous
from circuit.arrays import epsilon, is_numpy
from circuit.dynamics import Circuit, Trial
from circuit.errors import CircuitError, NotFinite
from circuit.plastic import Plastic, PlasticRecord, require_stream
from circuit.plastic_texts import (
    SHOW_IMAGE,
    input_equations,
    layer_equations,
    synapse_equations,
    transmission,
)
from circuit.rate_texts import FEEDBACK_EQUATIONS, FEEDFORWARD_EQUATIONS, INPUT_EQUATIONS, equations
from circuit.scale import Scale
from circuit.shifts import Shifts
from circuit.spontaneous import Spontaneous, SpontaneousRecord


@contextlib.contextmanager
def _process_left_alone() -> Iterator[None]:
    """Take back what the first import of Brian2 does to a process.

    It hangs itself into Ctrl+C (a run then stops early, and nobody is told), uncaught exceptions (a
    request to report a bug in Brian2) and warnings, and writes a log file and a copy of the running
    script to the temporary folder. Where Brian2 was imported before, or where its preferences
    ask for the log to be kept (logging.delete_log_on_exit = False), nothing is touched.
    """
    if "brian2" in sys.modules:
        yield
        return
    hook, interrupt, show = sys.excepthook, signal.getsignal(signal.SIGINT), warnings.showwarning
    install = signal.signal
    if threading.current_thread() is not threading.main_thread():
        # workers of Dask run their tasks in such a thread, where no handler can be set; Brian2's
        # would be taken back anyway
        signal.signal, interrupt = lambda *_: None, None
    try:
        yield
    finally:
        signal.signal = install
    sys.excepthook = hook
    if interrupt is not None:  # None: set by other than Python, and no way to set it again
        signal.signal(signal.SIGINT, interrupt)
    if warnings.showwarning is not show:
        logging.captureWarnings(False)
    log = brian2.BrianLogger
    if brian2.prefs["logging.delete_log_on_exit"]:
        if log.file_handler is not None:
            logging.getLogger("brian2").removeHandler(log.file_handler)
            log.file_handler.close()
        for path in (log.tmp_log, log.tmp_script):
            if path is not None:
                with contextlib.suppress(OSError):
                    os.remove(path)
        log.file_handler = log.tmp_log = log.tmp_script = None


with _process_left_alone():
    import brian2
    import brian2.codegen.runtime as targets
    from brian2.devices.device import runtime_device

MOST_SYNAPSES = 20_000_000  # about 1 GB while Brian2 sums over them

SHOW = -4  # of patterns, in a spontaneous phase
SUM_DRIVES, RESPOND, SUM_FEEDBACK = -3, -2, -1  # places in Brian2's slot "groups"; rates are at 0


# --- groups and synapses ---


@dataclass(frozen=True, eq=False)
class Pieces:
    """The circuit of a trial as Brian2 objects that belong to no network yet.

    Attributes
    ----------
    trial : what was built
    clock : the `Clock` that all of them follow
    layers : `NeuronGroup`s of the layers 0 (input) .. L
    feedforward : `Synapses`; `feedforward[l-1]` goes from layer l-1 to layer l
    feedback : `Synapses`; `feedback[l-1]` goes from layer l+1 to layer l, for l = 1 .. L-1
    noise : standard deviation of an isolated unit's rate
    """

    trial: Trial
    clock: brian2.Clock
    layers: tuple[brian2.NeuronGroup, ...]
    feedforward: tuple[brian2.Synapses, ...]
    feedback: tuple[brian2.Synapses, ...]
    noise: float

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
) -> Pieces:
    """Make the groups and synapses of a trial, to be put into a `Network` of one's own.

    Rates start at 0 and the nudge is off; see `set_rates` and `set_nudge`.

    Parameters
    ----------
    trial : of one network, NumPy arrays (batch, N_l) in float64
    step
        Length of an Euler step in seconds (or a Brian2 quantity); a tenth of the smallest time
        constant by default, and at most that time constant.
    noise
        Standard deviation that an isolated unit dy/dt = -y/tau + noise sqrt(2/tau) xi would have.
    codegen
        "numpy", which needs no compiler, or "cython".
    name
        How the names of all objects begin. Two circuits in one `Network` need different names; the
        same name every time lets Cython find what it compiled before.

    Raises
    ------
    CircuitError
        For bad values, an activation without text, or more than `MOST_SYNAPSES` synapses.
    """
    _require_plain(trial)
    length = _step_length(trial.circuit, step)
    if not 0 <= noise < math.inf:
        raise CircuitError(f"noise {noise} is not a standard deviation; give 0 or more")
    target = _target(codegen)
    if not name.isidentifier():
        raise CircuitError(f"name {name!r} cannot begin a Brian2 name; use letters, digits and _")
    texts = [
        equations(trial.circuit, layer, noise=noise > 0)
        for layer in range(1, trial.network.depth + 1)
    ]
    _require_few_synapses(trial)

    clock = brian2.Clock(dt=length * brian2.second, name=f"{name}_clock")
    common = {"clock": clock, "namespace": {}, "dtype": np.float64, "codeobj_class": target}
    batch, network = trial.error.shape[0], trial.network
    layers = tuple(
        brian2.NeuronGroup(
            batch * width, text, method="euler", name=f"{name}_layer_{layer}", **common
        )
        for layer, (width, text) in enumerate(
            zip(network.widths, [INPUT_EQUATIONS, *texts], strict=True)
        )
    )
    layers[0].y = trial.activity.rates[0].ravel()
    for layer, group in enumerate(layers[1:], 1):
        _set_constants(trial, layer, group, noise)
        group.subexpression_updater.when = "groups"
        group.subexpression_updater.order = RESPOND

    feedforward, feedback = [], []
    for layer, (lower, upper) in enumerate(pairwise(layers), 1):
        up = brian2.Synapses(
            lower, upper, FEEDFORWARD_EQUATIONS, name=f"{name}_feedforward_{layer}", **common
        )
        _connect(up, network.weights[layer - 1], batch)
        up.summed_updaters["weighted_post"].order = SUM_DRIVES
        feedforward.append(up)
        if layer == 1:
            continue  # no feedback reaches the input
        down = brian2.Synapses(
            upper, lower, FEEDBACK_EQUATIONS, name=f"{name}_feedback_{layer - 1}", **common
        )
        _connect(down, network.factors[layer - 1].inverse, batch)
        down.summed_updaters["feedback_post"].order = SUM_FEEDBACK
        feedback.append(down)
    return Pieces(trial, clock, layers, tuple(feedforward), tuple(feedback), float(noise))


def set_nudge(pieces: Pieces, on: bool) -> None:
    """Let the target draw on the output units that carry an error (nudged phase), or not (free)."""
    network, batch = pieces.trial.network, pieces.trial.error.shape[0]
    gamma = np.zeros((batch, network.widths[-1]))
    if on:
        gamma[:, : network.n_outputs] = pieces.trial.circuit.strengths[-1]
    pieces.layers[-1].gamma = gamma.ravel()


def set_rates(pieces: Pieces, rates: Sequence[np.ndarray]) -> None:
    """Set y_1 .. y_L, arrays (batch, N_l)."""
    for group, rate in zip(pieces.layers[1:], rates, strict=True):
        group.y = np.ascontiguousarray(rate).ravel()


def read_rates(pieces: Pieces) -> tuple[np.ndarray, ...]:
    """Return copies of y_1 .. y_L, arrays (batch, N_l)."""
    batch = pieces.trial.error.shape[0]
    return tuple(np.array(group.y_[:]).reshape(batch, -1) for group in pieces.layers[1:])


def _set_constants(trial: Trial, layer: int, group: brian2.NeuronGroup, noise: float) -> None:
    circuit, network, batch = trial.circuit, trial.network, trial.error.shape[0]
    group.bias = np.tile(network.biases[layer - 1], batch)
    group.tau = circuit.time_constants[layer - 1] * brian2.second
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
    """Join, in every image, the first n units of source and target through `weights` (n, n)."""
    n = weights.shape[0]
    image = np.repeat(np.arange(batch), n * n)
    source = np.tile(np.arange(n), batch * n) + len(synapses.source) // batch * image
    target = np.tile(np.repeat(np.arange(n), n), batch) + len(synapses.target) // batch * image
    synapses.connect(i=source, j=target)
    synapses.weight = np.tile(weights.ravel(), batch)


# --- the usual run: one network, two phases ---


@dataclass(frozen=True, eq=False)
class BrianCircuit:
    """A circuit in a Brian2 `Network`, with monitors, ready for `run_phases`.

    Attributes
    ----------
    pieces : the groups and synapses
    network : the `Network` that holds them and the monitors
    monitors : one `StateMonitor` of `y` for each layer 1 .. L; empty if nothing is recorded
    """

    pieces: Pieces
    network: brian2.Network
    monitors: tuple[brian2.StateMonitor, ...]

    @property
    def clock(self) -> brian2.Clock:
        """The clock of the Euler steps."""
        return self.pieces.clock

    @property
    def layers(self) -> tuple[brian2.NeuronGroup, ...]:
        """Layers 0 .. L."""
        return self.pieces.layers

    @property
    def feedforward(self) -> tuple[brian2.Synapses, ...]:
        """`feedforward[l-1]` goes from layer l-1 to layer l."""
        return self.pieces.feedforward

    @property
    def feedback(self) -> tuple[brian2.Synapses, ...]:
        """`feedback[l-1]` goes from layer l+1 to layer l."""
        return self.pieces.feedback


def build(
    trial: Trial,
    *,
    step: float | brian2.Quantity | None = None,
    noise: float = 0.0,
    record: int | None = 8,
    record_every: float | brian2.Quantity | None = None,
    codegen: str = "numpy",
) -> BrianCircuit:
    """Put the circuit of a trial into a `Network`, with monitors of its rates.

    Parameters
    ----------
    trial, step, noise, codegen : as in `make_pieces`
    record
        How many units of each layer are recorded in every image (the first ones); 0 for none, None
        for all.
    record_every
        Seconds between two recordings, rounded to whole steps; every step by default.

    Raises
    ------
    CircuitError
    """
    if record is not None and not (isinstance(record, int) and record >= 0):
        raise CircuitError(
            f"record = {record!r} is not a number of units; give a whole number of 0 or more, "
            "or None for all units"
        )
    every = None if record_every is None else _seconds(record_every, "record_every")
    if every is not None and not 0 < every < math.inf:
        raise CircuitError(f"record_every = {every:g} s is not positive; give seconds, or None")
    pieces = make_pieces(trial, step=step, noise=noise, codegen=codegen)
    timing: dict[str, Any] = {"clock": pieces.clock}
    if every is not None:
        steps = max(1, round(every / pieces.clock.dt_))
        if steps > 1:
            interval = steps * pieces.clock.dt_ * brian2.second
            timing = {"clock": brian2.Clock(dt=interval, name="circuit_record_clock")}
    monitors = []
    for layer, group in enumerate(pieces.layers[1:], 1):
        width = trial.network.widths[layer]
        units = np.arange(width if record is None else min(record, width))
        if len(units) == 0:
            continue
        images = width * np.arange(trial.error.shape[0])
        monitors.append(
            brian2.StateMonitor(
                group,
                "y",
                record=(images[:, None] + units).ravel(),
                name=f"circuit_monitor_{layer}",
                codeobj_class=_target(codegen),
                **timing,
            )
        )
    network = brian2.Network(*pieces.objects, *monitors, name="circuit_network*")
    return BrianCircuit(pieces, network, tuple(monitors))


@dataclass(frozen=True, eq=False)
class PhaseRecord:
    """A run through the free and the nudged phase.

    Attributes
    ----------
    times : array (n_times,), seconds since the start of the free phase
    onset : seconds at which the nudge began
    rates : L arrays (n_times, batch, recorded units), the first units of each layer
    free_rates : L arrays (batch, N_l), at the end of the free phase
    nudged_rates : L arrays (batch, N_l), at the end of the nudged phase
    steps : Euler steps of both phases
    model_time : seconds of the circuit's own time
    seconds : wall-clock time
    """

    times: np.ndarray
    onset: float
    rates: tuple[np.ndarray, ...]
    free_rates: tuple[np.ndarray, ...]
    nudged_rates: tuple[np.ndarray, ...]
    steps: int
    model_time: float
    seconds: float

    @property
    def shifts(self) -> tuple[np.ndarray, ...]:
        """Nudged less free rates, L arrays (batch, N_l)."""
        pairs = zip(self.nudged_rates, self.free_rates, strict=True)
        return tuple(nudged - free for nudged, free in pairs)


def run_phases(
    circuit: BrianCircuit,
    *,
    free: float | brian2.Quantity | None = None,
    nudged: float | brian2.Quantity | None = None,
    start: str = "rest",
    generator: np.random.Generator | None = None,
) -> PhaseRecord:
    """Run the free phase (feedback on, nudge off), then the nudged phase.

    Every call starts anew. Monitors keep what earlier calls recorded; the record holds only the
    rates of this one.

    Parameters
    ----------
    free, nudged : length of each phase in seconds; `settling_time` by default
    start : "rest" (all rates 0) or "forward" (the forward pass)
    generator
        Where the seed of the noise is drawn from. Needed if there is noise; the same generator
        state gives the same run. NumPy's global random state is left as it was.

    Raises
    ------
    CircuitError
        For bad values.
    NotFinite
        Where a rate ceases to be finite.
    """
    began, pieces = time.perf_counter(), circuit.pieces
    usual = settling_time(pieces.trial.circuit)
    free_steps = whole_steps(pieces, usual if free is None else free, "free")
    nudged_steps = whole_steps(pieces, usual if nudged is None else nudged, "nudged")
    if start not in STARTS:
        raise CircuitError(f"start {start!r} is unknown; choose from {', '.join(STARTS)}")
    if pieces.noise > 0 and generator is None:
        raise CircuitError("noise needs a generator; give for example numpy.random.default_rng(1)")

    beginning = float(circuit.network.t_)
    recorded = [len(monitor.t_) for monitor in circuit.monitors]
    with _seeded(generator if pieces.noise > 0 else None):
        set_rates(pieces, STARTS[start](pieces.trial))
        set_nudge(pieces, False)
        advance(circuit, free_steps)
        free_rates, onset = read_rates(pieces), float(circuit.network.t_) - beginning
        set_nudge(pieces, True)
        advance(circuit, nudged_steps)
    batch, times = pieces.trial.error.shape[0], np.zeros(0)
    rates = tuple(np.zeros((0, batch, 0)) for _ in free_rates)
    if circuit.monitors:
        times = np.array(circuit.monitors[0].t_[recorded[0] :]) - beginning
        rates = tuple(
            np.array(monitor.y_[:, n:]).T.reshape(len(times), batch, -1)
            for monitor, n in zip(circuit.monitors, recorded, strict=True)
        )
    return PhaseRecord(
        times=times,
        onset=onset,
        rates=rates,
        free_rates=free_rates,
        nudged_rates=read_rates(pieces),
        steps=free_steps + nudged_steps,
        model_time=float(circuit.network.t_) - beginning,
        seconds=time.perf_counter() - began,
    )


STARTS = {
    "rest": lambda trial: tuple(np.zeros_like(rates) for rates in trial.activity.rates[1:]),
    "forward": lambda trial: trial.activity.rates[1:],
}


def average_shifts(record: PhaseRecord, skip: float | brian2.Quantity) -> tuple[np.ndarray, ...]:
    """Mean rate in the nudged phase less mean rate in the free phase: the read-out under noise.

    Parameters
    ----------
    record : of a run with monitors
    skip : seconds left out at the beginning of each phase

    Returns
    -------
    L arrays (batch, recorded units)

    Raises
    ------
    CircuitError
        Where nothing was recorded in the rest of a phase.
    """
    skip = _seconds(skip, "skip")
    # times are multiples of a step to rounding only
    slack = 1e-9 * (record.model_time or 1.0)
    free = (record.times >= skip - slack) & (record.times < record.onset - slack)
    nudged = record.times >= record.onset + skip - slack
    if not (free.any() and nudged.any()):
        raise CircuitError(
            f"no rates were recorded later than {skip:g} s into each phase; skip less, run longer "
            "phases, or build with record of 1 or more"
        )
    return tuple(rates[nudged].mean(axis=0) - rates[free].mean(axis=0) for rates in record.rates)


def advance(circuit: BrianCircuit, steps: int) -> None:
    """Run the network for so many Euler steps.

    Raises `NotFinite` where a rate is not finite afterwards, and `KeyboardInterrupt` where the run
    was stopped (Brian2, where a user imported it first, takes Ctrl+C for a wish to stop early).
    """
    if steps == 0:
        return
    _require_runtime()
    length = circuit.clock.dt_
    end = round(float(circuit.network.t_) / length) + steps
    # What is not finite is found below. Brian2 writes, at every call of a function such as log1p,
    # an error message with the array in it, in case it should need it: for up to 1000 entries that
    # takes longer than the step itself, unless arrays are abbreviated.
    with np.errstate(all="ignore"), np.printoptions(threshold=1, edgeitems=1):
        circuit.network.run(steps * length * brian2.second, namespace={})
    if round(float(circuit.network.t_) / length) < end:
        raise KeyboardInterrupt("Brian2 was stopped before the end of the phase")
    for layer, rates in enumerate(read_rates(circuit.pieces), 1):
        if not np.isfinite(rates).all():
            raise NotFinite(
                f"Brian2's rates of layer {layer} are not finite at {float(circuit.network.t_):g} "
                "s; use weaker feedback, orthogonal weights, less noise, or activations without "
                "bounds"
            )


def whole_steps(pieces: Pieces, duration: float | brian2.Quantity, name: str = "duration") -> int:
    """Euler steps in a duration, rounded up. Raises `CircuitError` for a duration below 0."""
    seconds = _seconds(duration, name)
    if not 0 <= seconds < math.inf:
        raise CircuitError(f"{name} = {seconds:g} s is not a duration; give 0 or more seconds")
    # a duration that is a whole number of steps but for rounding stays that number
    return math.ceil(seconds / pieces.clock.dt_ - pieces.clock.epsilon_dt)


@contextlib.contextmanager
def _seeded(generator: np.random.Generator | None) -> Iterator[None]:
    """Brian2 draws from NumPy's global state: seed it from `generator`, and put it back after."""
    if generator is None:
        yield
        return
    state = runtime_device.get_random_state()
    brian2.seed(int(generator.integers(2**32)))
    try:
        yield
    finally:
        runtime_device.set_random_state(state)


# --- what a user may want to know before or after ---


def settling_time(circuit: Circuit) -> float:
    """Seconds in which the circuit's slowest mode falls to the rounding of float64.

    The modes are those of the ITP circuit in a linear piece (docs/derivation.md, section 3), where
    the weights do not matter; with time on top for a signal to pass through all layers.
    """
    gamma, tau = np.array(circuit.strengths), np.array(circuit.time_constants)
    chain = np.diag(-np.ones_like(gamma)) + np.diag(1 - gamma[1:], -1) + np.diag(gamma[:-1], 1)
    slowest = -np.linalg.eigvals(chain / tau[:, None]).real.max()
    return float((-math.log(np.finfo(np.float64).eps) + 2 * len(gamma)) / slowest)


def float_floor(trial: Trial, shifts: Shifts) -> tuple[float, ...]:
    """Relative error that rounding leaves in a shift read as the difference of two rates.

    eps |y_l| / |delta_l| for l = 1 .. L, Frobenius norms over the units that get feedback or a
    nudge, and the batch. Infinite for a shift of zero.
    """
    floors = []
    for layer in range(1, trial.network.depth + 1):
        n = trial.network.n_projecting(layer)
        rates, value = trial.activity.rates[layer][..., :n], shifts.values[layer - 1][..., :n]
        rounding = epsilon(rates) * float(np.linalg.norm(rates))
        shift = Scale.of(float(np.linalg.norm(value))).times(shifts.scales[layer - 1])
        floors.append(Scale.of(rounding).over(shift).value if shift.mantissa else math.inf)
    return tuple(floors)


# --- plastic weights: learning inside the circuit ---

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
    network, timing, target = plastic.network, plastic.timing, _target(codegen)
    count, widths = len(plastic.rates), network.widths
    require_stream(plastic, inputs, targets)
    _require_so_few(sum(matrix.size for matrix in (*network.weights, *plastic.feedback)), widths)
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
        _set_plastic_constants(plastic, layer, group)
        group.subexpression_updater.when = "groups"
        group.subexpression_updater.order = ANSWER
        group.state_updater.order = MOVE
        up_text, down_text = transmission(plastic, layer)
        _each_step(group, up_text, ARRIVE, target)
        _each_step(group, down_text, SEND_DOWN, target)

    make = partial(_plastic_synapses, plastic, name, common)
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
    snapshots : how many times weights are recorded, at equal distances; once at the end by default
    generator : where the seed of the noise is drawn from. Needed if there is noise.

    Raises
    ------
    CircuitError
    """
    if plastic.noise.any() and generator is None:
        raise CircuitError("noise needs a generator; give for example numpy.random.default_rng(1)")
    if not (isinstance(snapshots, int) and 1 <= snapshots <= len(inputs)):
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
            codeobj_class=_target(codegen),
        )
        for group, variable in watched
    ]
    network = brian2.Network(*pieces.objects, *monitors, name="plastic_network*")
    began = time.perf_counter()
    with _seeded(generator if plastic.noise.any() else None):
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

    What ceases to be finite stays so, in its own circuit only. Raises `KeyboardInterrupt` where the
    run was stopped.
    """
    _require_runtime()
    steps, length = images * pieces.plastic.timing.steps, pieces.clock.dt_
    end = round(float(network.t_) / length) + steps
    # as in `advance`; Brian2 would warn of what has diverged, by variable and not by circuit
    said = logging.getLogger("brian2.groups.group")
    before = said.level
    said.setLevel(logging.ERROR)
    try:
        with np.errstate(all="ignore"), np.printoptions(threshold=1, edgeitems=1):
            network.run(steps * length * brian2.second, namespace={})
    finally:
        said.setLevel(before)
    if round(float(network.t_) / length) < end:
        raise KeyboardInterrupt("Brian2 was stopped before the last image")
    return steps


def _each_step(group: brian2.NeuronGroup, statements: str, order: int, target: Any) -> None:
    """Let the group carry out statements in every step."""
    if statements:
        group.run_regularly(
            statements, when="groups", order=order, clock=group.clock, codeobj_class=target
        )


def _set_plastic_constants(plastic: Plastic, layer: int, group: brian2.NeuronGroup) -> None:
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


def _plastic_synapses(
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


# --- bad input ---


def _seconds(value: float | brian2.Quantity, name: str) -> float:
    if not brian2.have_same_dimensions(value, 1) and not brian2.have_same_dimensions(
        value, brian2.second
    ):
        raise CircuitError(f"{name} = {value} is not a time; give seconds")
    return float(value)


def _step_length(circuit: Circuit, step: float | brian2.Quantity | None) -> float:
    shortest = min(circuit.time_constants)
    if step is None:
        return shortest / 10
    length = _seconds(step, "step")
    if not 0 < length <= shortest:
        raise CircuitError(
            f"step = {length:g} s is not between 0 and the smallest time constant, {shortest:g} s, "
            f"over which Euler's method overshoots; use for example {shortest / 10:g}"
        )
    return length


def _target(codegen: str) -> Any:
    if codegen not in ("numpy", "cython"):
        raise CircuitError(f"codegen {codegen!r} is unknown; choose numpy or cython")
    if codegen == "numpy":
        return targets.NumpyCodeObject
    if not targets.CythonCodeObject.is_available():
        raise CircuitError("codegen cython found no working compiler; use codegen numpy")
    return targets.CythonCodeObject


def _require_runtime() -> None:
    if brian2.get_device() is not runtime_device:
        raise CircuitError(
            "Brian2 is set to a standalone device; call brian2.set_device('runtime') first"
        )


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
    widths, batch = trial.network.widths, trial.error.shape[0]
    squares = [width**2 for width in widths[1:]]
    _require_so_few(batch * (sum(squares) + sum(squares[1:])), widths)


def _require_so_few(count: int, widths: Sequence[int]) -> None:
    if count > MOST_SYNAPSES:
        raise CircuitError(
            f"{count} synapses in widths {widths} are more than the {MOST_SYNAPSES} that Brian2 "
            "can carry here; give fewer images or networks at a time, or narrower layers"
        )


# --- a layer in a phase of spontaneous activity ---


def run_spontaneous(
    phase: Spontaneous,
    weights: np.ndarray,
    lateral: np.ndarray,
    patterns: np.ndarray,
    *,
    codegen: str = "numpy",
) -> SpontaneousRecord:
    """Present patterns one after another to a layer whose synapses are all plastic.

    Rates start at 0. In every step all sums are taken first, then synapses and rates change, each
    from what was there before: an Euler step of the equations in `spontaneous`.

    Parameters
    ----------
    weights : array (n_post, n_pre), at the beginning
    lateral : array (n_post, n_post), M at the beginning
    patterns : array (patterns, n_pre)

    Raises
    ------
    CircuitError, NotFinite
        For arrays that do not fit, and where rates or synapses have run away.
    """
    weights, lateral, patterns = (np.asarray(one, float) for one in (weights, lateral, patterns))
    n_post, n_pre = weights.shape
    if lateral.shape != (n_post, n_post) or patterns.ndim != 2 or patterns.shape[1] != n_pre:
        raise CircuitError(
            f"weights {weights.shape} need lateral weights ({n_post}, {n_post}) and patterns "
            f"(any, {n_pre}), not {lateral.shape} and {patterns.shape}"
        )
    _require_runtime()
    second = brian2.second
    clock = brian2.Clock(dt=phase.step * second, name="spontaneous_clock")
    common = {"clock": clock, "dtype": np.float64, "codeobj_class": _target(codegen)}
    shown = brian2.TimedArray(
        patterns, dt=phase.period * phase.step * second, name="spontaneous_patterns"
    )
    inputs = brian2.NeuronGroup(
        n_pre,
        spontaneous.PRESYNAPTIC,
        namespace={"patterns": shown},
        name="spontaneous_inputs",
        **common,
    )
    inputs.subexpression_updater.when, inputs.subexpression_updater.order = "groups", SHOW
    units = brian2.NeuronGroup(
        n_post, spontaneous.UNITS, method="euler", namespace={}, name="spontaneous_units", **common
    )
    units.tau = phase.time_constant * second
    joined = []
    for name, source, text, matrix, slowness in (
        ("feedforward", inputs, spontaneous.FEEDFORWARD, weights, phase.feedforward_time),
        ("lateral", units, spontaneous.LATERAL, lateral, phase.lateral_time),
    ):
        synapses = brian2.Synapses(
            source, units, text, method="euler", namespace={}, name=f"spontaneous_{name}", **common
        )
        post, pre = np.indices(matrix.shape).reshape(2, -1)
        synapses.connect(i=pre, j=post)
        synapses.weight = matrix.ravel()
        synapses.slowness = slowness * second
        synapses.period, synapses.wait = phase.period, phase.wait
        (updater,) = synapses.summed_updaters.values()
        updater.order, synapses.state_updater.order = SUM_DRIVES, RESPOND
        joined.append(synapses)
    joined[0].pull = 8 * phase.strength
    network = brian2.Network(inputs, units, *joined)
    with np.errstate(all="ignore"):  # what runs away is refused below
        network.run(len(patterns) * phase.period * phase.step * second, namespace={})
    found = [np.array(one.weight_[:]) for one in joined]
    rates = np.array(units.r_[:])
    if not all(np.all(np.isfinite(one)) for one in (*found, rates)):
        raise NotFinite(
            "rates of the spontaneous phase have run away; use slower lateral plasticity"
        )
    trained, inhibiting = found
    return SpontaneousRecord(
        trained.reshape(weights.shape), inhibiting.reshape(lateral.shape), rates
    )
