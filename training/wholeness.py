"""Whether a state that comes from a file is one that a run of its plan can have reached."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuit.learning.step import begin_learning
from circuit.numerics.arrays import Array, to_numpy
from training.epochs import State
from training.measures import BY_EPOCH, BY_LAYER
from training.plan import Material, Plan, batches_of_an_epoch, placed


def require_whole(state: State, plan: Plan, material: Material) -> None:
    """Raise `ValueError`, in one line, where the parts of a state, each whole, do not belong
    together, or not to this plan and these images.
    """
    if state.epoch < 0 or state.batch < 0 or state.learner.steps < 0:
        raise ValueError("it counts epochs, batches or steps below zero")
    _require_history(state, plan)
    _require_counts(state, plan, material)
    _require_networks(state, plan, material)
    _require_orders(state, plan, material)
    _require_sums(state, material)
    for known in state.generators:
        np.random.default_rng().bit_generator.state = known


def _require_counts(state: State, plan: Plan, material: Material) -> None:
    epoch, batch, steps = state.epoch, state.batch, state.learner.steps
    batches = batches_of_an_epoch(plan, material)
    if batch >= batches:
        raise ValueError(f"it is at batch {batch} of an epoch of {batches}")
    if steps != epoch * batches + batch:
        raise ValueError(
            f"it counts {steps} steps after {epoch} epochs of {batches} batches and {batch} more"
        )
    chosen = state.chosen_epochs
    if chosen.shape != (len(plan.seeds),) or chosen.dtype.kind not in "iu":
        raise ValueError(f"its chosen epochs are {chosen.dtype} {chosen.shape}")
    if chosen.min() < 0 or chosen.max() > epoch:
        raise ValueError(f"its chosen epochs {chosen.tolist()} are not among the {epoch + 1}")


def _require_history(state: State, plan: Plan) -> None:
    seeds, layers, entries = len(plan.seeds), len(plan.widths) - 1, state.epoch + 1
    for names, shape in ((BY_EPOCH, (entries, seeds)), (BY_LAYER, (entries, seeds, layers))):
        for name in names:
            found = state.history[name]
            if found.shape != shape or found.dtype.kind != "f":
                raise ValueError(f"its history of {name} is {found.shape}, not {shape}")


def _require_networks(state: State, plan: Plan, material: Material) -> None:
    network, moments = state.learner.network, state.learner.moments
    for arrays, others in (
        (network.weights, (moments.first_weights, moments.second_weights, state.chosen.weights)),
        (network.biases, (moments.first_biases, moments.second_biases, state.chosen.biases)),
    ):
        shapes = [array.shape for array in arrays]
        if any([array.shape for array in other] != shapes for other in others):
            raise ValueError("its weights, moments and chosen weights are of several shapes")
        for array in (*arrays, *(array for other in others for array in other)):
            _require_numbers("weights or moments", array, plan.precision)
    leading = (len(plan.seeds),) if plan.stacked else ()
    outputs = material.targets.shape[1]
    if network.widths != plan.widths or tuple(network.biases[0].shape[:-1]) != leading:
        raise ValueError(f"its widths are {network.widths}, not those of {len(plan.seeds)} seeds")
    if network.n_outputs != outputs:
        raise ValueError(f"it has {network.n_outputs} outputs, not {outputs}")
    if any(
        (to_numpy(array) < 0).any() for array in (*moments.second_weights, *moments.second_biases)
    ):
        raise ValueError("its means of squares are negative")
    (keys,) = placed([np.array(plan.seeds if plan.stacked else plan.seeds[0])], plan)
    for name, wanted in begin_learning(network, plan.lesson, keys).companions.items():
        found = state.learner.companions.get(name, ())
        if _shapes(found) != _shapes(wanted):
            raise ValueError(f"what it holds of {name} is {_shapes(found)}, not {_shapes(wanted)}")


def _require_orders(state: State, plan: Plan, material: Material) -> None:
    """Each epoch takes every image to learn from once."""
    orders = state.orders
    if len(state.generators) != len(plan.seeds) or len(orders) != len(plan.seeds):
        raise ValueError(f"it is not of {len(plan.seeds)} seeds")
    if orders.shape != material.learning.shape or orders.dtype.kind not in "iu":
        raise ValueError(
            f"its orders are {orders.dtype} {orders.shape}, not {material.learning.shape}"
        )
    if not np.array_equal(np.sort(orders, axis=1), material.learning):
        raise ValueError("its orders are not of the images that this run learns from")


def _require_sums(state: State, material: Material) -> None:
    loss, right, settled = map(to_numpy, state.sums)
    images = material.learning.shape[1]
    counts = right, np.nan_to_num(settled)  # once NaN where a network had waited
    within = all(((count >= 0) & (count <= images * (1 + 1e-9))).all() for count in counts)
    if np.isnan(loss).any() or not within:
        raise ValueError(f"its sums of loss, images right and settled are not of {images} images")


def _require_numbers(name: str, array: Array, precision: str) -> None:
    values = to_numpy(array)
    if str(values.dtype) != precision or not np.isfinite(values).all():
        raise ValueError(f"its {name} are {values.dtype}, or not finite; expected {precision}")


def _shapes(arrays: Sequence[Array]) -> list[tuple[int, ...]]:
    return [tuple(array.shape) for array in arrays]
