"""Activation functions: does TP gain from tanh, and is GAIT-prop indifferent (paper section 9)?

One cell is one training run of one seed, for one of two purposes. "tuning": every rule with every
kind of hidden units at the same learning rates and lambdas, on the first data set, with a seed of
its own, judged by validation images; the circuit is not tuned but has the values of GAIT-prop,
whose circuit it is. "test": the runs that are compared, with what the tuning chose (`CHOSEN`).

Inputs come in two sizes, `INPUT_GAINS`: in [0, 1], as in the paper, with which smooth units hardly
bend while training is as short as here, and six times that, with which they do.

Output units are linear throughout: a one-hot target lies at the end of the range of tanh. The
hidden targets of TP leave that range too; the hidden units of tp, itp and gait are therefore
"clipped_tanh", whose forward pass is that of tanh, and how many targets were clipped is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from analysis.controls import CONTROLS, taught, widths_of
from analysis.sweep.study import Cell, Seeds, Study, grid
from circuit.learning.lesson import Lesson
from circuit.learning.regulariser import Regulariser
from circuit.settings.learning import Adam
from studies.training_run import IMAGE_SETS, at_most, full_width, outcome
from training.plan import Plan
from training.sources import OUTSIDE

VERSION = 1  # of what a result means; part of the key of every cell

HIDDEN = ("leaky_relu", "asinh", "tanh")
RULES = ("bp", "gait", "circuit", "itp", "tp")
CLIPPING = ("tp", "itp", "gait")  # rules that invert units at targets
INPUT_GAINS = (1.0, 6.0)
TUNING_SEED = 101
GAMMA = 1e-3
BATCH = 60


@dataclass(frozen=True)
class ActivationsScale:
    """What is trained at a scale.

    Attributes
    ----------
    datasets : None for the one that was asked for
    depth : hidden layers, all as wide as the images
    epochs, tuning_epochs, train_images, seeds : of a run; None for all images
    rates, lambdas : of the tuning
    """

    datasets: tuple[str, ...] | None
    pooling: int
    depth: int
    epochs: int
    tuning_epochs: int
    train_images: int | None
    seeds: tuple[int, ...]
    rates: tuple[float, ...]
    lambdas: tuple[float, ...]


SCALES = {
    "smoke": ActivationsScale(None, 1, 2, 2, 1, 400, (1, 2), (2e-3,), (0.1,)),
    "laptop": ActivationsScale(
        IMAGE_SETS, 2, 3, 3, 2, 5000, (1, 2, 3), (3e-4, 1e-3, 3e-3), (0.0, 0.1, 1.0, 10.0)
    ),
    "full": ActivationsScale(
        IMAGE_SETS, 1, 4, 30, 5, None, (1, 2, 3, 4, 5), (1e-4, 3e-4, 1e-3, 3e-3),
        (0.0, 0.01, 0.1, 1.0, 10.0, 100.0),
    ),
}  # fmt: skip

# learning rate and lambda that the tuning of scale laptop chose
TUNED: dict[tuple[float, str], tuple[tuple[float, float], ...]] = {  # bp, gait, itp, tp
    (1.0, "leaky_relu"): ((3e-3, 0.0), (3e-3, 0.0), (1e-3, 0.0), (3e-3, 10.0)),
    (1.0, "asinh"): ((3e-3, 1.0), (1e-3, 0.0), (3e-4, 0.0), (1e-3, 1.0)),
    (1.0, "tanh"): ((3e-3, 0.0), (1e-3, 0.0), (3e-3, 0.1), (1e-3, 1.0)),
    (6.0, "leaky_relu"): ((3e-3, 0.0), (3e-3, 0.1), (1e-3, 0.0), (3e-3, 1.0)),
    (6.0, "asinh"): ((1e-3, 0.0), (1e-3, 0.0), (3e-3, 1.0), (1e-3, 0.0)),
    (6.0, "tanh"): ((1e-3, 0.0), (1e-3, 0.0), (1e-3, 0.0), (3e-3, 10.0)),
}
CHOSEN = {
    (gain, hidden, rule): TUNED[gain, hidden][place]
    for gain, hidden in TUNED
    for place, rule in ((0, "bp"), (1, "gait"), (1, "circuit"), (2, "itp"), (3, "tp"))
} | {(gain, hidden, rule): (3e-3, 0.0) for gain, hidden in TUNED for rule in CONTROLS}


def datasets_of(scale: str, dataset: str) -> tuple[str, ...]:
    """Above smoke MNIST, Fashion-MNIST and KMNIST unless one of them is asked for; `dataset`
    digits, the default, leaves all three.
    """
    return (SCALES[scale].datasets if dataset == "digits" else None) or (dataset,)


def study(
    scale: str, *, dataset: str = "digits", data_dir: str | None = None, seeds: Seeds = None
) -> Study:
    """The cells of the study at a scale: "smoke", "laptop" or "full"."""
    sizes = SCALES[scale]
    wanted = at_most(sizes.train_images, dataset, data_dir)
    common: Cell = {"data_dir": data_dir, "train_images": wanted}
    images = [
        {"dataset": name, "pooling": pooling, "widths": widths}
        for name in datasets_of(scale, dataset)
        for widths, pooling in [full_width(name, sizes.pooling, sizes.depth, data_dir)]
    ]
    tuning = grid(
        common | images[0] | {"purpose": "tuning", "epochs": sizes.tuning_epochs},
        input_gain=INPUT_GAINS,
        activation=HIDDEN,
        rule=[rule for rule in (*RULES, *CONTROLS) if rule != "circuit"],
        learning_rate=sizes.rates,
        orthogonality=sizes.lambdas,
        seed=[TUNING_SEED],
    )
    tuned = [
        {"input_gain": gain, "activation": hidden, "rule": rule}
        | dict(zip(("learning_rate", "orthogonality"), CHOSEN[gain, hidden, rule], strict=True))
        for gain in INPUT_GAINS
        for hidden in HIDDEN
        for rule in (*RULES, *CONTROLS)
    ]
    test = grid(
        common | {"purpose": "test", "epochs": sizes.epochs},
        seed=sizes.seeds if seeds is None else seeds,
        images=images,
        run=tuned,
    )
    return Study("activations", (*tuning, *test), measure, version=VERSION, outside=OUTSIDE)


def measure(
    *,
    purpose: str,
    dataset: str,
    data_dir: str | None,
    pooling: int,
    input_gain: float,
    widths: str,
    activation: str,
    rule: str,
    learning_rate: float,
    orthogonality: float,
    epochs: int,
    train_images: int | None,
    seed: int,
) -> xr.Dataset:
    """One training run: float32, orthogonal initial weights, linear output units.

    Parameters
    ----------
    input_gain : brightness of the images
    activation : of the hidden units; one of `HIDDEN`
    Others as `studies.paper_figures.study.measure`.

    Returns
    -------
    xr.Dataset
        As that of `studies.training_run.outcome`, and `clipped_start` and `clipped_end`, the
        fraction of the hidden targets sent down that were clipped, of the worst layer, before
        learning and at the end; 0 where nothing can be.
    """
    plan = Plan(
        lesson=Lesson(
            **taught(rule),
            feedback_strength=GAMMA,
            adam=Adam(learning_rate),
            pull=Regulariser(orthogonality),
        ),
        widths=widths_of(rule, tuple(map(int, widths.split("-")))),
        activation=units_of(activation, rule),
        output_activation="linear",
        seeds=(seed,),
        batch=BATCH,
        train_images=train_images,
        measure_every=epochs,
    )
    run = outcome(
        plan,
        epochs,
        dataset=dataset,
        data_dir=data_dir,
        pooling=pooling,
        input_gain=input_gain,
    )
    clipped = run["clipped"].values if "clipped" in run else np.zeros((epochs + 1, 1))
    layers = ~np.isnan(clipped).all(axis=0)
    start, end = (float(np.max(clipped[row, layers], initial=0.0)) for row in (0, -1))
    return run.drop_vars("clipped", errors="ignore").assign(clipped_start=start, clipped_end=end)


def units_of(hidden: str, rule: str) -> str:
    """The hidden units of a run, so that none of its targets is refused."""
    return "clipped_tanh" if hidden == "tanh" and rule in CLIPPING else hidden
