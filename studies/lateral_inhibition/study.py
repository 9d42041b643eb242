"""Orthogonality by lateral inhibition (paper section 9): which mechanism keeps GAIT-prop good?

There are two parts. "training": one training run by one method at one of its settings. Every method
has as many settings, of which validation images choose: a learning rate where nothing pulls, else
lambda, or the lateral rate of inhibition that acts, at the learning rate at which GAIT-prop without
a pull breaks down. "pull": weights off orthogonality by a little, without training: whether the
pull of lateral inhibition has the direction of Eq. 23.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import xarray as xr

from analysis.controls import CONTROLS, taught, widths_of
from analysis.sweep.study import Cell, Seeds, Study, grid, together
from circuit.errors import CircuitError
from circuit.network import forward
from circuit.settings.pull import PHASES, REGULARISER, SPONTANEOUS, TASK
from studies.lateral_inhibition.measures import (
    PULLS,
    expected_cosines,
    sampled_cosine,
    second_moments,
)
from studies.setting import setting
from studies.training_run import at_most, full_width, outcome, pixels_of
from training.plan import Plan, lesson_of
from training.settings import DEFAULTS
from training.sources import OUTSIDE

VERSION = 1  # of what a result means; part of the key of every cell

RATE = 4e-3  # at which GAIT-prop without a pull breaks down, and back-propagation does well


@dataclass(frozen=True)
class TrainingMethod:
    """A way to train, and which of its numbers is a setting.

    Attributes
    ----------
    rule : as in `Lesson`, or one of `analysis.controls.CONTROLS`
    by, during, lateral_rate : what pulls, when, and at which rate, as options of `run_training`
    varied : name of the option that the settings are values of
    """

    rule: str = "gait"
    by: str = REGULARISER
    during: str = SPONTANEOUS
    lateral_rate: float = 0.3
    varied: str = "orthogonality"


METHODS: dict[str, TrainingMethod] = {
    "bp": TrainingMethod(rule="bp", varied="learning_rate"),
    **{name: TrainingMethod(rule=name, varied="learning_rate") for name in CONTROLS},
    "none": TrainingMethod(varied="learning_rate"),
    "regulariser": TrainingMethod(),
    "whitening": TrainingMethod(by="whitening"),
    "populations": TrainingMethod(by="populations"),
    "inhibition": TrainingMethod(by="inhibition", lateral_rate=0.02),
    "task": TrainingMethod(by="populations", during=TASK, lateral_rate=0.02),
    "drives": TrainingMethod(by="decorrelated_drives", varied="lateral_rate"),
    "inputs": TrainingMethod(by="decorrelated_inputs", varied="lateral_rate"),
}
VALUES: dict[str, tuple[float, ...]] = {
    "learning_rate": (5e-4, 1e-3, 2e-3, 4e-3),
    "orthogonality": (1e-4, 1e-3, 1e-2, 1e-1),
    "lateral_rate": (1e-4, 1e-3, 1e-2, 1e-1),
}
SETTINGS = {"smoke": (2,), "laptop": (0, 1, 2, 3), "full": (0, 1, 2, 3)}  # places in `VALUES`
SEEDS = {"smoke": (1, 2), "laptop": (1, 2, 3, 4, 5), "full": tuple(range(1, 11))}
DEPTH = {"smoke": 2, "laptop": 3, "full": 4}
EPOCHS = {"smoke": 1, "laptop": 15, "full": 60}
MEASUREMENTS = 5  # of the layers, in a run
BATCH = 20
VALIDATION = 0.2

OFF = 0.1  # size of the random part of every weight matrix, relative to the orthogonal part
IMAGES = 1000  # at most, that the second moments of the task are taken from
SAMPLES = (16, 64, 256, 1024)
PULLING = ("inhibition", "whitening", "populations")
LATERAL_RATE = 0.05  # of the pull from samples
STEPS, AVERAGED = 40, 10


def study(
    scale: str, *, dataset: str = "digits", data_dir: str | None = None, seeds: Seeds = None
) -> Study:
    """The cells of the study at a scale: "smoke", "laptop" or "full"."""
    full_width(dataset, 2, DEPTH[scale], data_dir)  # or refused before anything runs
    chosen = SEEDS[scale] if seeds is None else tuple(seeds)
    common: Cell = {"dataset": dataset, "data_dir": data_dir, "depth": DEPTH[scale]}
    methods = [
        {
            "method": name,
            "rule": method.rule,
            "by": method.by,
            "during": method.during,
            "learning_rate": RATE,
            "orthogonality": 0.0,
            "lateral_rate": method.lateral_rate,
            method.varied: value,
            "setting": value,
        }
        for name, method in METHODS.items()
        for value in (VALUES[method.varied][place] for place in SETTINGS[scale])
    ]
    cells = together(
        grid(common | {"part": "training", "epochs": EPOCHS[scale]}, seed=chosen, method=methods),
        grid(common | {"part": "pull"}, seed=chosen),
    )
    return Study("lateral_inhibition", cells, measure, version=VERSION, outside=OUTSIDE)


def measure(
    *,
    dataset: str,
    data_dir: str | None,
    depth: int,
    part: str,
    method: str | None,
    rule: str | None,
    by: str | None,
    during: str | None,
    learning_rate: float | None,
    orthogonality: float | None,
    lateral_rate: float | None,
    epochs: int | None,
    setting: float | None,
    seed: int,
) -> xr.Dataset:
    """One cell.

    Parameters
    ----------
    part : "training", or "pull", in which only dataset, depth and seed count
    method, setting : names of what the other parameters say

    Returns
    -------
    xr.Dataset
        Part "training": `test_accuracy_chosen`, `validation_accuracy_chosen`, `test_accuracy_end`
        as in `studies.training_run`; along `epoch` `test_accuracy`; along `layer`
        `alignment`, `orthogonality_distance` and `condition` when they were last measured, at
        epoch `measured`: the end, or in a run that failed some epochs before.
        Part "pull": along (phase, pull, layer) `expected_cosine` with the descent on Eq. 23; along
        (mechanism, samples) `sampled_cosine`, in layer 1.
    """
    if part == "pull":
        return _pull(dataset, data_dir, depth, seed)
    assert learning_rate is not None
    assert orthogonality is not None
    assert lateral_rate is not None
    assert epochs is not None
    chosen = {
        **taught(str(rule)),
        "learning_rate": learning_rate,
        "orthogonality": orthogonality,
        "orthogonality_by": by,
        "lateral_during": during,
        "lateral_rate": lateral_rate,
    }
    lesson = lesson_of(DEFAULTS | chosen)
    widths, pooling = full_width(dataset, 2, depth, data_dir)
    plan = Plan(
        lesson=lesson,
        widths=widths_of(str(rule), tuple(map(int, widths.split("-")))),
        seeds=(seed,),
        batch=BATCH,
        validation=VALIDATION,
        measure_every=max(1, epochs // MEASUREMENTS),
    )
    return _kept(outcome(plan, epochs, dataset=dataset, data_dir=data_dir, pooling=pooling))


def _kept(result: xr.Dataset) -> xr.Dataset:
    """What the study keeps of a run."""
    layered = ["alignment", "orthogonality_distance", "condition"]
    measured = np.isfinite(result["orthogonality_distance"].values).all(axis=-1)
    last = int(np.flatnonzero(measured)[-1])
    numbers = ["test_accuracy", "test_accuracy_chosen", "validation_accuracy_chosen"]
    kept = result[[*numbers, "test_accuracy_end", "status"]]
    at_last = result[layered].isel(epoch=last).drop_vars("epoch")
    return kept.merge(at_last).assign(measured=float(last))


def _pull(dataset: str, data_dir: str | None, depth: int, seed: int) -> xr.Dataset:
    """Part "pull"."""
    drawn = setting(
        dataset=dataset,
        data_dir=data_dir,
        depth=depth,
        width=pixels_of(dataset, 1, data_dir)[0],
        batch=at_most(IMAGES, dataset, data_dir) or IMAGES,
        init="orthogonal",
        seed=seed,
    )
    rng = np.random.default_rng([seed, 1])
    weights = tuple(
        w + OFF * rng.standard_normal(w.shape) / np.sqrt(w.shape[1]) for w in drawn.network.weights
    )
    network = replace(drawn.network, weights=weights)
    rates = forward(network, drawn.inputs).rates
    moments = {
        SPONTANEOUS: [np.eye(w.shape[1]) for w in weights],
        TASK: [
            second_moments(y[:, : w.shape[1]]) for y, w in zip(rates[:-1], weights, strict=True)
        ],
    }
    expected = [expected_cosines(weights, moments[phase]) for phase in PHASES]
    sampled = np.full((len(PULLING), len(SAMPLES)), np.nan)
    for (i, name), (j, samples) in product(enumerate(PULLING), enumerate(SAMPLES)):
        try:
            sampled[i, j] = sampled_cosine(
                name,
                weights[0],
                np.random.default_rng([seed, 2, samples]),
                samples=samples,
                rate=LATERAL_RATE,
                steps=STEPS,
                averaged=AVERAGED,
            )
        except CircuitError:
            continue  # rates run away: there is no pull, which the hole in the array says
    return xr.Dataset(
        {
            "expected_cosine": (("phase", "pull", "layer"), np.array(expected)),
            "sampled_cosine": (("mechanism", "samples"), sampled),
            "status": "measured",
        },
        coords={
            "phase": list(PHASES),
            "pull": list(PULLS),
            "layer": np.arange(1, len(weights) + 1),
            "mechanism": list(PULLING),
            "samples": list(SAMPLES),
        },
    )
