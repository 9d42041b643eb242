"""Networks that learn: the training runs behind Figures 2 and 3, the grid search, what it costs
to pull weights towards orthogonality in every k-th step only, and the paper's claim put to the
test, for as many epochs as the scale has and for longer.

Owns which runs a figure needs at a scale, and the plan of one.

One cell is one training run of one seed. All figures draw on one study, "training", so a run that
two figures show is made once.

How large runs are, and the learning rate and lambda of every rule, stand in `scales`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import xarray as xr

from analysis.controls import CONTROLS, taught, widths_of
from analysis.sweep.study import Cell, Study, grid
from circuit.learning.lesson import Lesson
from circuit.learning.regulariser import Regulariser
from circuit.settings.learning import Adam
from studies.paper_figures.scales import (
    NARROWING,
    RULES,
    SCALES,
    FiguresScale,
    narrowing,
    same_for_all,
)
from studies.training_run import at_most, classes_of, fixed_width, full_width, outcome, pixels_of
from training import settings as presets
from training.plan import Plan
from training.sources import OUTSIDE

VERSION = 1  # of what a result means; part of the key of every cell

FIGURES = ("fig2b", "fig3", "fig2c", "fig2a", "grid", "every", "claim", "longer")  # as trained
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
    scale : "smoke" (seconds), "laptop" (an hour), "desk" (a night for "claim" and "longer") or
        "paper" (days on two cores)
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
        sizes = replace(sizes, leaky_relu=same_for_all(rate, strength))
    sizes = replace(sizes, datasets=tuple(datasets or sizes.datasets), data_dir=data_dir)
    wanted = at_most(sizes.train_images, sizes.datasets[0], data_dir)  # own images stand alone
    sizes = replace(sizes, train_images=wanted)
    if seeds is not None:
        chosen = tuple(seeds)
        sizes = replace(sizes, seeds=chosen, grid_seeds=chosen, every_seeds=chosen)
    common: Cell = {"data_dir": data_dir, "device": device}
    cells = [cell for cell in CELLS[figure](sizes) if rules is None or cell["rule"] in rules]
    cells = [common | cell for cell in cells]
    return Study("training", tuple(cells), measure, version=VERSION, outside=OUTSIDE)


def _depths(sizes: FiguresScale) -> list[Cell]:
    """Fig. 2A: depths, on one data set."""
    return _runs(sizes, [_same_width(sizes, sizes.datasets[0], depth) for depth in sizes.depths])


def _image_sets(sizes: FiguresScale, activation: str = "leaky_relu") -> list[Cell]:
    """Fig. 2B: all data sets at one depth."""
    images = [_same_width(sizes, name, sizes.depth) for name in sizes.datasets]
    return _runs(sizes, images, activation)


def _linear(sizes: FiguresScale) -> list[Cell]:
    """Fig. 2C: linear networks without regulariser."""
    return _image_sets(sizes, "linear")


def _shapes(sizes: FiguresScale) -> list[Cell]:
    """Fig. 3: narrowing layers on all data sets, and beside them full width on the first."""
    full = _same_width(sizes, sizes.datasets[0], len(NARROWING) - 2)
    return _runs(sizes, [*_narrow(sizes), full])


def _narrow(sizes: FiguresScale) -> list[Cell]:
    """All data sets with the narrowing layers of Fig. 3B."""
    found: list[Cell] = []
    for name in sizes.datasets:
        pixels, pooling = pixels_of(name, sizes.pooling, sizes.data_dir)
        widths = narrowing(pixels, classes_of(name, sizes.data_dir))
        found.append({"dataset": name, "pooling": pooling, "widths": widths})
    return found


def _grid(sizes: FiguresScale) -> list[Cell]:
    """Learning rates and lambdas on one data set, for as many epochs as the figures have; linear
    networks and controls have no lambda.
    """
    common = _common(sizes) | _same_width(sizes, sizes.datasets[0], sizes.depth)
    free: Cell = {"orthogonality": 0.0}
    tuned = [rule for rule in RULES if rule != "circuit"]  # which has the values of GAIT-prop
    runs = grid(
        {"activation": "leaky_relu"},
        learning_rate=sizes.grid_rates,
        orthogonality=sizes.grid_lambdas,
        rule=tuned,
    )
    runs += grid(free | {"activation": "leaky_relu"}, learning_rate=sizes.grid_rates, rule=CONTROLS)
    linear = free | {"activation": "linear"}
    runs += grid(linear, learning_rate=sizes.grid_rates, rule=(*tuned, *CONTROLS))
    return grid(common, seed=sizes.grid_seeds, run=runs)


def _every(sizes: FiguresScale) -> list[Cell]:
    """Every rule with the pull towards orthogonality in each k-th step: digits as in preset quick,
    and the first data set as elsewhere, where lambda is that of `same` or the rule's own if larger.
    """
    first = sizes.datasets[0]
    common = _common(sizes) | _same_width(sizes, first, sizes.depth)
    rate, least = sizes.same
    cells = []
    for seed in sizes.every_seeds:
        for rule in RULES:
            strength = max(least, sizes.leaky_relu[rule][1])
            own: Cell = {
                "rule": rule,
                "learning_rate": rate,
                "orthogonality": strength,
                "seed": seed,
            }
            runs: list[Cell] = [common | {"activation": "leaky_relu", "loss": "quadratic"} | own]
            if first != "digits":
                runs.append(_cell_of_preset(rule, sizes.every_epochs_of_digits, seed))
            cells += grid({}, run=runs, orthogonality_every=sizes.every)
    return cells


def _claim(sizes: FiguresScale) -> list[Cell]:
    """Does GAIT-prop learn as well as back-propagation? First what decides, seed by seed: with the
    same lambda, and back-propagation without; then the circuit and target propagation; then the
    narrowing layers of Fig. 3B. Both widths with both controls.
    """
    common, decisive = _of_claim(sizes), _decisive(sizes)
    rate, strength = sizes.leaky_relu["tp"]
    free: Cell = decisive[0] | {"orthogonality": 0.0}
    controls: list[Cell] = [free | {"rule": name} for name in CONTROLS]
    beside: list[Cell] = [
        decisive[-1] | {"rule": "circuit", "pathway": "grait"},
        {"rule": "tp", "learning_rate": rate, "orthogonality": strength},
        *controls,
    ]
    full = _same_width(sizes, sizes.datasets[0], sizes.depth)
    few = sizes.seeds[: sizes.few_seeds]
    return [
        *grid(common | full, seed=sizes.seeds, run=[*decisive, free]),
        *grid(common | full, seed=few, run=beside),
        *grid(common, seed=few, images=_narrow(sizes), run=[*decisive, *controls]),
    ]


def _longer(sizes: FiguresScale) -> list[Cell]:
    """What more epochs change, and looking at test images as often as the paper does: one seed of
    what decides.
    """
    full = _same_width(sizes, sizes.datasets[0], sizes.depth)
    long: Cell = {"epochs": sizes.long_epochs, "test_every": sizes.long_test_every}
    common = _of_claim(sizes) | full | long
    return grid(common, seed=sizes.seeds[:1], run=_decisive(sizes))


def _of_claim(sizes: FiguresScale) -> Cell:
    """What all runs of figures "claim" and "longer" have."""
    return _common(sizes) | {
        "activation": "leaky_relu",
        "pathway": None,
        "test_every": sizes.test_every,
        "measure_every": sizes.measure_every,
    }


def _decisive(sizes: FiguresScale) -> list[Cell]:
    """The rules whose difference decides, which have everything else in common."""
    rate, strength = sizes.same
    common: Cell = {"learning_rate": rate, "orthogonality": strength}
    return grid(common, rule=("bp", "gait", "grait"))


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
    "claim": _claim,
    "longer": _longer,
}


def _same_width(sizes: FiguresScale, dataset: str, depth: int) -> Cell:
    """Images, and a network all of whose layers are as wide."""
    widths, pooling = full_width(dataset, sizes.pooling, depth, sizes.data_dir)
    return {"dataset": dataset, "pooling": pooling, "widths": widths}


def _common(sizes: FiguresScale) -> Cell:
    """What all runs at a scale have."""
    return {
        "gamma": 1e-3,
        "batch": sizes.batch,
        "epochs": sizes.epochs,
        "train_images": sizes.train_images,
        "validation": 0.1,
    }


def _runs(
    sizes: FiguresScale, images: Sequence[Cell], activation: str = "leaky_relu"
) -> list[Cell]:
    """Every rule and seed for each of the images with their networks; seed by seed."""
    chosen = sizes.linear if activation == "linear" else sizes.leaky_relu
    rules = [
        {"rule": rule, "learning_rate": chosen[rule][0], "orthogonality": chosen[rule][1]}
        for rule in (*RULES, *CONTROLS)
    ]
    common = _common(sizes) | {"activation": activation}
    return grid(common, seed=sizes.seeds, images=images, rule=rules)


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
    pathway: str | None = None,
    test_every: int = 0,
    measure_every: int | None = None,
) -> xr.Dataset:
    """One training run: float32, orthogonal initial weights, bias-corrected Adam, Eq. 23 of rows.

    Parameters
    ----------
    widths : N_0 .. N_L with hyphens between them
    rule : of a lesson, or one of `analysis.controls.CONTROLS`
    train_images : so many of the training images, drawn by the seed; None for all
    validation : fraction of them that is not learnt from, but chooses the epoch
    pathway : of the circuit; None for GAIT's, and for all other rules
    test_every : see `studies.training_run.outcome`
    measure_every : epochs from one measure of all layers to the next; None for the first and last

    Returns
    -------
    xr.Dataset
        As of `studies.training_run.outcome`.
    """
    lesson = Lesson(
        **taught(rule),
        feedback_strength=gamma,
        pathway="gait" if pathway is None else pathway,
        loss=loss,
        adam=Adam(learning_rate),
        pull=Regulariser(orthogonality, orthogonality_every),
    )
    plan = Plan(
        lesson=lesson,
        widths=widths_of(rule, tuple(map(int, widths.split("-")))),
        activation=activation,
        seeds=(seed,),
        batch=batch,
        train_images=train_images,
        validation=validation,
        device=device,
        measure_every=epochs if measure_every is None else measure_every,
    )
    return outcome(
        plan, epochs, dataset=dataset, data_dir=data_dir, pooling=pooling, test_every=test_every
    )
