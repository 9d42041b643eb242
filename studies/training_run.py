"""What became of one training run: its history, the epoch that was chosen, how it ended.

Owns what a study keeps of a run, and the pooled images that runs of one process share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from circuit.errors import CircuitError
from studies.resting_run import RestingRun
from training import images
from training.epochs import State, TrainingFailed, begin_training, train
from training.evaluation import evaluate
from training.images import Images
from training.measures import BY_EPOCH, BY_LAYER, labelled
from training.plan import Material, Plan, prepare
from training.sources import kept

COMPLETED = "completed"
IMAGE_SETS = ("mnist", "fashion_mnist", "kmnist")
FAILED = "training failed"  # how the status of a run begins whose weights became useless


def outcome(
    plan: Plan,
    epochs: int,
    *,
    dataset: str,
    data_dir: str | None,
    pooling: int,
    input_gain: float = 1.0,
    test_every: int = 0,
) -> xr.Dataset:
    """What became of the run of a plan for one seed.

    Parameters
    ----------
    input_gain : images have so many times the brightness in [0, 1] that they are stored with
    test_every
        All test images are looked at after so many batches of an epoch, and as many again, and at
        its end, as the paper does every 10 batches; 0 for the ends of epochs alone.

    Returns
    -------
    xr.Dataset
        Along `epoch` (0 is before learning) all of `training.measures.BY_EPOCH`, NaN after a
        failure. Along (epoch, layer) all of `BY_LAYER`, measured before learning and at the end.
        Numbers: `chosen_epoch`, by validation accuracy; `validation_accuracy_chosen`,
        `test_accuracy_chosen` there; `test_accuracy_end` after the last epoch;
        `test_accuracy_peak` and `train_accuracy_peak`, the largest of all epochs.
        The status is "completed", or "training failed: " with epoch, batch and layer where weights
        became singular or were no longer finite. Then there is no end, and what is chosen and the
        peak are those of the epochs before. With `test_every`, along `step` (of learning, counted
        from 1), `test_accuracy_within`, and its largest value, `test_accuracy_peak_within`.
    """
    seed, *_ = plan.seeds
    scaled = (
        replace(data, inputs=data.inputs * np.float32(input_gain)) if input_gain != 1 else data
        for data in pooled_images(dataset, data_dir, pooling)
    )
    material, resting = prepare(plan, *scaled), RestingRun()
    within = _Within(test_every, resting.seen)

    def look(state: State) -> None:
        within.look(plan, material, state)
        resting.keep(plan, state)

    state, status = trained(plan, material, epochs, look, resting.found(plan, material))
    history = {} if state is None else state.history
    result = labelled(_padded(history, epochs + 1, len(plan.widths) - 1), (seed,))
    at = np.nan if state is None else float(state.chosen_epochs[0])
    result = _summarised(result.isel(seed=0, drop=True), at, status)
    return result.assign(within.variables())


def trained(
    plan: Plan,
    material: Material,
    epochs: int,
    look: Callable[[State], object] = lambda state: None,
    state: State | None = None,
) -> tuple[State | None, str]:
    """The last state that a run came to, None where it could not begin; and its status.

    It goes on from `state`, if there is one. Every state after a batch is shown to `look`.
    """
    try:
        state = state or begin_training(plan, material)
        for reached in train(plan, material, state, epochs):
            state = reached
            look(state)
    except TrainingFailed as error:
        return state, f"{FAILED}: {error}"
    return state, COMPLETED


@dataclass(frozen=True)
class _Within:
    """Accuracies on all test images within epochs, after every so many batches of one.

    Attributes
    ----------
    every : batches; 0 to keep nothing
    seen : steps of learning -> accuracy; NaN where outputs were not finite
    """

    every: int
    seen: dict[int, float]

    def look(self, plan: Plan, material: Material, state: State) -> None:
        """Look where it is time; at the end of an epoch what is known already is taken."""
        if self.every == 0 or state.batch % self.every:
            return
        if state.batch == 0:
            accuracy = state.history["test_accuracy"][-1, 0]
        else:
            images = material.test_inputs, material.test_targets
            try:
                accuracy = evaluate(plan, state.learner.network, *images)[1][0]
            except CircuitError:
                accuracy = np.nan
        self.seen[state.learner.steps] = float(accuracy)

    def variables(self) -> dict[str, Any]:
        """What was seen, labelled, and the largest; nothing where nothing was to be kept."""
        if self.every == 0:
            return {}
        values = xr.DataArray(
            list(self.seen.values()),
            {"step": np.array(list(self.seen), dtype="i8")},
            ("step",),
            attrs={"long_name": "fraction right of the test images, within epochs too"},
        )
        peak = float(values.max()) if values.size else np.nan
        return {"test_accuracy_within": values, "test_accuracy_peak_within": peak}


def _padded(history: dict[str, np.ndarray], length: int, layers: int) -> dict[str, np.ndarray]:
    """A history of `length` entries, NaN after those that it has."""
    padded = {}
    for names, shape in ((BY_EPOCH, (1,)), (BY_LAYER, (1, layers))):
        for name in names:
            padded[name] = np.full((length, *shape), np.nan)
            if name in history:
                padded[name][: len(history[name])] = history[name]
    return padded


def _summarised(result: xr.Dataset, chosen_epoch: float, status: str) -> xr.Dataset:
    """A history with the accuracies that are reported of it."""
    numbers = dict.fromkeys(
        (
            "validation_accuracy_chosen",
            "test_accuracy_chosen",
            "test_accuracy_peak",
            "train_accuracy_peak",
        ),
        np.nan,
    )
    if np.isfinite(chosen_epoch):
        at = int(chosen_epoch)
        numbers["validation_accuracy_chosen"] = float(result["validation_accuracy"][at])
        numbers["test_accuracy_chosen"] = float(result["test_accuracy"][at])
        numbers["test_accuracy_peak"] = float(result["test_accuracy"].max())
        numbers["train_accuracy_peak"] = float(result["train_accuracy"].max())
    numbers["test_accuracy_end"] = float(result["test_accuracy"][-1])
    return result.assign(numbers | {"chosen_epoch": chosen_epoch, "status": status})


@kept(maxsize=len(IMAGE_SETS))
def pooled_images(dataset: str, data_dir: str | None, pooling: int = 1) -> tuple[Images, Images]:
    """Training and test images, pooled."""
    folder = None if data_dir is None else Path(data_dir)
    first, second = (
        pooled(images.load(dataset, split=split, data_dir=folder, dtype="float32"), pooling)
        for split in ("train", "test")
    )
    return first, second


def pooled(data: Images, pooling: int) -> Images:
    """Images averaged over squares of `pooling` pixels a side.

    Raises `CircuitError` where those do not fill an image.
    """
    if pooling == 1:  # of images that are not square too
        return data
    if pooling < 1 or data.side % pooling:
        raise CircuitError(
            f"pooling {pooling} does not divide the {data.side} pixels a side of {data.name}; use 1"
        )
    side = data.side // pooling
    squares = data.inputs.reshape(-1, side, pooling, side, pooling)
    return replace(data, inputs=squares.mean(axis=(2, 4)).reshape(-1, side * side), side=side)


def fixed_width(pixels: int, depth: int) -> str:
    """Widths of a network whose layers have as many units as the images have pixels."""
    return "-".join([str(pixels)] * (depth + 2))


def classes_of(dataset: str, data_dir: str | None = None) -> int:
    """Outputs that a network needs for the images: ten, but for one's own."""
    return pooled_images(dataset, data_dir)[0].n_classes if dataset == images.OWN else 10


