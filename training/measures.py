"""What is measured of a network while it learns, and the labelled history of a run.

Owns the measures of one epoch (alignment with back-propagation, distance of the weights from
orthogonality, condition numbers) and the way from arrays to a labelled dataset and a table. Does
not own learning itself, nor how accuracy is found.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from circuit.feedback import per_layer
from circuit.learned_inverse.companions import Companions, LearnedInverse, model_of
from circuit.learned_inverse.model import inverse_error
from circuit.learning import regulariser
from circuit.learning.lesson import Lesson
from circuit.learning.taught import teach, teaching_of
from circuit.losses import output_error
from circuit.network import Network, forward
from circuit.numerics.arrays import Array, namespace, row_indices, take_rows, to_numpy
from circuit.peers.reading import signal_updates
from circuit.plasticity import updates
from circuit.report.alignment import agreement
from circuit.rules import GAINS, RULES
from circuit.storage.files import write_atomically

# name -> what it is, as it is written into the files
BY_EPOCH = {
    "learning_loss": "mean loss over the batches of the epoch, each before its step",
    "learning_accuracy": "fraction right over the batches of the epoch, each before its step",
    "settled": "fraction settled of the images from which the network was to learn in the epoch",
    "train_loss": "mean loss over a fixed part of the training images",
    "train_accuracy": "fraction right of a fixed part of the training images",
    "validation_loss": "mean loss over the validation images",
    "validation_accuracy": "fraction right of the validation images",
    "test_loss": "mean loss over the test images",
    "test_accuracy": "fraction right of the test images",
}
BY_LAYER = {
    "alignment": "cosine of the rule's weight change with that of back-propagation",
    "alignment_norm": "norm of the rule's weight change over that of back-propagation",
    "orthogonality_distance": "|W - nearest orthogonal matrix| / sqrt(units), Frobenius norm",
    "condition": "condition number of W in the spectral norm",
    "inverse_error": "|B W - 1| / sqrt(units) of the learned inverse B of W, Frobenius norm",
    "clipped": "fraction of the targets sent down that were clipped to the range of their units",
}


def measure_layers(
    network: Network,
    lesson: Lesson,
    inputs: Array,
    targets: Array,
    companions: Companions | None = None,
) -> dict[str, np.ndarray]:
    """All of `BY_LAYER` for one network.

    Parameters
    ----------
    inputs : array (batch, N_0)
    targets : array (batch, n_outputs)
        The fixed images on which the alignment is measured.
    companions : of the learner

    Returns
    -------
    dict of arrays (L,)

    Raises
    ------
    CircuitError, SingularWeights, NotFinite
    """
    compared = alignment_with_back_propagation(network, lesson, inputs, targets, companions)
    precise = [_in_float64(weights) for weights in network.weights]
    return {
        "alignment": np.array([cosine for cosine, _ in compared]),
        "alignment_norm": np.array([ratio for _, ratio in compared]),
        "orthogonality_distance": np.array([float(regulariser.distance(w)) for w in precise]),
        "condition": np.array([condition(weights) for weights in precise]),
        "inverse_error": inverse_errors(network, lesson, companions),
        "clipped": clipped_targets(network, lesson, inputs, targets, companions),
    }


def condition(weights: Array) -> float:
    """Condition number of one matrix `(n, n)`, from all its singular values; infinite if singular.

    Not `Factorised.condition`, which is content with a bound where W is close to orthogonal.
    """
    values = to_numpy(namespace(weights).linalg.svdvals(weights))
    return float(values[0] / values[-1]) if values[-1] > 0 else float("inf")


def alignment_with_back_propagation(
    network: Network,
    lesson: Lesson,
    inputs: Array,
    targets: Array,
    companions: Companions | None = None,
) -> list[tuple[float, float]]:
    """For each layer, cosine with and norm over the weight change of back-propagation.

    The weight change of the task alone, before the regulariser and Adam, with the noise of step 0
    where rates are read with noise. Images that teach nothing, since their equations are not
    solved, are left out on both sides; NaN where all are.
    """
    forward_pass = forward(network, inputs)
    signal = teach(network, lesson, forward_pass, targets, companions)
    taught = teaching_of(signal, targets)
    if taught is not None and not bool(namespace(taught).all(taught)):
        rows = row_indices(taught)
        if not rows:
            return [(np.nan, np.nan)] * network.depth
        signal = replace(
            signal,
            activity=signal.activity.samples(rows),
            shifts=signal.shifts.with_values(_rows(signal.shifts.values, rows)),
            read=None if signal.read is None else _rows(signal.read, rows),
        )
        forward_pass, targets = forward_pass.samples(rows), take_rows(targets, rows)
    error = output_error(network, forward_pass, targets, lesson.loss)
    own = signal_updates(network, signal)
    exact = RULES["bp"](network, forward_pass, error, 1.0)
    reference = updates(network, forward_pass, exact)
    compared = [
        agreement(one.weights, other.weights) for one, other in zip(own, reference, strict=True)
    ]
    return [(layer.cosine, layer.norm_ratio) for layer in compared]


def inverse_errors(network: Network, lesson: Lesson, companions: Companions | None) -> np.ndarray:
    """For each layer, how far the learned inverse of W is from one (`inverse_error`), (L,).

    NaN in layer 1, which has none, and where the inverse is exact.
    """
    found = np.full(network.depth, np.nan)
    if isinstance(lesson.inverse, LearnedInverse) and companions is not None:
        for layer in range(2, network.depth + 1):
            found[layer - 1] = float(inverse_error(network, model_of(companions), layer))
    return found


def clipped_targets(
    network: Network,
    lesson: Lesson,
    inputs: Array,
    targets: Array,
    companions: Companions | None = None,
) -> np.ndarray:
    """For each layer, the fraction of its targets that its units clip (`Activation.clips`), (L,).

    NaN where none is sent down: in layer 1, by back-propagation, and in units that clip nothing.
    """
    found = np.full(network.depth, np.nan)
    gain = GAINS.get(lesson.rule)
    if gain is None or all(unit.clips is None for unit in network.activations):
        return found
    activity = forward(network, inputs)
    shifts = teach(network, lesson, activity, targets, companions).shifts
    strengths = per_layer(
        lesson.strengths(network.depth) if gain.incremental else 1.0, network.depth, up_to_one=True
    )
    for layer in range(2, network.depth + 1):
        clips, sent = network.activation(layer).clips, slice(None, network.n_projecting(layer))
        if clips is not None:
            rates, slope = activity.rates[layer][..., sent], activity.slope(layer)[..., sent]
            value = shifts.values[layer - 1][..., sent]
            message = gain.local(slope, gain.by_rows(value, layer, network.squared_lengths))
            scale = shifts.scales[layer - 1].times(strengths[layer - 1]).value
            xp, beyond = namespace(rates), clips(rates, message, scale)
            found[layer - 1] = float(xp.mean(xp.astype(beyond, rates.dtype)))
    return found


def labelled(history: Mapping[str, np.ndarray], seeds: Sequence[int]) -> xr.Dataset:
    """A history with its dimensions named.

    Parameters
    ----------
    history
        Arrays (epochs + 1, seeds) of the names in `BY_EPOCH`, and (epochs + 1, seeds, L) of those
        in `BY_LAYER`; epoch 0 is the network before it learnt anything.

    Returns
    -------
    xr.Dataset
        With dimensions seed, epoch and layer; without the measures of layers in a run that made
        none.
    """
    variables = {}
    for name, words in (BY_EPOCH | BY_LAYER).items():
        values = history[name]
        if name in BY_LAYER and np.isnan(values).all():
            continue  # layers were not measured
        dimensions = ("epoch", "seed", "layer")[: values.ndim]
        variables[name] = (dimensions, values, {"long_name": words})
    epochs, n_layers = len(history["train_loss"]), history["alignment"].shape[-1]
    coordinates = {
        "seed": ("seed", np.array(seeds, dtype="i8")),
        "epoch": ("epoch", np.arange(epochs)),
        "layer": ("layer", np.arange(1, n_layers + 1)),
    }
    return xr.Dataset(variables, coords=coordinates).transpose("seed", "epoch", ...)


def accuracies(data: xr.Dataset) -> dict[str, np.ndarray]:
    """Test accuracy at the chosen epoch, at the end and at the peak, `(seeds,)` each.

    Wants `test_accuracy` (seed, epoch) and `chosen_epoch` (seed).
    """
    test, chosen = data["test_accuracy"].values, data["chosen_epoch"].values
    return {
        "chosen": test[np.arange(len(test)), chosen],
        "end": test[:, -1],
        "peak": np.max(test, axis=1),
    }


def write_table(path: Path, data: xr.Dataset) -> None:
    """Write a history as CSV, one line for each seed and epoch, every number with all its digits.

    A quantity of a layer has the layer's number behind its name; what was not measured is empty.
    """
    columns = {name: data[name].values[..., np.newaxis] for name in BY_EPOCH}
    measured = [name for name in BY_LAYER if name in data]
    columns |= {name: data[name].values for name in measured}
    header = ["seed", "epoch", *BY_EPOCH]
    header += [f"{name}_{layer}" for name in measured for layer in data["layer"].values]
    table = np.concatenate(list(columns.values()), axis=-1)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for seed, rows in zip(data["seed"].values, table, strict=True):
        for epoch, row in zip(data["epoch"].values, rows, strict=True):
            numbers = ["" if np.isnan(value) else repr(float(value)) for value in row]
            writer.writerow([int(seed), int(epoch), *numbers])
    write_atomically(path, lambda name: name.write_text(text.getvalue(), encoding="utf-8"))


def _in_float64(weights: Array) -> Array:
    xp = namespace(weights)
    return xp.astype(weights, xp.float64, copy=False)


def _rows(arrays: Sequence[Array], rows: Sequence[int]) -> tuple[Array, ...]:
    return tuple(take_rows(array, rows) for array in arrays)
