"""Whose weight change a learned inverse carries, while it learns.

Owns the inverse model at stages of its practice, and the alignment with back-propagation of the
weight change through it, against feedback strength and the noise with which rates are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from circuit.errors import CircuitError
from circuit.learned_inverse.companions import LearnedInverse
from circuit.learned_inverse.inverse_model import InverseModel, exact_model
from circuit.learned_inverse.model import (
    BIASES,
    KEYS,
    WEIGHTS,
    inverse_error,
    practised,
    random_model,
    reconstruction_error,
)
from circuit.learning.lesson import Lesson
from circuit.network import Network, forward
from training.measures import alignment_with_back_propagation


@dataclass(frozen=True, eq=False)
class Stage:
    """An inverse model after some steps of practice.

    Attributes
    ----------
    steps : of practice; infinite for the exact inverse
    error : array (L,), |B W - 1| / sqrt(units) of each layer, NaN in layer 1
    missed : array (L,), |g^(y_l) - y_{l-1}| / |y_{l-1}| on the images of the probe, NaN in layer 1
    """

    model: InverseModel
    steps: float
    error: np.ndarray
    missed: np.ndarray


def stages(
    network: Network,
    inputs: np.ndarray,
    probe: np.ndarray,
    steps: Sequence[float],
    practice: LearnedInverse,
    key: int,
    batch: int,
) -> list[Stage]:
    """A random model and what becomes of it, at increasing numbers of steps of practice.

    Parameters
    ----------
    inputs : array (images, N_0) to practise on, a batch of them in each step, drawn by the key
    probe : array (any, N_0) to measure what is missed on
    steps : of practice, increasing; infinity for the exact inverse of square weights
    """
    keys, rng = np.array(key), np.random.default_rng([key, len(inputs)])
    model, made, found = random_model(network, keys), 0, []
    for wanted in steps:
        if wanted == np.inf:
            model = exact_model(network)
        else:
            while made < wanted:
                rows = rng.integers(0, len(inputs), batch)
                seen = forward(network, inputs[rows])
                model = practised(model, network, seen, replace(practice, steps=1), keys, made)
                made += 1
        found.append(Stage(model, wanted, *_errors(network, model, probe)))
    return found


def _errors(
    network: Network, model: InverseModel, probe: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    activity = forward(network, probe)
    error, missed = np.full((2, network.depth), np.nan)
    for layer in range(2, network.depth + 1):
        error[layer - 1] = inverse_error(network, model, layer)
        rates = activity.rates[layer - 1][:, : network.n_projecting(layer - 1)]
        gap = reconstruction_error(network, model, activity, layer)
        missed[layer - 1] = np.linalg.norm(gap) / np.linalg.norm(rates)
    return error, missed


def cosines(
    network: Network,
    model: InverseModel,
    lesson: Lesson,
    inputs: np.ndarray,
    targets: np.ndarray,
    key: int,
) -> np.ndarray:
    """Cosine of the weight change of every layer with that of back-propagation, (L,).

    NaN where no image settles, or where what comes down leaves the range of the units.
    """
    companions = {
        WEIGHTS: model.weights,
        BIASES: model.biases,
        KEYS: (np.array(key),),
    }
    try:
        found = alignment_with_back_propagation(network, lesson, inputs, targets, companions)
    except CircuitError:
        return np.full(network.depth, np.nan)
    return np.array([cosine for cosine, _ in found])
