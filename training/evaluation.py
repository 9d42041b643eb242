"""What is measured of networks after an epoch: loss, accuracy, and the measures of every layer.

Owns on which images, in how large pieces, and one network of a stack at a time where measures want
that.
"""

from __future__ import annotations

import numpy as np

from circuit.labels.answers import are_right
from circuit.learning.loss_values import VALUES
from circuit.learning.step import Learner, Moments
from circuit.network import Network, forward
from circuit.numerics.arrays import Array, namespace, to_numpy
from training.measures import BY_LAYER, measure_layers
from training.plan import Material, Plan, alone, share, single, taken

CHUNK = 1000  # images evaluated at once

Row = dict[str, np.ndarray]  # one epoch's entries of the history, (seeds,) or (seeds, L)


def evaluate(
    plan: Plan, network: Network, inputs: Array, targets: Array, rows: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss and fraction right of every network, `(seeds,)` each.

    Parameters
    ----------
    inputs, targets : arrays (n_images, pixels), (n_images, classes)
    rows : array (seeds, n), the images of each network; all images for all networks if None

    Raises
    ------
    NotFinite
    """
    count = len(inputs) if rows is None else rows.shape[1]
    loss, right = np.zeros(len(plan.seeds)), np.zeros(len(plan.seeds))
    for start in range(0, count, CHUNK):
        if rows is None:
            some, aims = inputs[start : start + CHUNK], targets[start : start + CHUNK]
        else:
            chosen = rows[:, start : start + CHUNK]
            some, aims = taken(plan, inputs, chosen), taken(plan, targets, chosen)
        xp = namespace(some)
        with np.errstate(all="ignore"):  # what overflows is found by the forward pass
            outputs = forward(network, some).rates[-1][..., : network.n_outputs]
            values = VALUES[plan.lesson.loss](outputs, aims)
        loss += to_numpy(xp.sum(xp.astype(values, xp.float64), axis=-1))
        right += to_numpy(xp.sum(xp.astype(are_right(outputs, aims), xp.float64), axis=-1))
    return loss / count, right / count


def epoch_row(plan: Plan, learner: Learner, material: Material, epoch: int) -> Row:
    """Loss and accuracy on all three kinds of images, and the measures of every layer."""
    row: Row = {}
    network = learner.network
    for name, inputs, targets, rows in (
        ("train", material.inputs, material.targets, material.part),
        ("validation", material.inputs, material.targets, material.validation),
        ("test", material.test_inputs, material.test_targets, None),
    ):
        loss = right = np.full(len(plan.seeds), np.nan)
        if rows is None or rows.shape[1]:
            loss, right = evaluate(plan, network, inputs, targets, rows)
        row[f"{name}_loss"], row[f"{name}_accuracy"] = loss, right
    if plan.measure_every == 0 or epoch % plan.measure_every:
        return row | dict.fromkeys(BY_LAYER, np.full((len(plan.seeds), network.depth), np.nan))
    measures = [
        _measured(alone(plan, i), one_learner(learner, plan, i), share(material, i))
        for i in range(len(plan.seeds))
    ]
    return row | {name: np.stack([one[name] for one in measures]) for name in BY_LAYER}


def _measured(plan: Plan, learner: Learner, material: Material) -> Row:
    """The measures of every layer of one network, `(L,)`."""
    with np.errstate(all="ignore"):
        return measure_layers(
            learner.network,
            plan.lesson,
            taken(plan, material.inputs, material.probe),
            taken(plan, material.targets, material.probe),
            learner.companions,
        )


def one_learner(learner: Learner, plan: Plan, index: int) -> Learner:
    """One network of a stack with all that learns beside it."""
    if not plan.stacked:
        return learner

    def own(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(array[index] for array in arrays)

    return Learner(
        single(learner.network, plan, index),
        Moments(*map(own, vars(learner.moments).values())),
        learner.steps,
        {name: own(arrays) for name, arrays in learner.companions.items()},
    )
