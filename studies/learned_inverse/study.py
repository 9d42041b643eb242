"""Learned inverse models: alignment and accuracy against feedback strength, inverse and noise.

Cells are of three parts. "alignment": an untrained network whose inverse learns, and at stages of
its practice the cosine of the update with back-propagation's, for all feedback strengths and sizes
of noise: no training comes between the inverse and the update. "training": a training run, with the
accuracy it ends at. "order": the same, of inverses that learn before, beside or in turns with the
network, all with as many steps of either.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from analysis.controls import CONTROLS, taught, widths_of
from analysis.sweep.study import Cell, Seeds, Study, grid
from circuit.learned_inverse.companions import LearnedInverse
from circuit.learning.lesson import Lesson
from circuit.learning.regulariser import Regulariser
from circuit.settings.learned_inverse import ALTERNATING, FIRST, LEARNED, SIMULTANEOUS
from circuit.settings.learning import CIRCUIT, Adam
from studies.learned_inverse.measures import cosines, stages
from studies.setting import FIRST_PIXELS, WHOLE_IMAGE, StudySetting, reading, setting
from studies.training_run import COMPLETED, pooled_images, trained
from training import images
from training.plan import Plan, prepare
from training.sources import OUTSIDE

VERSION = 1  # of what a result means; part of the key of every cell

ALIGNMENT, TRAINING, ORDER = "alignment", "training", "order"
WAYS = ("tp", "itp", "gait", "itp shift", "gait shift", "gait mismatch")


@dataclass(frozen=True)
class LearnedInverseScale:
    """How much is measured.

    Attributes
    ----------
    ways : rules, and pathways with read-outs of the circuit, whose alignment is measured
    practice : steps of practice of an alignment; infinity for the exact inverse
    strengths, sigmas : gamma and the noise of an alignment
    gammas, noises : of training by GAIT-prop
    blocks : of inverses that learn in turns with the network, divisors of its number of steps
    width, depth, batch, epochs : of all networks and runs
    """

    seeds: tuple[int, ...]
    ways: tuple[str, ...]
    practice: tuple[float, ...]
    strengths: tuple[float, ...]
    sigmas: tuple[float, ...]
    gammas: tuple[float, ...]
    noises: tuple[float, ...]
    epochs: int
    blocks: tuple[int, ...]
    width: int = 64
    depth: int = 3
    batch: int = 60


SCALES = {
    "smoke": LearnedInverseScale(
        seeds=(1, 2),
        ways=("gait", "gait shift"),
        practice=(0, 100, np.inf),
        strengths=(1e-3, 0.1),
        sigmas=(0.0, 1e-4),
        gammas=(1e-3, 0.1),
        noises=(0.0,),
        epochs=1,
        blocks=(11,),
        width=32,
        depth=2,
    ),
    "laptop": LearnedInverseScale(
        seeds=(1, 2, 3, 4, 5),
        ways=WAYS,
        practice=(0, 25, 50, 100, 200, 400, 800, np.inf),
        strengths=(1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0),
        sigmas=(0.0, 1e-6, 1e-4, 1e-2),
        gammas=(1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0),
        noises=(0.0, 1e-6, 1e-4, 1e-2),
        epochs=12,
        blocks=(1, 11, 66, 264),
    ),
    "full": LearnedInverseScale(
        seeds=tuple(range(1, 11)),
        ways=WAYS,
        practice=(0, 25, 50, 100, 200, 400, 800, 1600, np.inf),
        strengths=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 0.03, 0.1, 0.3, 1.0),
        sigmas=(0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
        gammas=(1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0),
        noises=(0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
        epochs=40,
        blocks=(1, 11, 44, 220),
    ),
}
LEARNING_RATE, ORTHOGONALITY = 2e-3, 0.3


def study(
    scale: str, *, dataset: str = "digits", data_dir: str | None = None, seeds: Seeds = None
) -> Study:
    """The cells of the study at a scale: "smoke", "laptop" or "full"."""
    sizes = SCALES[scale]
    common: dict[str, Any] = {
        "scale": scale,
        "dataset": dataset,
        "data_dir": data_dir,
        "width": sizes.width,
        "depth": sizes.depth,
        "batch": sizes.batch,
        "epochs": sizes.epochs,
    } | reading(dataset)
    each = [*_alignments(sizes), *_runs(sizes), *_orders(sizes)]
    cells = tuple(grid(common, seed=sizes.seeds if seeds is None else seeds, cell=each))
    return Study(
        "learned_inverse",
        cells,
        measure,
        version=VERSION,
        group_by=("dataset", "seed"),
        outside=OUTSIDE,
    )


# what a cell is where nothing else is said
USUAL: Cell = {
    "inverse": "learned",
    "correction": "yes",
    "gamma": None,
    "noise": 0.0,
    "steps": 1,
    "shape": "equal",
    "order": FIRST,
}


def _alignments(sizes: LearnedInverseScale) -> list[Cell]:
    """With the difference correction and without, every way."""
    return grid(USUAL | {"part": ALIGNMENT}, way=sizes.ways, correction=("yes", "no"))


def _runs(sizes: LearnedInverseScale) -> list[Cell]:
    """Back-propagation and the controls; GAIT-prop with all strengths and noises; the others with
    some of them.
    """
    run, usual = USUAL | {"part": TRAINING}, {"gamma": _usual(sizes)}
    cells = grid(run | {"inverse": "exact"}, way=("bp", *CONTROLS))
    for inverse, correction in (("exact", "yes"), ("learned", "yes"), ("learned", "no")):
        kind = run | {"inverse": inverse, "correction": correction}
        for gamma in sizes.gammas:
            cells += grid(kind | {"way": "gait", "gamma": gamma}, noise=sizes.noises)
            ways = ("itp", "gait shift") if gamma < 1 else ("itp",)
            cells += grid(kind | {"gamma": gamma}, way=ways)
        cells += grid(kind | {"way": "tp"}, noise=sizes.noises[::2])
    # steps of the inverse for one of the network; 0: it stays random
    cells += grid(run | usual | {"way": "gait"}, steps=(0, 4))
    cells += grid(run | {"inverse": "exact", "shape": "narrowing"}, way=("bp", *CONTROLS))
    return cells + grid(run | usual | {"shape": "narrowing"}, way=("gait", "gait shift"))


def _usual(sizes: LearnedInverseScale) -> float:
    """The feedback strength of runs of which there are not many."""
    return sizes.gammas[min(1, len(sizes.gammas) - 1)]


def _orders(sizes: LearnedInverseScale) -> list[Cell]:
    """GAIT-prop through inverses that learn in every order."""
    orders = [FIRST, SIMULTANEOUS, *(f"{ALTERNATING} {block}" for block in sizes.blocks)]
    return grid(USUAL | {"part": ORDER, "way": "gait", "gamma": _usual(sizes)}, order=orders)


def measure(
    *,
    scale: str,
    dataset: str,
    data_dir: str | None,
    width: int,
    depth: int,
    batch: int,
    epochs: int,
    part: str,
    way: str,
    inverse: str,
    correction: str,
    gamma: float | None,
    noise: float,
    steps: int,
    shape: str,
    order: str,
    seed: int,
    reads: str = FIRST_PIXELS,
) -> xr.Dataset:
    """One cell.

    Parameters
    ----------
    scale : which stages of practice, strengths and noises an alignment has
    way
        A rule, the pathway and read-out of the circuit ("gait shift"), or a control, one of
        `analysis.controls.CONTROLS`.
    inverse : "exact" or "learned"
    correction : "yes" or "no", of a learned inverse
    gamma, noise : of training; None for a rule without it
    steps : of the inverse in each step of training
    shape : "equal", or "narrowing" layers without auxiliary units
    order : of the inverse's steps and the network's; "alternating" with the size of the blocks

    Returns
    -------
    xr.Dataset
        alignment: along (practice, layer), `model_error`, |B W - 1| / sqrt(units), and `missed`,
        the error of reconstruction relative to the rates, NaN in layer 1; along (practice,
        strength, sigma, layer), `cosine` with the update of back-propagation on a batch.
        training, order: `accuracy`, of all test images at the end; along layer, `final_cosine` with
        back-propagation's update and `final_error` of the model, at the end.
        The status is "completed", or "training failed: " and why.
    """
    if part == ALIGNMENT:
        scene = setting(
            dataset=dataset,
            data_dir=data_dir,
            batch=batch,
            depth=depth,
            width=width,
            seed=seed,
            reads=reads,
        )
        return _alignment(SCALES[scale], scene, dataset, data_dir, batch, way, correction, seed)
    widths = _widths(dataset, data_dir, width, depth, shape)
    alternating = order.startswith(ALTERNATING)
    learned = LearnedInverse(
        steps=steps,
        order=order.split(maxsplit=1)[0],
        block=int(order.split()[1]) if alternating else LearnedInverse.block,
        corrected=correction == "yes",
    )
    lesson = _lesson(
        way,
        1e-3 if gamma is None else gamma,
        inverse=learned if inverse == LEARNED else None,
        rate_noise=noise,
        adam=Adam(LEARNING_RATE),
        pull=Regulariser(ORTHOGONALITY),
    )
    if alternating:
        epochs *= 2  # of every two steps the network makes one
    plan = Plan(
        lesson=lesson,
        widths=widths_of(way, widths),
        auxiliary=shape == "equal",
        whole_input=reads == WHOLE_IMAGE,
        seeds=(seed,),
        batch=batch,
        measure_every=epochs,
    )
    return _training(plan, dataset, data_dir, epochs)


def _lesson(way: str, gamma: float, **options: object) -> Lesson:
    """The lesson of a rule or control, or of a pathway and read-out of the circuit."""
    if " " not in way:
        return Lesson(**taught(way), feedback_strength=gamma, **options)  # type: ignore[arg-type]
    pathway, readout = way.split()
    return Lesson(
        rule=CIRCUIT,
        pathway=pathway,
        readout=readout,
        feedback_strength=gamma,
        **options,  # type: ignore[arg-type]
    )


def _widths(
    dataset: str, data_dir: str | None, width: int, depth: int, shape: str
) -> tuple[int, ...]:
    """N_0 .. N_L: equal with auxiliary units, or in even steps down to the classes."""
    data = pooled_images(dataset, data_dir)[0]
    pixels, classes = data.inputs.shape[1], data.n_classes
    if shape == "equal":
        return (pixels, *[width] * (depth + 1))
    return (pixels, *np.linspace(width, classes, depth + 2).round().astype(int).tolist()[1:])


def _alignment(
    sizes: LearnedInverseScale,
    scene: StudySetting,
    dataset: str,
    data_dir: str | None,
    batch: int,
    way: str,
    correction: str,
    seed: int,
) -> xr.Dataset:
    depth = scene.network.depth - 1
    data = images.load(dataset, data_dir=None if data_dir is None else Path(data_dir))
    strengths = [gamma for gamma in sizes.strengths if gamma < 1 or " " not in way]
    strengths = strengths[-1:] if way == "tp" else strengths
    known = stages(
        scene.network, data.inputs, scene.inputs, sizes.practice, LearnedInverse(), seed, batch
    )
    cosine = np.full((len(known), len(strengths), len(sizes.sigmas), depth + 1), np.nan)
    for i, stage in enumerate(known):
        for j, gamma in enumerate(strengths):
            for k, sigma in enumerate(sizes.sigmas):
                inverse = LearnedInverse(corrected=correction == "yes")
                lesson = _lesson(way, gamma, inverse=inverse, rate_noise=sigma)
                cosine[i, j, k] = cosines(
                    scene.network, stage.model, lesson, scene.inputs, scene.targets, seed
                )
    return xr.Dataset(
        {
            "model_error": (("practice", "layer"), np.stack([one.error for one in known])),
            "missed": (("practice", "layer"), np.stack([one.missed for one in known])),
            "cosine": (("practice", "strength", "sigma", "layer"), cosine),
            "status": COMPLETED,
        },
        coords={
            "practice": [float(one.steps) for one in known],
            "strength": strengths,
            "sigma": list(sizes.sigmas),
            "layer": range(1, depth + 2),
        },
    )


def _training(plan: Plan, dataset: str, data_dir: str | None, epochs: int) -> xr.Dataset:
    state, status = trained(plan, prepare(plan, *pooled_images(dataset, data_dir)), epochs)
    layers = len(plan.widths) - 1
    accuracy, cosine, error = np.nan, *np.full((2, layers), np.nan)
    if state is not None and status == COMPLETED:
        accuracy = float(state.history["test_accuracy"][-1, 0])
        cosine = state.history["alignment"][-1, 0]
        error = state.history["inverse_error"][-1, 0]
    return xr.Dataset(
        {
            "accuracy": accuracy,
            "final_cosine": ("layer", cosine),
            "final_error": ("layer", error),
            "status": status,
        },
        coords={"layer": range(1, layers + 1)},
    )
