"""Is it the overlap of rows that GRAIT-prop loses by? Networks trained with a share of it.

The setting is that of Fig. 2B with the same learning rate and lambda for all, in which GRAIT-prop
has a cosine of 0.99 and more with back-propagation and learns less: `paper_figures.scales`. One
thing is varied, what is sent down (`studies.overlaps.rule`). All of it is done once more without
Adam's division by the size of a gradient, which could have made small deviations large.
"""

from __future__ import annotations

import xarray as xr

from analysis.sweep.study import Cell, Seeds, Study, grid
from circuit.learning.lesson import Lesson
from circuit.learning.regulariser import Regulariser
from circuit.peers.table import register
from circuit.settings.learning import Adam
from studies.overlaps.rule import KEPT, OVERLAPS, RANDOM, RULE, OverlapsSettings
from studies.paper_figures.scales import SCALES, FiguresScale
from studies.training_run import at_most, full_width, outcome
from training.plan import Plan
from training.sources import OUTSIDE

VERSION = 1  # of what a result means; part of the key of every cell

SHARES = (-1.0, 0.0, 0.5, 1.0)
CONTROL_SHARES = (1.0, 3.0)  # as large in what is sent down, and in the update of layer 1
UNDIVIDED: Cell = {"learning_rate": 0.3, "epsilon": 1.0}  # beside which gradients are small
SIZES = {"smoke": SCALES["smoke"], "laptop": SCALES["laptop"], "full": SCALES["desk"]}
HARD = ("fashion_mnist", "kmnist")  # on MNIST all are level


def datasets_of(scale: str, dataset: str) -> tuple[str, ...]:
    """Above smoke Fashion-MNIST and KMNIST, unless another data set than digits is asked for."""
    return HARD if dataset == "digits" and scale != "smoke" else (dataset,)


def study(
    scale: str, *, dataset: str = "digits", data_dir: str | None = None, seeds: Seeds = None
) -> Study:
    """The cells of the study at a scale: "smoke", "laptop" or "full"."""
    size = SIZES[scale]
    common: Cell = {
        "data_dir": data_dir,
        "orthogonality": size.same[1],
        "batch": size.batch,
        "epochs": size.epochs,
        "train_images": at_most(size.train_images, dataset, data_dir),
    }
    by_share = grid({"deviation": OVERLAPS}, share=SHARES)
    controls = grid({}, share=CONTROL_SHARES, deviation=(RANDOM, KEPT))
    whole = grid({"deviation": OVERLAPS}, share=(-1.0, 0.0, 1.0))
    usual: Cell = {"learning_rate": size.same[0], "epsilon": Adam().epsilon}
    cells = grid(
        common,
        seed=size.seeds if seeds is None else seeds,
        images=[_images(name, size, data_dir) for name in datasets_of(scale, dataset)],
        way=[*grid(usual, sent=(*by_share, *controls)), *grid(UNDIVIDED, sent=whole)],
    )
    return Study("overlaps", tuple(cells), measure, version=VERSION, outside=OUTSIDE)


def _images(name: str, size: FiguresScale, data_dir: str | None) -> Cell:
    widths, pooling = full_width(name, size.pooling, size.depth, data_dir)
    return {"dataset": name, "pooling": pooling, "widths": widths}


def measure(
    *,
    dataset: str,
    data_dir: str | None,
    pooling: int,
    widths: str,
    deviation: str,
    share: float,
    learning_rate: float,
    epsilon: float,
    orthogonality: float,
    batch: int,
    epochs: int,
    train_images: int | None,
    seed: int,
) -> xr.Dataset:
    """One training run of leaky-ReLU units in float32.

    Parameters
    ----------
    deviation, share : of the rule, see `studies.overlaps.rule`
    epsilon : of Adam

    Returns
    -------
    xr.Dataset
        As of `studies.training_run.outcome`.
    """
    with register(RULE):
        lesson = Lesson(
            RULE.name,
            settings=OverlapsSettings(share, deviation),
            adam=Adam(learning_rate, epsilon=epsilon),
            pull=Regulariser(orthogonality),
        )
        plan = Plan(
            lesson=lesson,
            widths=tuple(map(int, widths.split("-"))),
            seeds=(seed,),
            batch=batch,
            train_images=train_images,
            measure_every=epochs,
        )
        return outcome(plan, epochs, dataset=dataset, data_dir=data_dir, pooling=pooling)
