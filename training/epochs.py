"""Training: epochs over images, in which networks learn, are chosen and are tested.

Owns the order in which images come, the choice of an epoch, and the state from which a run can go
on. Does not own a step of learning (`circuit.learning.step`), what is measured after an epoch
(`evaluation`), the split of the images (`plan`), files (`checkpoints`), nor what a person sees
(`run_training`).

Several seeds are a stack of networks trained together, along the leading axis of weights and
inputs. Each has its own initial weights, split and order of images, all drawn from its own seed, so
that its result is that of a run with this seed alone, to rounding.

At the end of every epoch, and every `Plan.checkpoint_every` batches within one, the state is *at
rest*: nothing is kept of the past but what stands in it, so that a run which goes on from a saved
copy gives the same bits as one that was never interrupted (on the same machine, with the same
number of threads: both change how BLAS rounds).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from circuit.errors import CircuitError
from circuit.learning.step import Learner, Moments, Step, begin_learning, fresh, learn
from circuit.network import Network
from circuit.numerics.arrays import Array, is_numpy, namespace, to_numpy
from training.evaluation import Row, epoch_row, one_learner
from training.measures import BY_EPOCH, BY_LAYER
from training.plan import (
    Material,
    Plan,
    alone,
    batches_of_an_epoch,
    generator,
    initial_network,
    placed,
    share,
    taken,
)


class TrainingFailed(RuntimeError):
    """Weights have become singular or are not finite. The message is one line: where, and what."""


@dataclass(frozen=True, eq=False)
class State:
    """Where a run is.

    Attributes
    ----------
    learner : the networks with Adam's moments
    epoch : epochs completed
    batch : batches done of the epoch after those
    orders : array (seeds, n), the order of images in that epoch
    generators : for each seed, the state of the generator that draws orders, as plain values
    sums : three arrays (seeds,) of loss, images right, images settled in that epoch
    history : name -> array (epoch + 1, seeds) or (epoch + 1, seeds, L), see `training.measures`
    chosen : the networks as they were at their chosen epochs
    chosen_epochs : array (seeds,)
    at_rest : whether this state may be saved (see the module's docstring)
    """

    learner: Learner
    epoch: int
    batch: int
    orders: np.ndarray
    generators: tuple[Mapping[str, Any], ...]
    sums: tuple[Array, Array, Array]
    history: dict[str, np.ndarray]
    chosen: Network
    chosen_epochs: np.ndarray
    at_rest: bool


def begin_training(plan: Plan, material: Material) -> State:
    """The state before any learning, with the first entry of its history.

    Raises
    ------
    CircuitError
    TrainingFailed
        Where the initial networks are already singular.
    """
    network = initial_network(plan, material.targets.shape[1])
    (keys,) = placed([np.array(plan.seeds if plan.stacked else plan.seeds[0])], plan)
    state = State(
        learner=rested(begin_learning(network, plan.lesson, keys)),
        epoch=-1,  # so that what follows ends epoch 0
        batch=0,
        orders=material.learning,
        generators=tuple(generator(seed, "order").bit_generator.state for seed in plan.seeds),
        sums=_no_sums(plan),
        history={},
        chosen=network,
        chosen_epochs=np.zeros(len(plan.seeds), dtype=np.int64),
        at_rest=True,
    )
    return _finish_epoch(plan, material, state)


def train(plan: Plan, material: Material, state: State, epochs: int) -> Iterator[State]:
    """The states of a run after `state`, one for every batch, until `epochs` are completed.

    The last state of an epoch has `batch` 0 and its evaluation in the history.

    Raises
    ------
    TrainingFailed
        With the epoch, the batch, the layer, and in a stack the seed. The states that came before
        are good.
    """
    n_batches = batches_of_an_epoch(plan, material)
    while state.epoch < epochs:
        if state.batch == 0:
            state = _begin_epoch(plan, material, state)
        batch = state.batch + 1
        rows = state.orders[:, state.batch * plan.batch : batch * plan.batch]
        resting = plan.checkpoint_every > 0 and batch % plan.checkpoint_every == 0
        learner, step = _batch_learnt(
            plan,
            state.learner,
            taken(plan, material.inputs, rows),
            taken(plan, material.targets, rows),
            f"epoch {state.epoch + 1}, batch {batch}",
            resting or batch == n_batches,
        )
        sums = _added(state.sums, step, rows.shape[1])
        state = replace(state, learner=learner, batch=batch, sums=sums, at_rest=resting)
        if batch == n_batches:
            state = _finish_epoch(plan, material, state)
        yield state


def rested(learner: Learner) -> Learner:
    """The same state as it is when it comes from a file: nothing kept for speed, and every array
    in the order of memory in which it is saved, which also decides how BLAS rounds.
    """

    def laid_out(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(
            np.asarray(array, order="C") if is_numpy(array) else array.contiguous()
            for array in arrays
        )

    learner = fresh(learner)
    network, moments = learner.network, learner.moments
    return Learner(
        replace(network, weights=laid_out(network.weights), biases=laid_out(network.biases)),
        Moments(*map(laid_out, vars(moments).values())),
        learner.steps,
        {name: laid_out(arrays) for name, arrays in learner.companions.items()},
    )


def _begin_epoch(plan: Plan, material: Material, state: State) -> State:
    """Orders for the epoch that begins."""
    if not plan.shuffled:
        return replace(state, orders=material.learning, sums=_no_sums(plan))
    orders, generators = np.empty_like(material.learning), []
    for i, known in enumerate(state.generators):
        generator = np.random.default_rng()
        generator.bit_generator.state = known
        orders[i] = generator.permutation(material.learning[i])
        generators.append(generator.bit_generator.state)
    return replace(state, orders=orders, generators=tuple(generators), sums=_no_sums(plan))


def _finish_epoch(plan: Plan, material: Material, state: State) -> State:
    """Evaluate, add to the history, and choose."""
    learner, epoch = state.learner, state.epoch + 1

    def of_one(i: int) -> Row:
        return epoch_row(alone(plan, i), one_learner(learner, plan, i), share(material, i), epoch)

    with _named_if_it_fails(plan, f"after epoch {epoch}", of_one):
        row = epoch_row(plan, learner, material, epoch)
    images = _images(plan, state)
    taught = sum(n for n, step in images if plan.lesson.network_learns(step))
    seen = sum(n for n, _ in images)
    counts = (seen, seen, taught)
    for name, total, count in zip(BY_EPOCH, state.sums, counts, strict=False):  # the first three
        row[name] = _by_seed(total) / count if count else np.full(len(plan.seeds), np.nan)
    if not plan.lesson.of_table.settles:
        row["settled"] = np.full(len(plan.seeds), np.nan)
    history = {
        name: np.concatenate([state.history[name], row[name][np.newaxis]])
        if state.history
        else row[name][np.newaxis]
        for name in (*BY_EPOCH, *BY_LAYER)
    }
    return _choose(plan, replace(state, epoch=epoch, batch=0, history=history, at_rest=True))


def _images(plan: Plan, state: State) -> list[tuple[int, int]]:
    """Of every batch done of an epoch, its images, and which step of learning it was."""
    count, first = state.orders.shape[1], state.learner.steps - state.batch
    return [(min(plan.batch, count - at * plan.batch), first + at) for at in range(state.batch)]


def _choose(plan: Plan, state: State) -> State:
    """The chosen networks brought up to date: the best accuracy so far, and of equal ones the least
    loss. A few images give many equal accuracies.
    """
    by = "test" if plan.validation == 0 else "validation"
    accuracy, loss = state.history[f"{by}_accuracy"], state.history[f"{by}_loss"]
    best = np.lexsort((loss, -accuracy), axis=0)[0]
    better = best == state.epoch
    if not better.any():
        return replace(state, chosen_epochs=best)
    new, old = state.learner.network, state.chosen
    if not better.all():
        xp = namespace(new.biases[0])
        (mask,) = placed([better], plan)

        def merged(these: tuple[Array, ...], those: tuple[Array, ...]) -> tuple[Array, ...]:
            return tuple(
                xp.where(xp.reshape(mask, (-1,) + (1,) * (this.ndim - 1)), this, that)
                for this, that in zip(these, those, strict=True)
            )

        new = replace(
            new, weights=merged(new.weights, old.weights), biases=merged(new.biases, old.biases)
        )
    return replace(state, chosen=new, chosen_epochs=best)


def _batch_learnt(
    plan: Plan, learner: Learner, inputs: Array, targets: Array, place: str, resting: bool
) -> tuple[Learner, Step]:
    """A step of all networks, and the rest after it where that is due."""

    def of_one(i: int) -> object:
        return _step(plan, one_learner(learner, plan, i), inputs[i], targets[i], resting)

    with _named_if_it_fails(plan, place, of_one):
        after, step = _step(plan, learner, inputs, targets, resting)
    return after, step


def _step(
    plan: Plan, learner: Learner, inputs: Array, targets: Array, resting: bool
) -> tuple[Learner, Step]:
    with np.errstate(all="ignore"):  # what overflows is found by the next check
        learner, step = learn(learner, plan.lesson, inputs, targets)
        return (rested(learner) if resting else learner), step


@contextmanager
def _named_if_it_fails(plan: Plan, place: str, of_one: Callable[[int], object]) -> Iterator[None]:
    """Where the block is refused, say so with the first network that is refused alone too."""
    try:
        yield
    except CircuitError as error:
        if not plan.stacked:
            raise TrainingFailed(f"{place}: {error}") from None
        for i, seed in enumerate(plan.seeds):
            try:
                of_one(i)
            except CircuitError as own:
                raise TrainingFailed(f"{place}, seed {seed}: {own}") from None
        raise TrainingFailed(f"{place}, no seed alone: {error}") from None


def _no_sums(plan: Plan) -> tuple[Array, Array, Array]:
    (zeros,) = placed([np.zeros(len(plan.seeds) if plan.stacked else ())], plan)
    return zeros, zeros, zeros


def _added(sums: tuple[Array, Array, Array], step: Step, images: int) -> tuple[Array, ...]:
    """The sums with a step's, which stay on the device. Where a network waits nothing settles."""
    xp = namespace(step.loss)
    settled = step.correct if step.settled is None else step.settled
    seen = (step.loss, step.correct, xp.where(xp.isnan(settled), 0 * step.correct, settled))
    return tuple(
        old + images * xp.astype(new, xp.float64) for old, new in zip(sums, seen, strict=True)
    )


def _by_seed(values: Array) -> np.ndarray:
    return np.atleast_1d(to_numpy(values)).astype(np.float64)