def at_most(wanted: int | None, dataset: str, data_dir: str | None = None) -> int | None:
    """How many training images a scale that wants so many has: all of one's own where there are
    fewer, which no scale knows.
    """
    if wanted is None or dataset != images.OWN:
        return wanted
    return min(wanted, len(pooled_images(dataset, data_dir)[0].labels))


def full_width(
    dataset: str, pooling: int, depth: int, data_dir: str | None = None
) -> tuple[str, int]:
    """Widths of a network for the images all of whose layers have as many units as there are
    pixels, and the pooling that applies.

    Raises `CircuitError` for more classes than pixels.
    """
    pixels, pooling = pixels_of(dataset, pooling, data_dir)
    classes = classes_of(dataset, data_dir)
    if classes > pixels:
        raise CircuitError(
            f"layers of {pixels} units, one a pixel, have none for each of {classes} classes; use "
            f"images of {classes} pixels or more, or of fewer classes"
        )
    return fixed_width(pixels, depth), pooling


def pixels_of(dataset: str, pooling: int, data_dir: str | None = None) -> tuple[int, int]:
    """Pixels of an image, and the pooling that applies: digits are small as they are, and one's own
    images are taken as they are.
    """
    if dataset == "digits":
        return 64, 1
    if dataset == images.OWN:
        return pooled_images(dataset, data_dir)[0].inputs.shape[1], 1
    return (images.SIDE // pooling) ** 2, pooling
