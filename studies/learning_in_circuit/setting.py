"""What circuits that learn are given: a stream of images or of signs, first weights, and their
protocols.

Owns the settings that the studies of plastic circuits share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from circuit.network import Network
from circuit.plastic.circuit import Plastic, Timing
from circuit.units.table import activation
from training import images

TAU = 0.010  # seconds; everything else is measured in it
CONTRAST = 2.0  # pixels are shown as this many times their difference from their mean
LEARNT = 0.04  # an image's learning rate, rate times nudged time
DECAY = 1e-3
PROTOCOLS = ("phases", "always")
STRENGTHS = {"phases": 0.2, "always": 0.3}
SCHEDULES = {"phases": (8.0, 4.0), "always": (0.0, 10.0)}  # free and nudged, in tau
STEP = 0.5  # of an Euler step, in tau


@dataclass(frozen=True, eq=False)
class Scene:
    """A stream of images to learn from, and others to be tested with.

    Attributes
    ----------
    inputs : array (images, pixels), pixels less their mean over the training images
    targets : array (images, classes), one-hot
    test_inputs, test_labels : arrays (test images, pixels), (test images,)
    """

    inputs: np.ndarray
    targets: np.ndarray
    test_inputs: np.ndarray
    test_labels: np.ndarray


def scene_of(
    dataset: str, data_dir: str | None, classes: int, length: int, epochs: int, seed: int
) -> Scene:
    """The stream is one random order of the training images after the other."""
    folder = None if data_dir is None else Path(data_dir)
    train, test = (images.load(dataset, split=part, data_dir=folder) for part in ("train", "test"))
    images.require_labels(train)
    mean = train.inputs.mean(axis=0)
    mine, theirs = train.labels < classes, test.labels < classes
    pixels, labels = train.inputs[mine], train.labels[mine]
    generator = np.random.default_rng([seed, 1])
    length = length or epochs * len(labels)
    rounds = -(-length // len(labels))
    order = np.concatenate([generator.permutation(len(labels)) for _ in range(rounds)])[:length]
    return Scene(
        inputs=CONTRAST * (pixels - mean)[order],
        targets=images.one_hot(labels, classes)[order],
        test_inputs=CONTRAST * (test.inputs[theirs] - mean),
        test_labels=test.labels[theirs],
    )


PAIRS, DISTRACTORS, BLUR = 2, 4, 0.3  # of `exclusive_or`
SIGNS = 2 * PAIRS + DISTRACTORS


def exclusive_or(length: int, seed: int, tests: int = 1000) -> Scene:
    """A task that no network without hidden layers does better than by chance.

    `PAIRS` pairs of signs and `DISTRACTORS` more signs, each +1 or -1 with equal probability, in
    Gaussian noise of standard deviation `BLUR`. Of each pair only the product counts: the classes
    are the 2^PAIRS combinations of products. No sign, and no sum of them, tells of any product.
    """
    generator = np.random.default_rng([seed, 3])
    signs = generator.choice((-1.0, 1.0), (length + tests, SIGNS))
    products = signs[:, 0 : 2 * PAIRS : 2] * signs[:, 1 : 2 * PAIRS : 2]
    labels = (products < 0) @ (2 ** np.arange(PAIRS))
    shown = signs + BLUR * generator.standard_normal(signs.shape)
    return Scene(
        inputs=shown[:length],
        targets=images.one_hot(labels, 2**PAIRS)[:length],
        test_inputs=shown[length:],
        test_labels=labels[length:],
    )


Matrices = tuple[list[np.ndarray], list[np.ndarray]]


def first_weights(size: Sequence[int], seed: int, one: int) -> Matrices:
    """W_l and, independent of them, B_l: Gaussian, with variance 1 over the units read."""
    generator = np.random.default_rng([seed, 2, one])
    upward = [generator.standard_normal((n, m)) / np.sqrt(m) for m, n in pairwise(size)]
    downward = [generator.standard_normal((m, n)) / np.sqrt(n) for m, n in pairwise(size[1:])]
    return upward, downward


def plastic_of(
    protocol: str,
    weights: Sequence[Matrices],
    values: int,
    *,
    duration: float | None = None,
    step: float = STEP,
) -> Plastic:
    """Circuits of a protocol: `values` times the networks, in this order."""
    free, nudged = SCHEDULES[protocol]
    scale = 1.0 if duration is None else duration / (free + nudged)
    steps = [round(scale * part / step) for part in (free, nudged)]
    depth = len(weights[0][0])
    timing = Timing(
        step=step * TAU,
        free_steps=steps[0],
        nudged_steps=max(steps[1], 1),
        teacher_stages=depth if protocol == "always" else 0,
        lag=TAU,
        memory=TAU / 2,
        capture=TAU / 2,
    )
    upward, downward = (
        tuple(np.tile(np.stack(same), (values, 1, 1)) for same in zip(*part, strict=True))
        for part in zip(*weights, strict=True)
    )
    count = values * len(weights)
    network = Network(
        upward,
        tuple(np.zeros(W.shape[:2]) for W in upward),
        (activation("leaky_relu"),) * depth,
        n_inputs=upward[0].shape[-1],
        n_outputs=upward[-1].shape[-2],
    )
    return Plastic(
        network,
        downward,
        rates=np.full(count, LEARNT / (timing.nudged_steps * timing.step)),
        timing=timing,
        strength=STRENGTHS[protocol],
        time_constants=tuple(np.full(W.shape[:2], TAU) for W in upward),
        readout="shift" if protocol == "phases" else "mismatch",
        storage="captured" if protocol == "phases" else "direct",
        decay=DECAY,
        delays=np.zeros(count, dtype=int),
        noise=np.zeros(count),
        feedback_plasticity=np.ones(count),
    )
