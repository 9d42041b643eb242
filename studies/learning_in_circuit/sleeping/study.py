"""Lateral inhibition inside the plastic circuit: does it keep weights orthogonal, and what for?

Owns the probes of study `learning_in_circuit` in which circuits sleep after every image, and what
is measured in one.

Feedback is learnt in one of two ways, both from random weights: to be the transpose, by the product
that changes W as well (Kolen and Pollack 1994), or to be the inverse, from spontaneous activity.
What pulls W towards orthogonality is lateral inhibition, at several lambda side by side and with
lambda 0, or the descent on Eq. 23, which is not local and which a supervisor adds between images:
as much of it by an image, for the same lambda. Everything else is the same: images, first weights,
plasticity of the task, spontaneous activity. Every probe is run on images and, with `ON_SIGNS`
before its name, on a task that no network without hidden layers can do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from circuit.learning import regulariser
from circuit.plastic.circuit import Plastic
from circuit.plastic.sleep import Sleep
from studies.learning_in_circuit.measures import (
    accuracies,
    alignments,
    update_cosines,
    with_weights,
)
from studies.learning_in_circuit.setting import Matrices, Scene, plastic_of


@dataclass(frozen=True)
class Probe:
    """What teaches feedback, and what pulls weights towards orthogonality.

    Attributes
    ----------
    pull : "inhibition" or "Eq. 23"
    inverse : whether feedback learns to be the inverse, or else the transpose
    values : lambda of an image, the strength times the time in which synapses learn
    """

    pull: str
    inverse: bool
    values: tuple[float, ...]


STRENGTHS = (1.25e-4, 3.75e-4, 1.25e-3)  # 8 lambda is 0.001, 0.003, 0.01
PROBES: dict[str, Probe] = {
    "inhibition, inverse": Probe("inhibition", True, (0.0, *STRENGTHS)),
    "inhibition, transpose": Probe("inhibition", False, (0.0, *STRENGTHS)),
    "Eq. 23, inverse": Probe("Eq. 23", True, STRENGTHS),
    "Eq. 23, transpose": Probe("Eq. 23", False, STRENGTHS),
}
ON_SIGNS = "signs: "  # before the name of a probe: of task `setting.exclusive_or`
SMOKE_PROBES = ("inhibition, inverse", "Eq. 23, inverse", f"{ON_SIGNS}inhibition, inverse")
PATTERNS, PERIOD, WAIT = 2, 8, 6  # of spontaneous activity after an image, in steps
LATERAL, INVERSE = 0.01, 0.02  # what a pattern teaches M, and B
SNAPSHOTS = 8
COMPARED = 40  # test images whose updates are compared with back-propagation's


def measured(
    protocol: str, probe: str, weights: Sequence[Matrices], scene: Scene, seed: int
) -> xr.Dataset:
    """One probe, all lambda and networks in one run.

    Parameters
    ----------
    probe : a name in `PROBES`, or one with `ON_SIGNS` before it

    Returns
    -------
    xr.Dataset
        Along (value, network), a value being lambda: `accuracy`, `alignment`, the cosine of B with
        W^T, and `inverse_error`, |B - W^+| / |W^+| over all feedback; along (value, network, layer)
        `orthogonality`, the distance of W, and `update_cosine`, of the circuit's update with
        back-propagation's; along (shown, value, network) `accuracy_then` and `orthogonality_then`,
        the mean over layers, after so many images. NaN where a network diverged.
    """
    from circuit.plastic import run_plastic

    what = PROBES[probe.removeprefix(ON_SIGNS)]
    plastic = sleeper(protocol, what, weights)
    record = run_plastic(
        plastic,
        scene.inputs,
        scene.targets,
        snapshots=min(SNAPSHOTS, len(scene.inputs)),
        generator=np.random.default_rng([seed, 9]),
        between=step_down_eq_23(what, len(weights)) if what.pull == "Eq. 23" else None,
    )
    shape = (len(what.values), len(weights))
    along = ("value", "network")
    then: list[tuple[np.ndarray, np.ndarray]] = []
    for at in range(len(record.images)):
        network = with_weights(plastic.network, record.weights[at], record.biases[at])
        accuracy = accuracies(network, scene.test_inputs, scene.test_labels)
        then.append((accuracy, distances(network.weights).mean(axis=-1)))
    some = slice(COMPARED)
    targets = np.eye(scene.targets.shape[1])[scene.test_labels[some]]
    ended = replace_learnt(plastic, network.weights, network.biases, record.feedback[-1])
    cosines = update_cosines(ended, scene.test_inputs[some], targets)
    feedback, layers = record.feedback[-1], np.arange(1, network.depth + 1)
    return xr.Dataset(
        {
            "accuracy": (along, accuracy.reshape(shape)),
            "alignment": (along, alignments(network, feedback).reshape(shape)),
            "inverse_error": (along, inverse_errors(network.weights, feedback).reshape(shape)),
            "orthogonality": ((*along, "layer"), distances(network.weights).reshape(*shape, -1)),
            "update_cosine": ((*along, "layer"), cosines.reshape(*shape, -1)),
            "accuracy_then": (
                ("shown", *along),
                np.reshape([one for one, _ in then], (-1, *shape)),
            ),
            "orthogonality_then": (
                ("shown", *along),
                np.reshape([one for _, one in then], (-1, *shape)),
            ),
        },
        coords={
            "value": list(what.values),
            "network": np.arange(shape[1]),
            "layer": layers,
            "shown": list(record.images),
        },
    )


def is_asleep(probe: str) -> bool:
    """Whether circuits sleep in a probe, or are compared with such."""
    return probe.removeprefix(ON_SIGNS) in PROBES


def sleeper(protocol: str, probe: Probe, weights: Sequence[Matrices]) -> Plastic:
    """The circuits of a probe: lambda by lambda, for each all networks."""
    plastic = plastic_of(protocol, weights, len(probe.values))
    lambdas = np.repeat(probe.values, len(weights))
    if not probe.inverse and probe.pull != "inhibition":
        return plastic  # nothing is learnt in sleep
    teaching = (PERIOD - WAIT) * plastic.timing.step  # seconds of a pattern
    count, asleep = len(lambdas), probe.pull == "inhibition"
    sleep = Sleep(
        PATTERNS,
        PERIOD,
        WAIT,
        lateral_rates=np.full(count, LATERAL / teaching if asleep else 0.0),
        strengths=lambdas / (PATTERNS * teaching) * asleep,
        inverse_rates=np.full(count, INVERSE / teaching if probe.inverse else 0.0),
    )
    fixed = np.full(count, 0.0 if probe.inverse else 1.0)
    return replace(plastic, sleep=sleep, feedback_plasticity=fixed)


def step_down_eq_23(
    probe: Probe, networks: int
) -> Callable[
    [tuple[np.ndarray, ...], tuple[np.ndarray, ...]],
    tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]],
]:
    """A step down Eq. 23 in every layer of every circuit."""
    lambdas = np.repeat(probe.values, networks)[:, None, None]

    def pull(
        weights: tuple[np.ndarray, ...], feedback: tuple[np.ndarray, ...]
    ) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        with np.errstate(all="ignore"):  # of a circuit that has diverged
            return tuple(W + lambdas * regulariser.descent(W, 1.0) for W in weights), feedback

    return pull


def replace_learnt(
    plastic: Plastic,
    weights: Sequence[np.ndarray],
    biases: Sequence[np.ndarray],
    feedback: Sequence[np.ndarray],
) -> Plastic:
    """The same circuits with what they have learnt, 0 in those that diverged."""
    lost = ~np.all([np.isfinite(W).all(axis=(1, 2)) for W in (*weights, *feedback)], axis=0)

    def kept(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        return tuple(np.where(lost.reshape(-1, *[1] * (one.ndim - 1)), 0.0, one) for one in arrays)

    network = with_weights(plastic.network, kept(weights), kept(biases))
    return replace(plastic, network=network, feedback=kept(feedback))


def distances(weights: Sequence[np.ndarray]) -> np.ndarray:
    """Distance of every W from orthogonality, (R, L); NaN where not finite."""
    return np.stack([_each(regulariser.distance, W) for W in weights], axis=-1)


def inverse_errors(weights: Sequence[np.ndarray], feedback: Sequence[np.ndarray]) -> np.ndarray:
    """|B_l - W_{l+1}^+| / |W_{l+1}^+|, all layers together, (R,); NaN where not finite."""
    inverses = [
        _each(np.linalg.pinv, W, like=B) for W, B in zip(weights[1:], feedback, strict=True)
    ]
    with np.errstate(all="ignore"):
        away = sum(
            ((B - one) ** 2).sum(axis=(1, 2)) for B, one in zip(feedback, inverses, strict=True)
        )
        return np.asarray(np.sqrt(away / sum((one**2).sum(axis=(1, 2)) for one in inverses)))


def _each(
    measure: Callable[[np.ndarray], np.ndarray], weights: np.ndarray, like: np.ndarray | None = None
) -> np.ndarray:
    """`measure` of every finite matrix of a stack, NaN for the others."""
    found = np.full(len(weights) if like is None else like.shape, np.nan)
    good = np.isfinite(weights).all(axis=(1, 2))
    if good.any():
        found[good] = measure(weights[good])
    return found
