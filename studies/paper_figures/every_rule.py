"""Does a network learn by every rule? The training runs of figures "bench" and "bench_grid".

Owns which runs they need at a scale, and the plan of one. One cell is one training run by one rule
of one seed; runs of one seed begin with the same weights where their networks have the same shape,
and see the same images in the same order.

The network is that of Meulemans et al. (2021): three hidden layers of equal width, tanh units and
linear outputs. Rules that invert weights have the same one with auxiliary outputs, as wide as the
hidden layers, and but for the circuit clip targets that no tanh can have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

from analysis.controls import CONTROLS, taught, widths_of
from analysis.sweep.study import Cell, Study, grid
from circuit.learning.lesson import Lesson
from circuit.peers.own import use_rule_file
from circuit.peers.table import TABLE
from circuit.settings.declaration import Declaration, Number, declared
from circuit.settings.learning import Adam
from studies.training_run import at_most, classes_of, outcome, pixels_of
from training.plan import Plan
from training.sources import OUTSIDE

VERSION = 1  # of what a result means; part of the key of every cell
FIGURES = ("bench", "bench_grid")
FACTORS = (0.3, 1.0, 3.0)  # of a rule's own strength, in the grid
HIDDEN = 3  # layers

Chosen = Mapping[str, tuple[float, str | None]]  # rule -> learning rate, settings


@dataclass(frozen=True)
class EveryRuleScale:
    """How large the runs are.

    Attributes
    ----------
    datasets : the grid is of the first
    pooling : images of 28 x 28 pixels are averaged over squares of so many pixels a side
    width : of the hidden layers
    epochs, batch, train_images, seeds : of every run; None for all images
    rate : learning rate of a rule for which no grid has chosen one
    grid_rates, grid_epochs, grid_seeds : of the grid
    digits_epochs : in place of `epochs`, for a data set that is forty times smaller than the others
    """

    datasets: tuple[str, ...]
    pooling: int
    width: int
    epochs: int
    batch: int
    train_images: int | None
    seeds: tuple[int, ...]
    rate: float
    grid_rates: tuple[float, ...]
    grid_epochs: int
    grid_seeds: tuple[int, ...]
    digits_epochs: int | None = None

    def epochs_of(self, dataset: str) -> int:
        """Of every run on that data set."""
        return self.digits_epochs or self.epochs if dataset == "digits" else self.epochs


DESK = EveryRuleScale(
    datasets=("digits", "mnist"),
    pooling=1,
    width=256,
    epochs=15,
    batch=60,
    train_images=None,
    seeds=(1, 2, 3, 4, 5),
    rate=1e-3,
    grid_rates=(3e-4, 1e-3, 3e-3),
    grid_epochs=10,
    grid_seeds=(101,),
    digits_epochs=30,
)
SCALES = {
    "smoke": EveryRuleScale(
        ("digits",), 1, 32, 3, 20, 400, (1, 2, 3), 3e-3, (1e-3, 1e-2), 2, (101,)
    ),
    "laptop": replace(DESK, epochs=1, digits_epochs=10, grid_rates=(1e-3, 3e-3), grid_epochs=6),
    "desk": DESK,
    "paper": replace(
        DESK,
        datasets=("digits", "mnist", "fashion_mnist"),
        epochs=100,
        digits_epochs=None,
        grid_rates=(1e-4, 3e-4, 1e-3, 3e-3),
    ),
}


def study(
    figure: str,
    scale: str,
    *,
    datasets: Sequence[str] | None = None,
    data_dir: str | None = None,
    seeds: Sequence[int] | None = None,
    rules: Sequence[str] | None = None,
    device: str | None = None,
    rule_file: str | None = None,
    chosen: Chosen | None = None,
) -> Study:
    """The runs that `figure` shows at `scale`.

    Parameters
    ----------
    datasets, seeds : in place of those of the scale
    rules : only these; None for all of the table, and the controls
    device : of PyTorch; None for NumPy
    rule_file : of a rule of one's own, see `circuit.peers.own`
    chosen : by a grid; rules that are not in it have the scale's learning rate and their defaults
    """
    sizes = SCALES[scale]
    names = tuple(datasets or sizes.datasets)
    of_grid = figure == "bench_grid"
    common: Cell = {
        "data_dir": data_dir,
        "device": device,
        "rule_file": rule_file,
        "batch": sizes.batch,
        "train_images": at_most(sizes.train_images, names[0], data_dir),
    }
    images = []
    for name in names[:1] if of_grid else names:
        pixels, pooling = pixels_of(name, sizes.pooling, data_dir)
        epochs = sizes.grid_epochs if of_grid else sizes.epochs_of(name)
        size = {"pixels": pixels, "width": sizes.width, "epochs": epochs}
        images.append({"dataset": name, "pooling": pooling, **size})
    cells = grid(
        common,
        seed=seeds or (sizes.grid_seeds if of_grid else sizes.seeds),
        images=images,
        rule=[
            run
            for name in rules or (*TABLE, *CONTROLS)
            for run in (_tried(sizes, name) if of_grid else _best(sizes, name, chosen or {}))
        ],
    )
    return Study("every_rule", tuple(cells), measure, version=VERSION, outside=OUTSIDE)


def _best(sizes: EveryRuleScale, rule: str, chosen: Chosen) -> list[Cell]:
    rate, settings = chosen.get(rule, (sizes.rate, None))
    return [{"rule": rule, "learning_rate": rate, "settings": settings}]


def _tried(sizes: EveryRuleScale, rule: str) -> list[Cell]:
    """Every learning rate with every value of the rule's own strength, if it has one."""
    strength = strength_of(rule)
    tried: list[str | None] = [None]
    if strength is not None:
        name, one = strength
        values = [factor * one.default for factor in FACTORS]
        fits = [v for v in values if one.within is None or not one.within.fault(v)]
        tried = [None if v == one.default else json.dumps({name: v}) for v in fits]
    return grid({"rule": rule}, learning_rate=sizes.grid_rates, settings=tried)


