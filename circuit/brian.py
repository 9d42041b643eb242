"""The circuit as a Brian2 model: groups of rate neurons, and synapses between them.

Owns the rate equations of `circuit.dynamics` as Brian2 text with units, the groups and synapses
that hold them, and the run through the two phases of a trial. The only file that imports Brian2;
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
from itertools import pairwise
from typing import Any

import numpy as np

from circuit.arrays import epsilon, is_numpy
from circuit.dynamics import Circuit, Trial
from circuit.errors import CircuitError, NotFinite
from circuit.scale import Scale
from circuit.shifts import Shifts


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

SUM_DRIVES, RESPOND, SUM_FEEDBACK = -3, -2, -1  # places in Brian2's slot "groups"; rates are at 0


# --- the equations as text ---


@dataclass(frozen=True)
class UnitText:
    """An activation function in Brian2's language.

    Attributes
    ----------
    response : f at `drive`
    slope : f' at `drive`
    inverse : f^-1 at `sent`
    """

    response: str
    slope: str
    inverse: str


UNIT_TEXTS: dict[str, UnitText] = {
    "linear": UnitText("drive", "1", "sent"),
    "leaky_relu": UnitText(
        "int(drive > 0)*drive + int(drive <= 0)*leak*drive",
        "int(drive > 0) + int(drive <= 0)*leak",
        "int(sent > 0)*sent + int(sent <= 0)*sent/leak",
    ),
    # Brian2 has neither arcsinh nor arctanh; these keep the digits of small arguments
    "asinh": UnitText(
        "sign(drive)*log1p(abs(drive) + drive**2/(1 + sqrt(1 + drive**2)))",
        "1/sqrt(1 + drive**2)",
        "sinh(sent)",
    ),
    "tanh": UnitText(
        "tanh(drive)",
        "4*exp(-2*abs(drive))/(1 + exp(-2*abs(drive)))**2",
        "0.5*(log1p(sent) - log1p(-sent))",
    ),
}

INPUT_EQUATIONS = "y : 1"  # clamped

FEEDFORWARD_EQUATIONS = """
weight : 1 (constant)
weighted_post = weight*y_pre : 1 (summed)
"""

FEEDBACK_EQUATIONS = """
weight : 1 (constant)
feedback_post = weight*message_pre : 1 (summed)
"""


def equations(circuit: Circuit, layer: int, *, noise: bool = False) -> str:
    """Return the equations of `layer` (1 .. L) as text for a `NeuronGroup`.

    `gamma` is 0 at units that get no feedback. "Constant over dt" means computed once per step, in
    the order that the module's docstring gives.

    Raises `CircuitError` for an activation that has no text here.
    """
    unit = circuit.network.activation(layer)
    if unit.name not in UNIT_TEXTS:
        raise CircuitError(
            f"activation {unit.name!r} has no Brian2 text; use {', '.join(UNIT_TEXTS)}, or add it "
            "to circuit.brian.UNIT_TEXTS"
        )
    text = UNIT_TEXTS[unit.name]
    pull = "target" if layer == circuit.network.depth else "feedback"
    fluctuation = " + noise*sqrt(2/tau)*xi" if noise else ""
    lines = [
        f"dy/dt = (response - y + gamma*({pull} - response))/tau{fluctuation} : 1",
        "drive = weighted + bias : 1 (constant over dt)",
        f"response = {text.response} : 1 (constant over dt)",
    ]
    if layer > 1:  # nobody listens to what layer 1 would send to the input
        if circuit.pathway.gradient_adjusted:
            lines += [
                f"slope = {text.slope} : 1 (constant over dt)",
                "sent = response + slope**2*(y - response) : 1 (constant over dt)",
            ]
        else:
            lines += ["sent = y : 1 (constant over dt)"]
        lines += [f"message = {text.inverse} - bias : 1 (constant over dt)"]
    lines += [
        "weighted : 1",
        f"{pull} : 1",
        "gamma : 1",
        "bias : 1 (constant)",
        "tau : second (constant, shared)",
    ]
    if unit.name == "leaky_relu":
        lines += ["leak : 1 (constant, shared)"]
    if noise:
        lines += ["noise : 1 (constant, shared)"]
    return "\n".join(lines)


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
    if brian2.get_device() is not runtime_device:
        raise CircuitError(
            "Brian2 is set to a standalone device; call brian2.set_device('runtime') first"
        )
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
    count = batch * (sum(squares) + sum(squares[1:]))
    if count > MOST_SYNAPSES:
        raise CircuitError(
            f"{count} synapses for {batch} images in widths {widths} are more than the "
            f"{MOST_SYNAPSES} that Brian2 can carry here; give fewer images at a time or narrower "
            "layers"
        )
