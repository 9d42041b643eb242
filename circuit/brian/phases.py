"""The usual run: the circuit of a trial in a `Network`, through the free and the nudged phase.

Owns the `Network`, its monitors, the run and its record, and averages of what was recorded. Does
not own the groups and synapses (`circuit.brian.objects`), nor the judgement whether a state is an
equilibrium (`circuit.verification.judgement`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from circuit.brian.library import (
    brian2,
    code_class,
    divergence_unsaid,
    in_seconds,
    require_runtime,
    run_steps,
    seeded,
)
from circuit.brian.limits import settling_time
from circuit.brian.objects import Pieces, make_pieces, read_rates, set_nudge, set_rates
from circuit.checks.given import require_choice, require_count
from circuit.errors import CircuitError, NotFinite
from circuit.records.brief import Brief
from circuit.trial import Trial


@dataclass(frozen=True, eq=False, repr=False)
class BrianCircuit(Brief):
    """A circuit in a Brian2 `Network`, with monitors, ready for `run_phases`.

    Attributes
    ----------
    pieces : the groups and synapses
    network : the `Network` that holds them and the monitors
    monitors : one `StateMonitor` of `y` for each layer 1 .. L; empty if nothing is recorded

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise
    >>> from circuit.brian import build
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> build(trial, record=2).network.t
    0. * second
    """

    pieces: Pieces
    network: brian2.Network
    monitors: tuple[brian2.StateMonitor, ...]


def build(
    trial: Trial,
    *,
    step: float | brian2.Quantity | None = None,
    noise: float = 0.0,
    record: int | None = 8,
    record_every: float | brian2.Quantity | None = None,
    codegen: str = "numpy",
    extra: str | Mapping[int, str] = "",
    namespace: Mapping[str, Any] | None = None,
) -> BrianCircuit:
    """Put the circuit of a trial into a `Network`, with monitors of its rates.

    Parameters
    ----------
    trial, step, noise, codegen, extra, namespace : as in `make_pieces`
    record
        How many units of each layer are recorded in every image (the first ones); 0 for none, None
        for all.
    record_every
        Seconds between two recordings, rounded to whole steps; every step by default.

    Raises
    ------
    CircuitError

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise
    >>> from circuit.brian import build
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> build(trial, noise=0.01, record=None).pieces.noise
    0.01
    """
    require_runtime()
    if record is not None:
        require_count("record", record, 0)
    every = None if record_every is None else in_seconds(record_every, "record_every")
    if every is not None and not 0 < every < math.inf:
        raise CircuitError(f"record_every = {every:g} s is not positive; give seconds, or None")
    pieces = make_pieces(
        trial, step=step, noise=noise, codegen=codegen, extra=extra, namespace=namespace
    )
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
                codeobj_class=code_class(codegen),
                **timing,
            )
        )
    network = brian2.Network(*pieces.objects, *monitors, name="circuit_network*")
    return BrianCircuit(pieces, network, tuple(monitors))


@dataclass(frozen=True, eq=False, repr=False)
class PhaseRecord(Brief):
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

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise
    >>> from circuit.brian import build, run_phases
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> record = run_phases(build(trial, record=2), free=0.1, nudged=0.1)
    >>> round(record.onset, 3), record.rates[0].shape[1:]
    (0.1, (1, 2))
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

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.brian import build, run_phases
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> record = run_phases(build(trial))
    >>> shift = record.nudged_rates[1] - record.free_rates[1]
    >>> bool(abs(shift - settle(trial).shifts.absolute(2)).max() < 1e-12)
    True
    """
    began, pieces = time.perf_counter(), circuit.pieces
    usual = settling_time(pieces.trial.circuit)
    free_steps = whole_steps(pieces, usual if free is None else free, "free")
    nudged_steps = whole_steps(pieces, usual if nudged is None else nudged, "nudged")
    require_choice("start", start, STARTS)
    if pieces.noise > 0 and generator is None:
        raise CircuitError("noise needs a generator; give for example numpy.random.default_rng(1)")

    beginning = float(circuit.network.t_)
    recorded = [len(monitor.t_) for monitor in circuit.monitors]
    with seeded(generator if pieces.noise > 0 else None):
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
"""Where a run may start: a function of the trial that gives y_1 .. y_L."""


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
        For a time below 0, and where nothing was recorded in the rest of a phase.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.brian import average_shifts, build, run_phases
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> record = run_phases(build(trial))
    >>> found = average_shifts(record, skip=record.onset / 2)[1]
    >>> bool(abs(found - settle(trial).shifts.absolute(2)).max() < 1e-6)
    True
    """
    skip = in_seconds(skip, "skip")
    if not skip >= 0:
        raise CircuitError(f"skip = {skip:g} s reaches into the phase before; give 0 or more")
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


def advance(circuit: BrianCircuit, steps: int, *, must_be_finite: bool = True) -> None:
    """Run the network for so many Euler steps.

    Raises what `library.run_steps` does, and, if rates `must_be_finite`, `NotFinite` where one is
    not afterwards.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise
    >>> from circuit.brian import advance, build, read_rates
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> circuit = build(trial)
    >>> advance(circuit, 200)  # from rest, nudge off
    >>> bool(abs(read_rates(circuit.pieces)[1] - trial.activity.rates[2]).max() < 1e-6)
    True
    """
    with divergence_unsaid():
        run_steps(circuit.network, circuit.pieces.clock, steps)
    if not must_be_finite:
        return
    for layer, rates in enumerate(read_rates(circuit.pieces), 1):
        if not np.isfinite(rates).all():
            raise NotFinite(
                f"Brian2's rates of layer {layer} are not finite at {float(circuit.network.t_):g} "
                "s; use weaker feedback, orthogonal weights, less noise, or activations without "
                "bounds"
            )


def whole_steps(pieces: Pieces, duration: float | brian2.Quantity, name: str = "duration") -> int:
    """Euler steps in a duration, rounded up. Raises `CircuitError` for a duration below 0.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise
    >>> from circuit.brian import make_pieces, whole_steps
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> whole_steps(make_pieces(trial, step=0.001), 0.0205)
    21
    """
    seconds = in_seconds(duration, name)
    if not 0 <= seconds < math.inf:
        raise CircuitError(f"{name} = {seconds:g} s is not a duration; give 0 or more seconds")
    # a duration that is a whole number of steps but for rounding stays that number
    return math.ceil(seconds / pieces.clock.dt_ - pieces.clock.epsilon_dt)
