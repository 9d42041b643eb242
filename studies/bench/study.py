"""Every rule on the same weights and images: by depth, units, weights, strength and noise.

One cell is one network and one setting, with all rules: a rule's answer is a matter of
milliseconds, and they share what they are compared with. One thing is changed at a time from a
network of four layers at the default strengths, so that a line in a picture is one variable.

A strength stands for what each theory has to make small (`AT_STRENGTH`): the feedback of the
circuit and of contrastive Hebbian learning, the nudge of equilibrium propagation, dual propagation
and difference targets, the loss of predictive coding, the part of the error that a controller is to
remove. Back-propagation, target propagation, fixed predictions and random feedback have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from analysis.sweep.study import Cell, Seeds, Study, grid
from circuit.learning.lesson import Lesson
from circuit.peers.table import TABLE
from circuit.report.bench import bench
from circuit.report.bench_tables import as_dataset
from studies.setting import WHOLE_IMAGE, setting
from training.sources import OUTSIDE

VERSION = 1  # of what a result means; part of the key of every cell

# what a strength is to a rule: a field of a lesson, or of the record of its own settings
IN_LESSON = dict.fromkeys(("itp", "gait", "grait", "circuit"), "feedback_strength")
IN_SETTINGS = {
    "chl": "gamma",
    "ep": "beta",
    "pc": "strength",
    "epc": "strength",
    "dual": "beta",
    "dfc": "strength",
    "dtp": "nudge",
    "ldrl": "nudge",
    "ddtp": "nudge",
}
AT_STRENGTH = (*IN_LESSON, *IN_SETTINGS)
GAMMA = 0.01  # of the rules of the paper and the circuit by default
PRACTICE = 100  # steps of feedback that learns, on the images of the cell
BATCH, WIDTH = 30, 64
NOISELESS = ("bp",)  # reads no rates: it is what the others are held against


@dataclass(frozen=True)
class BenchScale:
    """What is measured at a scale.

    Attributes
    ----------
    layers : numbers of layers; the middle ones are those of all other axes
    units, inits : in all combinations, at every point of the axes
    strengths, noises : axes beside that of layers
    seeds : of images, weights and random feedback
    """

    layers: tuple[int, ...]
    standard: int
    units: tuple[str, ...]
    inits: tuple[str, ...]
    strengths: tuple[float, ...]
    noises: tuple[float, ...]
    seeds: tuple[int, ...]


SCALES = {
    "smoke": BenchScale((2, 3), 3, ("tanh",), ("orthogonal",), (0.1,), (1e-3,), (1, 2)),
    "laptop": BenchScale(
        (2, 4, 8),
        4,
        ("leaky_relu", "tanh"),
        ("orthogonal", "gaussian"),
        (1e-3, 1e-2, 0.1, 0.5),
        (1e-4, 1e-3, 1e-2),
        (1, 2, 3),
    ),
    "full": BenchScale(
        (2, 4, 8, 16, 30, 50),
        4,
        ("leaky_relu", "asinh", "tanh", "linear"),
        ("orthogonal", "unequal_rows", "gaussian"),
        (1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.2, 0.5),
        (1e-5, 1e-4, 1e-3, 1e-2, 0.04),
        tuple(range(1, 11)),
    ),
}


def study(
    scale: str, *, dataset: str = "digits", data_dir: str | None = None, seeds: Seeds = None
) -> Study:
    """The cells at a scale: axes of depth, strength and noise, for all units and weights."""
    size = SCALES[scale]
    common: Cell = {"dataset": dataset, "data_dir": data_dir}
    every: dict[str, Any] = {
        "seed": tuple(seeds or size.seeds),
        "init": size.inits,
        "activation": size.units,
    }
    still: Cell = {"strength": 0.0, "noise": 0.0}
    depth = grid(common | {"axis": "layers"} | still, **every, layers=size.layers)
    standard = common | {"layers": size.standard}
    strength = grid(standard | {"axis": "strength", "noise": 0.0}, **every, strength=size.strengths)
    noise = grid(standard | {"axis": "noise", "strength": 0.0}, **every, noise=size.noises)
    cells = (*depth, *strength, *noise)
    shared = ("dataset", "data_dir", "seed", "init", "activation")
    return Study("bench", cells, measure, shared, VERSION, OUTSIDE)


def lessons_at(strength: float, noise: float) -> Mapping[str, Lesson]:
    """The lesson of every rule; a strength of 0 stands for the defaults."""
    found = {}
    for name in _names():
        values: dict[str, Any] = {"feedback_strength": GAMMA}
        if strength > 0 and name in IN_LESSON:
            values["feedback_strength"] = strength
        if strength > 0 and name in IN_SETTINGS:
            values["settings"] = TABLE[name].settings()(**{IN_SETTINGS[name]: strength})
        if name not in NOISELESS:
            values["rate_noise"] = noise
        found[name] = Lesson(rule=name, **values)
    return found


def _names() -> list[str]:
    """The rules of this package: one that a user has registered would be another study."""
    return [name for name, line in TABLE.items() if line.given is None]


def measure(
    *,
    dataset: str,
    data_dir: str | None,
    axis: str,
    seed: int,
    init: str,
    activation: str,
    layers: int,
    strength: float,
    noise: float,
) -> xr.Dataset:
    """One cell: every rule's agreement with back-propagation, layer by layer, as `bp_cosine` and so
    on; images that settled, worst residual, passes, and what a rule had to say.
    """
    given = setting(
        dataset=dataset,
        data_dir=data_dir,
        batch=BATCH,
        depth=layers - 1,
        width=WIDTH,
        init=init,
        activation=activation,
        seed=seed,
        reads=WHOLE_IMAGE,
    )
    lessons = lessons_at(strength, noise)
    found = bench(
        given.network,
        given.inputs,
        given.targets,
        lessons,
        practice=PRACTICE,
        seed=seed,
        timed=False,
    )
    data = as_dataset(found).drop_vars("seconds_over_bp")
    settled = data["settled"].values
    some = bool(np.all(settled > 0))
    return data.assign(status="converged" if np.all(settled == 1) else PARTLY[some])


PARTLY = {True: "settled in part", False: "some rules gave nothing"}
