"""Networks that learn: the training runs behind Figures 2 and 3, the grid search, and what it costs
to pull weights towards orthogonality in every k-th step only.

Owns which runs a figure needs at a scale, and the plan of one. Does not own what is kept of a run
(`outcome`), training (`models.training`), the comparison of rules (`analysis.comparison`) nor the
pictures (`analysis.figures.results`).

One cell is one training run of one seed. All figures draw on one study, "training", so a run that
two figures show is made once.

How large runs are, and the learning rate and lambda of every rule, stand in `scales`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import xarray as xr

from analysis.cells import Cell, Study
from circuit.lesson import Lesson
from models import presets
from models.material import Plan
from models.sources import OUTSIDE
from models.studies.outcome import outcome
from models.studies.scales import (
    NARROWING,
    RULES,
    SCALES,
    Scale,
    fixed_width,
    narrowing,
    pixels_of,
)

FIGURES = ("fig2b", "fig3", "fig2c", "fig2a", "grid", "every")  # as they are trained
OWN = ("fig2a", "fig2b", "fig3")  # figures that have a learning rate and lambda for every rule


def study(
    figure: str,
    scale: str,
    *,
    datasets: Sequence[str] | None = None,
    data_dir: str | None = None,
    seeds: Sequence[int] | None = None,
    parameters: str = "best",
    same: tuple[float | None, float | None] = (None, None),
    rules: Sequence[str] | None = None,
    device: str | None = None,
) -> Study:
    """The training runs that `figure` shows at `scale`.

    Parameters
    ----------
    figure : one of `FIGURES`
    scale : "smoke" (seconds), "laptop" (half an hour) or "paper" (days on two cores)
    datasets, seeds : in place of those of the scale
    parameters
        "best": learning rate and lambda of every rule are its own. "same": those of all are `same`,
        back-propagation's too, so that nothing differs but the rule; only figures in `OWN` differ.
    same : learning rate and lambda in place of the scale's `same`
    rules : only these; None for all
    device : of PyTorch; None for NumPy
    """
    sizes = SCALES[scale]
    if parameters == "same":
        rate, strength = (
            old if new is None else new for old, new in zip(sizes.same, same, strict=True)
        )
        sizes = replace(sizes, leaky_relu=dict.fromkeys(RULES, (rate, strength)))
    sizes = replace(sizes, datasets=tuple(datasets or sizes.datasets))
    if seeds is not None:
        chosen = tuple(seeds)
        sizes = replace(sizes, seeds=chosen, grid_seeds=chosen, every_seeds=chosen)
    common: Cell = {"data_dir": data_dir, "device": device}
    cells = [cell for cell in CELLS[figure](sizes) if rules is None or cell["rule"] in rules]
    return Study("training", tuple(common | cell for cell in cells), measure, outside=OUTSIDE)


def _depths(sizes: Scale) -> list[Cell]:
    """Fig. 2A: depths, on one data set."""
    pixels, _ = pixels_of(sizes.datasets[0], sizes.pooling)
    shapes = [fixed_width(pixels, depth) for depth in sizes.depths]
    return _runs(sizes, [(sizes.datasets[0], shape) for shape in shapes], "leaky_relu")


def _image_sets(sizes: Scale, activation: str = "leaky_relu") -> list[Cell]:
    """Fig. 2B: all data sets at one depth."""
    return _runs(sizes, _fixed(sizes, sizes.datasets, sizes.depth), activation)


def _linear(sizes: Scale) -> list[Cell]:
    """Fig. 2C: linear networks without regulariser."""
    return _image_sets(sizes, "linear")


def _shapes(sizes: Scale) -> list[Cell]:
    """Fig. 3: narrowing layers on all data sets, and beside them full width on the first."""
    narrow = [(name, narrowing(pixels_of(name, sizes.pooling)[0])) for name in sizes.datasets]
    full = _fixed(sizes, sizes.datasets[:1], len(NARROWING) - 2)
    return _runs(sizes, [*narrow, *full], "leaky_relu")


def _grid(sizes: Scale) -> list[Cell]:
    """Learning rates and lambdas on one data set; linear networks have no lambda."""
    ((dataset, widths),) = _fixed(sizes, sizes.datasets[:1], sizes.depth)
    pairs = [
        ("leaky_relu", rate, strength)
        for rate, strength in product(sizes.grid_rates, sizes.grid_lambdas)
    ]
    pairs += [("linear", rate, 0.0) for rate in sizes.grid_rates]
    return [
        _cell(sizes, dataset, widths, activation, rule, rate, strength, sizes.grid_epochs, seed)
        for seed in sizes.grid_seeds
        for activation, rate, strength in pairs
        for rule in RULES
    ]


def _every(sizes: Scale) -> list[Cell]:
    """Every rule with the pull towards orthogonality in each k-th step: digits as in preset quick,
    and the first data set as elsewhere, where lambda is that of `same` or the rule's own if larger.
    """
    first = sizes.datasets[0]
    ((_, widths),) = _fixed(sizes, [first], sizes.depth)
    cells = []
    for seed, rule in product(sizes.every_seeds, RULES):
        rate, strength = sizes.same[0], max(sizes.same[1], sizes.leaky_relu[rule][1])
        run = _cell(sizes, first, widths, "leaky_relu", rule, rate, strength, sizes.epochs, seed)
        runs = [run | {"loss": "quadratic"}]
        if first != "digits":
            runs.append(_cell_of_preset(rule, sizes.every_epochs_of_digits, seed))
        cells += [run | {"orthogonality_every": k} for run, k in product(runs, sizes.every)]
    return cells


def _cell_of_preset(rule: str, epochs: int, seed: int) -> Cell:
    """Digits with the values of preset quick."""
    values: dict[str, Any] = presets.preset("quick", rule)
    names = ("activation", "loss", "gamma", "learning_rate", "orthogonality", "batch")
    return {name: values[name] for name in (*names, "train_images", "validation")} | {
        "dataset": "digits",
        "pooling": 1,
        "widths": fixed_width(64, values["depth"]),
        "rule": rule,
        "epochs": epochs,
        "seed": seed,
    }


CELLS: dict[str, Any] = {
    "fig2a": _depths,
    "fig2b": _image_sets,
    "fig2c": _linear,
    "fig3": _shapes,
    "grid": _grid,
    "every": _every,
}


def _fixed(sizes: Scale, datasets: Iterable[str], depth: int) -> list[tuple[str, str]]:
    return [(name, fixed_width(pixels_of(name, sizes.pooling)[0], depth)) for name in datasets]


def _runs(sizes: Scale, shapes: Iterable[tuple[str, str]], activation: str) -> list[Cell]:
    """Every rule and seed for each pair of a data set and widths; seed by seed."""
    chosen = sizes.linear if activation == "linear" else sizes.leaky_relu
    return [
        _cell(sizes, dataset, widths, activation, rule, *chosen[rule], sizes.epochs, seed)
        for seed in sizes.seeds
        for dataset, widths in shapes
        for rule in RULES
    ]


def _cell(
    sizes: Scale,
    dataset: str,
    widths: str,
    activation: str,
    rule: str,
    learning_rate: float,
    orthogonality: float,
    epochs: int,
    seed: int,
) -> Cell:
    return {
        "dataset": dataset,
        "pooling": pixels_of(dataset, sizes.pooling)[1],
        "widths": widths,
        "activation": activation,
        "rule": rule,
        "gamma": 1e-3,
        "learning_rate": learning_rate,
        "orthogonality": orthogonality,
        "batch": sizes.batch,
        "epochs": epochs,
        "train_images": sizes.train_images,
        "validation": 0.1,
        "seed": seed,
    }


def measure(
    *,
    dataset: str,
    data_dir: str | None,
    pooling: int,
    widths: str,
    activation: str,
    rule: str,
    gamma: float,
    learning_rate: float,
    orthogonality: float,
    batch: int,
    epochs: int,
    train_images: int | None,
    validation: float,
    seed: int,
    device: str | None,
    loss: str = "quadratic",
    orthogonality_every: int = 1,
) -> xr.Dataset:
    """One training run: float32, orthogonal initial weights, bias-corrected Adam, Eq. 23 of rows.

    Parameters
    ----------
    widths : N_0 .. N_L with hyphens between them
    train_images : so many of the training images, drawn by the seed; None for all
    validation : fraction of them that is not learnt from, but chooses the epoch

    Returns
    -------
    xr.Dataset
        As of `outcome.outcome`.
    """
    lesson = Lesson(
        rule=rule,
        feedback_strength=gamma,
        loss=loss,
        learning_rate=learning_rate,
        orthogonality=orthogonality,
        orthogonality_every=orthogonality_every,
    )
    plan = Plan(
        lesson=lesson,
        widths=tuple(map(int, widths.split("-"))),
        activation=activation,
        seeds=(seed,),
        batch=batch,
        train_images=train_images,
        validation=validation,
        device=device,
        measure_every=epochs,
    )
    return outcome(plan, epochs, dataset=dataset, data_dir=data_dir, pooling=pooling)
