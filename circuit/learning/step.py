"""One step of learning: a batch of images in, a network with other weights out.

Owns the order of things in a step: forward pass, practice of the inverse, what the synapses learn
from (`taught`), the local weight change, the pull towards orthogonality, Adam.

A leading axis of weights, inputs and targets is a stack of networks that learn side by side, each
from its own images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from circuit.checks.outputs import require_classes, require_targets
from circuit.errors import CircuitError
from circuit.labels.answers import are_right
from circuit.lateral_inhibition.pull import Companions, Pull
from circuit.learned_inverse.model import KEYS
from circuit.learning import adam
from circuit.learning.lesson import Lesson
from circuit.learning.loss_values import VALUES
from circuit.learning.taught import OfLearner, of_settled, require_companions, teach
from circuit.network import Activity, Network, forward
from circuit.numerics.arrays import Array, all_finite, namespace, require_finite, require_samples
from circuit.numerics.taken import taken
from circuit.peers.reading import signal_update
from circuit.peers.rule import no_companions
from circuit.peers.signal import Signal
from circuit.records.brief import Brief, counted


@dataclass(frozen=True, eq=False, repr=False)
class Moments(Brief):
    """Adam's running means of the direction (first) and of its square (second).

    Attributes
    ----------
    first_weights, second_weights : tuples of L arrays, of the shapes of the weights
    first_biases, second_biases : tuples of L arrays, of the shapes of the biases

    Examples
    --------
    >>> from circuit import initialise
    >>> from circuit.learning import begin_learning
    >>> moments = begin_learning(initialise([3, 2, 2], 0)).moments
    >>> moments.second_weights[0].shape, float(moments.second_weights[0].sum())
    ((2, 2), 0.0)
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

    Examples
    --------
    >>> from circuit import initialise
    >>> from circuit.learning import begin_learning
    >>> learner = begin_learning(initialise([3, 2, 2], 0))
    >>> learner.steps, learner.network.widths
    (0, (3, 2, 2))
    """

    network: Network
    moments: Moments
    steps: int
    companions: Companions = field(default_factory=dict)

    def _words(self) -> list[str]:
        beside = [f"with {', '.join(self.companions)}"] if self.companions else []
        return [counted(self.steps, "step"), *self.network._words(), *beside]


@dataclass(frozen=True, eq=False, repr=False)
class Step(Brief):
    """What a step saw, before it changed anything.

    Attributes
    ----------
    loss : array (...), the mean over the batch, one for each network of a stack
    correct : array (...), the fraction of the batch whose class is the target's (`predict`)
    settled : array (...), the fraction of the batch that settled and was learnt from, NaN where
        the network waits for its inverse; None for a rule in closed form

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import initialise
    >>> from circuit.learning import Lesson, begin_learning, learn
    >>> learner = begin_learning(initialise([2, 2], 0))
    >>> _, seen = learn(learner, Lesson("circuit"), np.eye(2), np.eye(2))
    >>> float(seen.settled), seen.loss.shape
    (1.0, ())
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

    Raises
    ------
    CircuitError
        Without keys where something is random, and for a loss of which this network learns nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import initialise
    >>> from circuit.learning import LearnedInverse, Lesson, begin_learning
    >>> lesson = Lesson(inverse=LearnedInverse())  # feedback weights learn beside the network
    >>> sorted(begin_learning(initialise([3, 2, 2], 0), lesson, np.array(1)).companions)
    ['feedback_biases', 'feedback_weights', 'noise_keys']
    """

    def zeros(arrays: Sequence[Array]) -> tuple[Array, ...]:
        return tuple(namespace(array).zeros_like(array) for array in arrays)

    if lesson is not None and lesson.loss == "cross_entropy":
        require_classes(network.n_outputs)
    w, b = network.weights, network.biases
    beside = {} if lesson is None else _companions(network, lesson, keys)
    return Learner(network, Moments(zeros(w), zeros(b), zeros(w), zeros(b)), 0, beside)


def _companions(network: Network, lesson: Lesson, keys: Array | None) -> Companions:
    """What learns beside a network, and the keys of all that is random in its steps."""
    inhibiting, rule = _pull(lesson).companions(network, keys), lesson.of_table
    if not lesson.needed(network.depth) and rule.companions is no_companions:
        return inhibiting
    if keys is None:
        raise CircuitError(
            "a learned inverse and rate noise are random; give a key for every network"
            if rule.companions is no_companions
            else f"what rule {rule.name} has beside the network is random; give a key for every "
            "network"
        )
    noise = {KEYS: (keys,)} if lesson.needed(network.depth) else {}
    back = {} if lesson.inverse is None else lesson.inverse.companions(network, keys)
    return {**noise, **back, **rule.companions(network, lesson.given, keys), **inhibiting}


def _pull(lesson: Lesson) -> Pull:
    return Pull() if lesson.pull is None else lesson.pull


def fresh(learner: Learner) -> Learner:
    """The same state without anything that was kept for speed: what a checkpoint holds.

    From there the same steps give the same bits. With what was kept they give the same to rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import initialise
    >>> from circuit.learning import Lesson, begin_learning, fresh, learn
    >>> learner = begin_learning(initialise([2, 2], 0))
    >>> learner, _ = learn(learner, Lesson(), np.eye(2), np.eye(2))
    >>> learner.network.has_moved, fresh(learner).network.has_moved
    (True, False)
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

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import initialise
    >>> from circuit.learning import Adam, Lesson, begin_learning, learn
    >>> learner, lesson, losses = begin_learning(initialise([2, 2], 0)), Lesson(adam=Adam(0.05)), []
    >>> for _ in range(50):
    ...     learner, seen = learn(learner, lesson, np.eye(2), np.eye(2))
    ...     losses.append(float(seen.loss))
    >>> losses[-1] < 0.1 * losses[0]
    True
    """
    network, companions = learner.network, learner.companions
    needed = (*lesson.needed(network.depth), *_pull(lesson).needed)
    require_companions(companions, needed)
    targets = taken("targets", targets, network.weights[0])
    if not network.has_moved:
        network = network.moved(network.weights, network.biases)
    activity = forward(network, inputs)
    loss, correct = _marks(network, lesson, activity, targets)
    through = companions
    if lesson.inverse is not None:
        through, companions = lesson.inverse.practise(network, activity, through, learner.steps)
    else:
        through = companions = lesson.of_table.practise(
            network, activity, OfLearner(companions), lesson.given, learner.steps
        )
    if not lesson.network_learns(learner.steps):
        nothing = loss * float("nan") if lesson.of_table.settles else None  # has settled
        waited = replace(learner, steps=learner.steps + 1, companions=companions)
        return waited, Step(loss, correct, nothing)
    signal = teach(network, lesson, activity, targets, through, learner.steps)
    signal, settled = of_settled(signal, targets)
    learner = replace(learner, network=network, companions=companions)
    return _moved(learner, lesson, signal), Step(loss, correct, settled)


def _moved(learner: Learner, lesson: Lesson, signal: Signal) -> Learner:
    """The learner after what the rule teaches, the pull, and Adam."""
    network, old, pull = learner.network, learner.moments, _pull(lesson)
    steps, activity = lesson.network_steps(learner.steps), signal.activity
    turned, companions = pull.turned(network, activity, learner.companions, learner.steps, steps)
    synapses, move = pull.synapses(network, companions), partial(adam.step, lesson.adam, steps)
    moved: list[tuple[Any, ...]] = []
    for i in reversed(range(network.depth)):  # those last that are needed first, still in the cache
        w, b, mw, mb = synapses[i], network.biases[i], old.first_weights[i], old.first_biases[i]
        vw, vb = old.second_weights[i], old.second_biases[i]
        if lesson.layer_learns(i + 1, network.depth):
            change = signal_update(network, signal, i + 1)
            w, mw, vw = move(w, turned(i, change.weights), mw, vw)
            b, mb, vb = move(b, change.biases, mb, vb)
        moved.append((w, b, mw, mb, vw, vb))
    weights, biases, *moments = (tuple(column) for column in zip(*moved[::-1], strict=True))
    if not all_finite((*weights, *biases, *moments[2], *moments[3])):
        _refuse(weights, biases, moments)
    weights, companions = pull.acted(activity, companions, weights)
    return Learner(network.moved(weights, biases), Moments(*moments), learner.steps + 1, companions)


def _refuse(
    weights: Sequence[Array], biases: Sequence[Array], moments: Sequence[Sequence[Array]]
) -> None:
    """Raise `NotFinite` for the first array that is not finite."""
    remedy = "use a lower learning rate or better conditioned weights (orthogonal initialisation)"
    for layer, arrays in enumerate(zip(weights, biases, moments[2], moments[3], strict=True), 1):
        for name, array in zip(("W", "bias", "change of W", "change of bias"), arrays, strict=True):
            require_finite(array, f"{name} of layer {layer}", remedy)


def _marks(
    network: Network, lesson: Lesson, activity: Activity, targets: Array
) -> tuple[Array, Array]:
    """Loss and fraction correct of a batch. Raises as `require_targets` and `require_samples`."""
    xp = namespace(targets)
    outputs = activity.rates[-1][..., : network.n_outputs]
    require_targets(targets, outputs)
    require_samples(targets)
    loss = xp.mean(VALUES[lesson.loss](outputs, targets), axis=-1)
    return loss, xp.mean(xp.astype(are_right(outputs, targets), targets.dtype), axis=-1)
