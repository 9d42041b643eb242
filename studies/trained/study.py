"""The study `trained`: what training does to alignment, kinks, stability and the best gamma.

One cell is one circuit at one feedback strength, in a network that a rule has taught the digits, or
that nobody has taught. Networks of one seed begin with the same weights, whoever teaches them, and
are measured on the same images of the test split. They are trained where they are needed, in
seconds, and not kept in files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from analysis.sweep.study import Cell, Study, grid
from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.errors import CircuitError
from circuit.learning.lesson import Lesson
from circuit.learning.regulariser import Regulariser
from circuit.network import Network
from circuit.numerics.arrays import to_numpy
from circuit.settings.learning import Adam
from circuit.trial import Trial
from studies.noise.fluctuations import averaged, readout_covariances
from studies.noise.theory import target_updates, update_bias, update_noise
from studies.strength.measures import first_crossing, measures
from studies.training_run import COMPLETED, pooled_images, trained
from training import images
from training.plan import Plan, prepare
from training.sources import OUTSIDE, kept

VERSION = 1  # of what a result means; part of the key of every cell

NOBODY = "nobody"
STRENGTH = 0.3  # lambda of the networks that are kept near orthogonal, as in preset quick
TEACHERS: tuple[Cell, ...] = (
    {"teacher": NOBODY, "orthogonality": 0.0},
    {"teacher": "bp", "orthogonality": 0.0},
    {"teacher": "bp", "orthogonality": STRENGTH},
    {"teacher": "gait", "orthogonality": STRENGTH},
    {"teacher": "grait", "orthogonality": STRENGTH},
)
LEARNING_RATE = 4e-3  # with batches of 20, as in preset quick
BATCH = 20
AVERAGED = 1000.0  # time constants over which rates are averaged where they are noisy
NOISY = 4  # images of a cell whose fluctuations are found, each at the cost of a Lyapunov equation


@dataclass(frozen=True)
class TrainedScale:
    """What is trained and measured at a scale.

    Attributes
    ----------
    depth, width : of the networks: hidden layers, units of each layer and of the output
    epochs : of training
    gammas : feedback strengths
    seeds : of weights, order of images, and images that are measured
    images : of the test split, in a cell
    """

    depth: int
    width: int
    epochs: int
    gammas: tuple[float, ...]
    seeds: tuple[int, ...]
    images: int


_GAMMAS = (1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5)
SCALES = {
    "smoke": TrainedScale(2, 12, 3, (1e-3, 0.03, 0.3), (1, 2), 6),
    "laptop": TrainedScale(3, 32, 20, _GAMMAS, (1, 2, 3, 4, 5), 20),
    "full": TrainedScale(3, 64, 60, _GAMMAS, tuple(range(1, 11)), 40),
}


def study(
    scale: str,
    *,
    dataset: str = "digits",
    data_dir: str | None = None,
    seeds: Sequence[int] | None = None,
) -> Study:
    """The cells of the study.

    Parameters
    ----------
    scale : "smoke" (seconds), "laptop" (minutes) or "full" (hours)
    seeds : those of the scale if None
    """
    sizes = SCALES[scale]
    common: Cell = {
        "dataset": dataset,
        "data_dir": data_dir,
        "depth": sizes.depth,
        "width": sizes.width,
        "epochs": sizes.epochs,
        "images": sizes.images,
    }
    cells = grid(
        common,
        seed=sizes.seeds if seeds is None else tuple(seeds),
        taught=TEACHERS,
        pathway=("gait", "grait"),
        gamma=sizes.gammas,
    )
    shared = tuple(name for name in cells[0] if name not in {"pathway", "gamma"})
    return Study("trained", tuple(cells), measure, shared, VERSION, OUTSIDE)


def measure(*, gamma: float, pathway: str, **network: Any) -> xr.Dataset:
    """One cell.

    Returns
    -------
    xr.Dataset
        All of `studies.strength.measures.measures`; `first_crossing`; `noise` and `bias` (layer),
        see `noise_of_updates`; and of the network `test_accuracy`, and `length_spread` (layer), the
        standard deviation of the rows' lengths over their mean.
    """
    taught, accuracy = _network(**network)
    trial = _first_trial(pathway, **network).with_feedback(gamma)
    found = measures(trial, largest_units=sum(taught.widths))
    bias, noise = noise_of_updates(trial.samples(range(NOISY)))
    spread = [
        float(np.std(lengths) / np.mean(lengths)) for lengths in map(_lengths, taught.weights)
    ]
    return found.assign(
        first_crossing=_first_crossing(pathway, **network),
        test_accuracy=accuracy,
        bias=("layer", bias),
        noise=("layer", noise),
        length_spread=("layer", np.array(spread)),
    )


def noise_of_updates(trial: Trial) -> tuple[np.ndarray, np.ndarray]:
    """Relative error of every layer's weight change without noise, and its noise where rates
    fluctuate with a standard deviation of 1 and are averaged over `AVERAGED` time constants, (L,).

    Of the shift read-out, against the pathway's own rule in the limit of weak feedback. NaN where
    an image does not settle, rests at a kink, or where fluctuations do not stay near.
    """
    depth = trial.network.depth
    unknown = np.full(depth, np.nan), np.full(depth, np.nan)
    record = settle(trial, must_converge=False)
    slopes = map(to_numpy, record.sliding_slopes)
    if not record.converged or any(np.any(at > 0) for at in slopes):
        return unknown
    average = averaged([AVERAGED * trial.circuit.time_constants[0]])
    own = target_updates(trial, trial.circuit.pathway.name)
    try:
        covariances = [
            readout_covariances(trial, record.shifts, sample, average)[0]
            for sample in range(len(trial.error))
        ]
    except CircuitError:
        return unknown
    variances = np.diagonal(np.stack(covariances, axis=1), axis1=-2, axis2=-1)
    reading = record.read_out("shift")
    noise = update_noise(trial, reading, variances, own)[0]
    return update_bias(trial, reading, own)[0], np.asarray(noise)


def _lengths(weights: Any) -> np.ndarray:
    return np.linalg.norm(to_numpy(weights), axis=-1)


@kept(maxsize=2)
def _network(
    *,
    dataset: str,
    data_dir: str | None,
    depth: int,
    width: int,
    epochs: int,
    teacher: str,
    orthogonality: float,
    seed: int,
    images: int,
) -> tuple[Network, float]:
    """The network as it has been taught, in float64, and its accuracy on test images."""
    taught = teacher != NOBODY
    lesson = Lesson(
        teacher if taught else "bp",
        adam=Adam(LEARNING_RATE),
        pull=Regulariser(orthogonality) if orthogonality else None,
    )
    train, test = pooled_images(dataset, data_dir)
    widths = (train.inputs.shape[1], *[width] * (depth + 1))
    plan = Plan(lesson, widths, seeds=(seed,), batch=BATCH, measure_every=0)
    state, status = trained(plan, prepare(plan, train, test), epochs if taught else 0)
    if state is None or status != COMPLETED:
        raise CircuitError(f"seed {seed} by {teacher} with lambda {orthogonality:g}: {status}")
    network = state.learner.network
    precise = replace(
        network,
        weights=tuple(array.astype(np.float64) for array in network.weights),
        biases=tuple(array.astype(np.float64) for array in network.biases),
    )
    return precise, float(state.history["test_accuracy"][-1, 0])


@kept(maxsize=2)
def _first_trial(pathway: str, **network: Any) -> Trial:
    """At any feedback strength, with the forward pass that those at all others share."""
    taught, _ = _network(**network)
    _, test = pooled_images(network["dataset"], network["data_dir"])
    some = images.batch(test, network["images"], np.random.default_rng(network["seed"]))
    inputs = some.inputs.astype(np.float64)
    return begin(build_circuit(taught, pathway), inputs, images.targets_of(some))


@kept(maxsize=8)
def _first_crossing(pathway: str, **network: Any) -> float:
    """Once for all feedback strengths of a network and pathway."""
    return first_crossing(_first_trial(pathway, **network).with_feedback)
