"""All rules on one bench: the same weights, the same images, each rule's weight change beside BP's.

Owns what is measured of a rule: agreement with back-propagation, and with the gradient at the
rule's own equilibrium where that is another; images whose equations were solved, and how well;
passes over the layers; time over that of back-propagation in the same run. Images that a rule does
not solve are left out of what it is compared by, on both sides, and counted; only where it solves
none, what it had come to is compared, and that is said. Does not own the rules (`circuit.peers`),
nor a table or picture of it all.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from circuit.checks.given import require_choice
from circuit.errors import CircuitError, TargetOutOfRange
from circuit.learning.lesson import Lesson
from circuit.learning.step import begin_learning
from circuit.learning.taught import teach
from circuit.network import Activity, Network, forward
from circuit.numerics.arrays import Array, row_norms, take_rows, to_numpy
from circuit.numerics.taken import taken
from circuit.peers.reading import signal_updates
from circuit.peers.rule import Companions, no_practice
from circuit.peers.signal import Signal
from circuit.peers.table import TABLE
from circuit.plasticity import Update
from circuit.records.brief import Brief, Rows
from circuit.report.alignment import Agreement, agreement
from circuit.settings.circuits import WEAK
from circuit.verification.judgement import Status

GOING_ON = (Status.OUT_OF_BUDGET, Status.CYCLING, Status.NOT_RESOLVABLE)  # a state, if no rest
ROUNDS = 5  # of timing, at most
LONG = 0.5  # seconds of timing after which there are no more rounds


@dataclass(frozen=True, eq=False, repr=False)
class Mark(Brief):
    """What one rule did.

    Attributes
    ----------
    rule : its name
    reading : what its synapses read: target, response or contrast; empty where it did nothing
    settled : fraction of the images whose equations were solved; 1 for a rule in closed form
    worst_residual : the largest relative residual of its own equations, over layers and images
        that are compared; None for a rule in closed form
    passes : over all layers, beside the forward pass
    seconds_over_bp : time of a step's signal and weight changes over that of back-propagation,
        forward pass and practice of feedback included, median of rounds that take turns; NaN where
        nothing was timed
    bp : L agreements of dW with back-propagation's
    own : L agreements with the gradient at the rule's own equilibrium; None where that is the
        forward pass, and back-propagation with it
    words : what else is to be said, or why there is nothing
    """

    rule: str
    reading: str = ""
    settled: float = 0.0
    worst_residual: float | None = None
    passes: float = float("nan")
    seconds_over_bp: float = float("nan")
    bp: tuple[Agreement, ...] = ()
    own: tuple[Agreement, ...] | None = None
    words: str = ""

    def _words(self) -> list[str]:
        if not self.bp:
            return [self.rule, self.words]
        return [self.rule, f"cosine with bp in layer 1 {self.bp[0].cosine:.4f}"]


@dataclass(frozen=True, eq=False, repr=False)
class Bench(Brief):
    """What all rules did on the same weights and images.

    Attributes
    ----------
    marks : of every rule, in the order asked for
    depth : L
    left_out : places of images that no rule was asked about, since the gradient of their loss
        leaves the range of floats
    """

    marks: tuple[Mark, ...]
    depth: int
    left_out: tuple[int, ...] = ()

    def _words(self) -> list[str]:
        return [", ".join(mark.rule for mark in self.marks)]

    def _rows(self) -> Rows:
        layers = range(1, self.depth + 1)
        return [
            ("rule", "settled", "passes", *(f"cosine with bp, layer {one}" for one in layers)),
            *(
                (mark.rule, f"{mark.settled:.0%}", mark.passes, *(one.cosine for one in mark.bp))
                for mark in self.marks
            ),
        ]


def bench(
    network: Network,
    inputs: Any,
    targets: Any,
    lessons: Mapping[str, Lesson] | Iterable[str] | None = None,
    *,
    practice: int = 100,
    seed: int = 0,
    timed: bool = True,
) -> Bench:
    """Ask every rule what the layers should learn from the same images, and compare.

    Parameters
    ----------
    network : one network
    inputs : array (batch, N_0)
    targets : array (batch, n_outputs)
    lessons : name of a rule -> the lesson that says what it is set to, all with one loss; or names
        alone, for their defaults; None: all rules
    practice : steps that feedback weights learn on these images beforehand, where a rule has such
    seed : of random feedback, and of noise
    timed : whether to take the time

    Raises
    ------
    CircuitError, ShapeMismatch, NotFinite
        What one rule cannot do is said in its mark; what none can is raised.

    Examples
    --------
    >>> from circuit import initialise
    >>> network = initialise([8, 8, 8], 1)
    >>> found = bench(network, np.eye(8), np.eye(8), ["bp", "gait"], timed=False)
    >>> [round(mark.bp[0].cosine, 3) for mark in found.marks]
    [1.0, 1.0]
    """
    chosen = _lessons(lessons)
    inputs = taken("inputs", inputs, network.weights[0])
    targets = taken("targets", targets, network.weights[0])
    kept = _in_range(network, _gradient(next(iter(chosen.values()))), inputs, targets)
    left_out = tuple(sorted({*range(len(inputs))} - {*kept}))
    if left_out:
        inputs, targets = take_rows(inputs, kept), take_rows(targets, kept)
    marks = []
    for name, lesson in chosen.items():
        try:
            marks.append(_mark(network, name, lesson, inputs, targets, practice, seed, timed))
        except CircuitError as refusal:
            marks.append(Mark(name, words=str(refusal)))
    return Bench(tuple(marks), network.depth, left_out)


def _in_range(network: Network, plain: Lesson, inputs: Array, targets: Array) -> list[int]:
    """The images whose gradient can be compared: its square is a float.

    Raises `CircuitError` where there are none, and what no rule can do.
    """
    signal = teach(network, plain, forward(network, inputs), targets)
    activity, size = signal.activity, np.zeros(len(inputs))
    for layer in range(1, network.depth + 1):
        told = activity.slope(layer) * signal.shifts.per_gain(layer)
        read = activity.rates[layer - 1]
        with np.errstate(over="ignore"):
            product = to_numpy(row_norms(told)).astype(float) * to_numpy(row_norms(read))
        size = np.maximum(size, product)
    most = float(np.finfo(to_numpy(inputs).dtype).max) ** 0.5 / len(inputs)
    kept = [int(row) for row in np.flatnonzero(size < most)]
    if not kept:
        raise CircuitError(
            f"the gradient of all {len(inputs)} images leaves the range of {inputs.dtype}; scale "
            "images or targets down"
        )
    return kept


def _lessons(lessons: Mapping[str, Lesson] | Iterable[str] | None) -> dict[str, Lesson]:
    if lessons is None:
        lessons = tuple(TABLE)
    if isinstance(lessons, Mapping):
        chosen = dict(lessons)
    else:
        names = list(lessons)
        for name in names:
            require_choice("rule", name, TABLE)
        chosen = {name: Lesson(rule=name, feedback_strength=WEAK) for name in names}
    losses = {lesson.loss for lesson in chosen.values()}
    if len(losses) != 1:
        raise CircuitError(
            f"{len(losses)} losses on one bench; give at least one rule, and the same loss to all"
        )
    return chosen


def _mark(
    network: Network,
    name: str,
    lesson: Lesson,
    inputs: Array,
    targets: Array,
    practice: int,
    seed: int,
    timed: bool,
) -> Mark:
    """One rule measured. Raises `CircuitError` for what it cannot do."""
    beside, plain = practised(network, lesson, inputs, practice, seed), _gradient(lesson)
    count = len(inputs)
    inputs, targets, signal = _answered(network, lesson, inputs, targets, beside)
    rows, rest, passes = _solved(signal, len(inputs)), signal.rest, _passes(signal)
    settled = len(rows) / count
    words = "" if rest is None else rest.words
    if not rows and rest is not None:  # then what it had reached is compared, and that is said
        rows = [row for row, one in enumerate(rest.status) if one in GOING_ON]
        some = f"; what {len(rows)} had come to is compared" if rows else ""
        words = f"no image settled{some}. {words}".strip()
    if not rows:
        return Mark(name, signal.reading, 0.0, None, passes, words=words)
    worst = None if rest is None else float(rest.residuals[:, rows].max())
    ratio = float("nan")
    if timed:
        theirs = partial(_step, network, plain, inputs, targets, {})
        ratio = _ratio(partial(_step, network, lesson, inputs, targets, beside), theirs)
    if len(rows) < len(inputs):
        inputs, targets = take_rows(inputs, rows), take_rows(targets, rows)
        signal = teach(network, lesson, forward(network, inputs), targets, beside)
    changes = signal_updates(network, signal)
    told = teach(network, plain, forward(network, inputs), targets)
    bp, own, of_own = _agreements(changes, signal_updates(network, told)), None, lesson.of_table
    if of_own.own_gradient is not None and settled > 0:
        there = of_own.own_gradient(network, signal, targets, lesson.loss, lesson.given)
        own = _agreements(changes, there)
    return Mark(name, signal.reading, settled, worst, passes, ratio, bp, own, words)


def _gradient(lesson: Lesson) -> Lesson:
    """Back-propagation of the same loss."""
    return Lesson(rule="bp", loss=lesson.loss)


def practised(
    network: Network, lesson: Lesson, inputs: Array, practice: int, seed: int
) -> Companions:
    """What lives beside the network for the rule, after feedback has learnt."""
    beside = begin_learning(network, lesson, np.asarray(seed)).companions
    rule = lesson.of_table
    activity = forward(network, inputs)
    if rule.practise is not no_practice:
        for step in range(practice):
            beside = rule.practise(network, activity, beside, lesson.given, step)
    return beside


def _answered(
    network: Network, lesson: Lesson, inputs: Array, targets: Array, beside: Companions
) -> tuple[Array, Array, Signal]:
    """The images and targets that the rule does not refuse, and its signal of them.

    Where it refuses the batch for images without a target, it is asked one by one.
    """
    try:
        return inputs, targets, teach(network, lesson, forward(network, inputs), targets, beside)
    except TargetOutOfRange:
        kept = []
        for row in range(len(inputs)):
            one, aim = take_rows(inputs, [row]), take_rows(targets, [row])
            try:
                teach(network, lesson, forward(network, one), aim, beside)
            except TargetOutOfRange:
                continue
            kept.append(row)
        if not kept:
            raise
        inputs, targets = take_rows(inputs, kept), take_rows(targets, kept)
        return inputs, targets, teach(network, lesson, forward(network, inputs), targets, beside)


def _solved(signal: Signal, count: int) -> list[int]:
    """Which of so many images the signal holds for."""
    rows = range(count)
    return list(rows) if signal.rest is None else [i for i in rows if signal.rest.converged[i]]


def _passes(signal: Signal) -> float:
    """One down for a rule in closed form."""
    return 1.0 if signal.rest is None else float(signal.rest.passes)


def _agreements(changes: Sequence[Update], reference: Sequence[Update]) -> tuple[Agreement, ...]:
    return tuple(
        agreement(one.weights, other.weights) for one, other in zip(changes, reference, strict=True)
    )


def _step(
    network: Network, lesson: Lesson, inputs: Array, targets: Array, beside: Companions
) -> tuple[Update, ...]:
    """What a step of learning does but for the weights."""
    activity: Activity = forward(network, inputs)
    through = beside
    if lesson.of_table.practise is not no_practice:
        through = lesson.of_table.practise(network, activity, beside, lesson.given, 1)
    return signal_updates(network, teach(network, lesson, activity, targets, through))


def _ratio(mine: Callable[[], object], theirs: Callable[[], object]) -> float:
    """Median of the ratios of times, the two taking turns."""
    ratios, began = [], time.perf_counter()
    theirs()
    for _ in range(ROUNDS):
        clock = time.perf_counter()
        theirs()
        middle = time.perf_counter()
        mine()
        ratios.append((time.perf_counter() - middle) / (middle - clock))
        if time.perf_counter() - began > LONG:
            break
    return statistics.median(ratios)