def strength_of(rule: str) -> tuple[str, Number] | None:
    """The first number among a rule's settings, which is how strong its feedback or nudge is."""
    if rule in CONTROLS:
        return None
    found: dict[str, Declaration] = declared(TABLE[rule].settings())
    for name, one in found.items():
        if isinstance(one, Number):
            return name, one
    return None


def plan_of(
    rule: str,
    *,
    pixels: int,
    width: int,
    learning_rate: float,
    settings: str | None,
    classes: int = 10,
    **more: Any,
) -> Plan:
    """The plan of one run by a rule or of a control; `settings` are those of the rule's own that
    differ from its defaults. Of fewer classes than ten there are ten outputs.
    """
    lesson = taught(rule)
    line, own = TABLE[lesson["rule"]], {} if settings is None else json.loads(settings)
    inverts = line.through_inverse
    given: dict[str, Any] = own if line.is_paper else {"settings": line.settings()(**own)}
    return Plan(
        Lesson(**lesson, adam=Adam(learning_rate), **given),
        widths_of(rule, (pixels, *[width] * HIDDEN, width if inverts else max(10, classes))),
        activation="clipped_tanh" if inverts and not line.rule().settles else "tanh",
        output_activation="linear",
        auxiliary=inverts,
        **more,
    )


def measure(
    *,
    dataset: str,
    data_dir: str | None,
    pooling: int,
    pixels: int,
    width: int,
    rule: str,
    rule_file: str | None,
    settings: str | None,
    learning_rate: float,
    batch: int,
    epochs: int,
    train_images: int | None,
    seed: int,
    device: str | None,
) -> xr.Dataset:
    """One training run: float32, squared loss, orthogonal initial weights, no regulariser.

    Parameters
    ----------
    settings : of the rule that differ from its defaults, as JSON; None for none
    others : as of `studies.paper_figures.study.measure`

    Returns
    -------
    xr.Dataset
        As of `studies.training_run.outcome`.
    """
    with use_rule_file(rule_file):
        plan = plan_of(
            rule,
            pixels=pixels,
            width=width,
            learning_rate=learning_rate,
            settings=settings,
            classes=classes_of(dataset, data_dir),
            seeds=(seed,),
            batch=batch,
            train_images=train_images,
            device=device,
            measure_every=epochs,
        )
        return outcome(plan, epochs, dataset=dataset, data_dir=data_dir, pooling=pooling)
