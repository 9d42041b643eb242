"""One step of learning: a batch of images in, a network with other weights out.

Owns the order of things in a step: forward pass, shifts of the rule or of the settled circuit, the
local weight change, the pull towards orthogonality, Adam. Does not own any of these, nor epochs,
data or files.

A leading axis of weights, inputs and targets is a stack of networks that learn side by side, each
from its own images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import array_api_compat
import numpy as np

from circuit.brief import Brief, counted
from circuit.dynamics import Trial, build_circuit
from circuit.equilibrium import settle
from circuit.errors import CircuitError
from circuit.lateral_inhibition import acting as decorrelation
from circuit.lateral_inhibition import companions as lateral
from circuit.learned_inverse import companions as learned_shifts
from circuit.learned_inverse.companions import (
    EXACT,
    LEARNED,
    after_practice,
    circuit_shifts,
    companions_of,
    practice_of,
    rule_shifts,
)
from circuit.learned_inverse.model import KEYS, SIMULTANEOUS, reading_noise
from circuit.learning import adam, regulariser
from circuit.learning.lesson import CIRCUIT, Lesson
from circuit.losses import VALUES, output_error, require_targets
from circuit.network import Activity, Network, forward
from circuit.numerics.arrays import (
    Array,
    all_finite,
    namespace,
    require_finite,
    require_samples,
    widened,
)
from circuit.numerics.taken import taken
from circuit.plasticity import layer_update
from circuit.rules import back_propagation
from circuit.shifts import ONE, Shifts
from circuit.verification.judgement import Status


@dataclass(frozen=True, eq=False, repr=False)
class Moments(Brief):
    """Adam's running means of the direction (first) and of its square (second).

    Attributes
    ----------
    first_weights, second_weights : tuples of L arrays, of the shapes of the weights
    first_biases, second_biases : tuples of L arrays, of the shapes of the biases
    """

    first_weights: tuple[Array, ...]
    first_biases: tuple[Array, ...]
    second_weights: tuple[Array, ...]
    second_biases: tuple[Array, ...]

    def _words(self) -> list[str]:
        return [counted(len(self.first_weights), "layer")]


@dataclass(frozen=True, eq=False, repr=False)
class Learner(Brief):
    """The state of a learning network.

    Attributes
    ----------
    network : as it is after `steps` steps
    moments : of Adam, for all weights and biases
    steps : steps made so far
    companions : name -> arrays that learn beside the network, each with the stack's leading axis;
        a checkpoint holds them too
    """

    network: Network
    moments: Moments
    steps: int
    companions: Mapping[str, tuple[Array, ...]] = field(default_factory=dict)

    def _words(self) -> list[str]:
        beside = [f"with {', '.join(self.companions)}"] if self.companions else []
        return [counted(self.steps, "step"), *self.network._words(), *beside]


@dataclass(frozen=True, eq=False, repr=False)
class Step(Brief):
    """What a step saw, before it changed anything.

    Attributes
    ----------
    loss : array (...), the mean over the batch, one for each network of a stack
    correct : array (...), the fraction of the batch whose largest output is the target's
    settled : array (...), the fraction of the batch that settled and was learnt from; None unless
        the rule is the circuit
    """

    loss: Array
    correct: Array
    settled: Array | None


def begin_learning(
    network: Network, lesson: Lesson | None = None, keys: Array | None = None
) -> Learner:
    """A learner that has not learnt anything yet.

    Parameters
    ----------
    lesson : what it is to learn by; needed where something learns beside the network
    keys : int64 array (...), one for each network, for all that is random in a step
    """

    def zeros(arrays: Sequence[Array]) -> tuple[Array, ...]:
        return tuple(namespace(array).zeros_like(array) for array in arrays)

    w, b = network.weights, network.biases
    beside: Mapping[str, tuple[Array, ...]] = {}
    if lesson is not None:
        inhibiting = lateral.companions_of(network, lesson, keys)
        beside = {**companions_of(network, lesson, keys), **inhibiting}
    return Learner(network, Moments(zeros(w), zeros(b), zeros(w), zeros(b)), 0, beside)


def fresh(learner: Learner) -> Learner:
    """The same state without anything that was kept for speed: what a checkpoint holds.

    From there the same steps give the same bits. With what was kept they give the same to rounding.
    """
    return replace(learner, network=replace(learner.network))


@np.errstate(all="ignore")  # what overflows is found by the next check
def learn(learner: Learner, lesson: Lesson, inputs: Array, targets: Array) -> tuple[Learner, Step]:
    """One step.

    Parameters
    ----------
    inputs : array (..., batch, N_0)
    targets : array (..., batch, n_outputs)

    Raises
    ------
    CircuitError, ShapeMismatch, NotFinite, SingularWeights, TargetOutOfRange
        Where the weights have become singular or are not finite, with the layer.
    """
    network, old = learner.network, learner.moments
    targets = taken("targets", targets, network.weights[0])
    needed = (*learned_shifts.needed_by(lesson, network.depth), *lateral.needed_by(lesson))
    _require_companions(learner.companions, needed)
    if not network.has_moved:
        network = network.moved(network.weights, network.biases)
    activity = forward(network, inputs)
    loss, correct = _marks(network, lesson, activity, targets)
    through, practice = learner.companions, practice_of(lesson)
    if lesson.inverse == LEARNED:
        beside = after_practice(network, lesson, activity, learner.companions, learner.steps)
        learner = replace(learner, companions=beside)
        if practice.order != SIMULTANEOUS:
            through = beside
    steps = practice.network_steps(learner.steps)
    if not practice.network_learns(learner.steps):
        nothing = loss * float("nan") if lesson.rule == CIRCUIT else None  # has settled
        waited = replace(learner, steps=learner.steps + 1)
        return waited, Step(loss, correct, nothing)
    activity, shifts, mask = teach(network, lesson, activity, targets, through, learner.steps)
    settled = None
    if mask is not None:
        settled = namespace(targets).mean(namespace(targets).astype(mask, targets.dtype), axis=-1)
        shifts = _of_settled(shifts, mask, settled)
    move = partial(adam.step, lesson.adam(), steps)
    pulled = lesson.orthogonality > 0 and steps % lesson.orthogonality_every == 0
    strength = lesson.orthogonality * lesson.orthogonality_every
    acting, companions = lesson.orthogonality_by in decorrelation.PLACES, learner.companions
    taught: list[Array] | None = None
    if pulled and lesson.orthogonality_by != lateral.REGULARISER:
        taught, companions = lateral.taught(
            network, lesson, activity, companions, learner.steps, strength
        )
    synapses = lateral.synapses_of(network, companions)
    moved: list[tuple[Any, ...]] = []
    for i in reversed(range(network.depth)):  # those last that are needed first, still in the cache
        change = layer_update(network, activity, shifts, i + 1)
        w, b, direction = synapses[i], network.biases[i], change.weights
        if acting:
            direction = lateral.through(lesson, companions, direction, i)
        elif taught is not None:
            direction = direction + taught[i]
        elif pulled:
            direction = regulariser.descent(w, strength, lesson.orthogonality_of, onto=direction)
        w, mw, vw = move(w, direction, old.first_weights[i], old.second_weights[i])
        b, mb, vb = move(b, change.biases, old.first_biases[i], old.second_biases[i])
        moved.append((w, b, mw, mb, vw, vb))
    weights, biases, *moments = (tuple(column) for column in zip(*moved[::-1], strict=True))
    if not all_finite((*weights, *biases, *moments[2], *moments[3])):
        _refuse(weights, biases, moments)
    if acting:
        weights, companions = lateral.acted(lesson, activity, companions, weights)
    learned = replace(
        learner,
        network=network.moved(weights, biases),
        moments=Moments(*moments),
        steps=learner.steps + 1,
        companions=companions,
    )
    return learned, Step(loss, correct, settled)


def _require_companions(companions: Mapping[str, tuple[Array, ...]], names: Sequence[str]) -> None:
    """Raise `CircuitError` for the first of the names that is missing."""
    missing = [name for name in names if name not in companions]
    if missing:
        raise CircuitError(
            f"this learner has no {missing[0].replace('_', ' ')}, which the lesson needs; begin "
            "with begin_learning(network, lesson)"
        )


def _refuse(
    weights: Sequence[Array], biases: Sequence[Array], moments: Sequence[Sequence[Array]]
) -> None:
    """Raise `NotFinite` for the first array that is not finite."""
    remedy = "use a lower learning rate or better conditioned weights (orthogonal initialisation)"
    for layer, arrays in enumerate(zip(weights, biases, moments[2], moments[3], strict=True), 1):
        for name, array in zip(("W", "bias", "change of W", "change of bias"), arrays, strict=True):
            require_finite(array, f"{name} of layer {layer}", remedy)


def teach(
    network: Network,
    lesson: Lesson,
    activity: Activity,
    targets: Array,
    companions: Mapping[str, tuple[Array, ...]] | None = None,
    step: int = 0,
) -> tuple[Activity, Shifts, Array | None]:
    """What the synapses learn from.

    Parameters
    ----------
    activity : the forward pass
    companions : of the learner
    step : of the learner, which decides what the noise is

    Returns
    -------
    The rates and slopes that shifts count from (the forward pass, or the free phase of a circuit
    that has another); the shifts; and which samples settled, `(..., batch)`, None unless the rule
    is the circuit.
    """
    error = output_error(network, activity, targets, lesson.loss)
    if lesson.rule == "bp":
        return activity, back_propagation(network, activity, error), None
    beside = {} if companions is None else companions
    _require_companions(beside, learned_shifts.needed_by(lesson, network.depth))
    noise = noise_of(network, lesson, beside, step, error)
    if lesson.rule != CIRCUIT:
        shifts = rule_shifts(network, lesson, beside, activity, error, noise)
        return activity, shifts, None
    if lesson.inverse != EXACT:
        activity, shifts, mask = circuit_shifts(network, lesson, beside, activity, error)
    else:
        circuit = build_circuit(network, lesson.pathway, lesson.strengths(network.depth))
        trial = Trial(circuit, activity, widened(error, network.widths[-1]))
        record = settle(trial, must_converge=False)
        shifts, xp = record.read_out(lesson.readout), namespace(targets)
        settled = [status is Status.CONVERGED for status in record.sample_status]
        device = array_api_compat.device(targets)
        mask = xp.reshape(xp.asarray(settled, device=device), targets.shape[:-1])
    return activity, read_with(noise, _of_projecting(network, shifts)), mask


def noise_of(
    network: Network,
    lesson: Lesson,
    companions: Mapping[str, tuple[Array, ...]],
    step: int,
    like: Array,
) -> tuple[Array, ...]:
    """The noise with which the shifts of this step are read; none where the lesson has none."""
    if lesson.rate_noise == 0:
        return ()
    return reading_noise(network, lesson.rate_noise, companions[KEYS][0], step, like)


def read_with(noise: Sequence[Array], shifts: Shifts) -> Shifts:
    """Shifts that are read with noise, but were not made with it."""
    if not noise:
        return shifts
    return shifts.with_values(
        tuple(
            value + widened(wrong * ONE.over(scale).value, value.shape[-1])
            for value, wrong, scale in zip(shifts.values, noise, shifts.scales, strict=True)
        )
    )


def _of_projecting(network: Network, shifts: Shifts) -> Shifts:
    """The read-out with that of auxiliary units set to zero: they follow what drives them, and
    there is no target in them to learn from.
    """
    return shifts.with_values(
        tuple(
            widened(value[..., : network.n_projecting(layer)], value.shape[-1])
            for layer, value in enumerate(shifts.values, 1)
        )
    )


def _of_settled(shifts: Shifts, mask: Array, fraction: Array) -> Shifts:
    """The shifts with those of other samples set to zero, so that the mean over the batch becomes
    the mean over the samples that settled.
    """
    xp = namespace(mask, fraction)
    if bool(xp.all(mask)):
        return shifts
    weight = xp.where(fraction > 0, 1 / xp.where(fraction > 0, fraction, 1 + fraction), fraction)
    weight, mask = weight[..., None, None], mask[..., None]
    return shifts.with_values(
        tuple(xp.where(mask, value * weight, xp.zeros_like(value)) for value in shifts.values)
    )


def _marks(
    network: Network, lesson: Lesson, activity: Activity, targets: Array
) -> tuple[Array, Array]:
    """Loss and fraction correct of a batch. Raises as `require_targets` and `require_samples`."""
    xp = namespace(targets)
    outputs = activity.rates[-1][..., : network.n_outputs]
    require_targets(targets, outputs)
    require_samples(targets)
    loss = xp.mean(VALUES[lesson.loss](outputs, targets), axis=-1)
    same = xp.argmax(outputs, axis=-1) == xp.argmax(targets, axis=-1)
    return loss, xp.mean(xp.astype(same, targets.dtype), axis=-1)
