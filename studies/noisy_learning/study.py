"""Learning with noise: circuits whose synapses read every rate with noise, beside controls.

A cell is one way of learning at one noise: a stack of networks, one a seed, that learn at every
learning rate of the grid. The rate is chosen by the validation images, all seeds together; what is
told is the accuracy on the test images, at the end, of the runs with that rate. So every way of
learning has the same number of steps and its own learning rate. Beside it stands what theory
predicts of the untrained networks (`studies.noisy_learning.theory`).

The images are brightened fourfold, so that asinh units bend: with those of [0, 1] such networks
hardly do better than without a hidden layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import xarray as xr

from analysis.sweep.study import Cell, Seeds, Study, grid
from circuit.errors import CircuitError
from circuit.learning.lesson import Lesson
from circuit.network import Network, forward
from circuit.numerics.arrays import to_numpy
from circuit.peers.table import register
from circuit.settings.learning import Adam
from studies.noisy_learning.reading import (
    BP,
    GAIT,
    GRAIT,
    RULE,
    TRANSPOSED,
    NoisySettings,
)
from studies.noisy_learning.theory import prospect
from studies.training_run import COMPLETED, at_most, classes_of, pixels_of, pooled_images, trained
from training.images import Images
from training.plan import Material, Plan, initial_network, prepare, taken
from training.sources import OUTSIDE

VERSION = 1  # of what a result means; part of the key of every cell

BRIGHTNESS = 4.0
PROBE = 400  # images of which the prediction is made
TESTED = 2000  # test images at most
NAMES = ("validation_accuracy", "test_accuracy", "settled")  # of a run, after its last epoch
MOMENTS = ("before", "after")
WHOLE, TOP = "all", "output"  # layers that learn


@dataclass(frozen=True)
class NoisyScale:
    """What is measured at a scale.

    Attributes
    ----------
    dataset : None for the one that was asked for
    width : units of the layers 1 .. L
    train_images, epochs, batch : of the middle of all axes
    rates : learning rates
    depths : hidden layers; the first is that of all other axes
    gammas : of all layers
    graded : of the output and of the layers below; the first stands for them elsewhere
    noises : s; there is `MIDDLE` among them
    batches, all_epochs : beside `batch` and `epochs`
    """

    dataset: str | None
    width: int
    train_images: int
    epochs: int
    batch: int
    rates: tuple[float, ...]
    depths: tuple[int, ...]
    gammas: tuple[float, ...]
    noises: tuple[float, ...]
    graded: tuple[tuple[float, float], ...]
    batches: tuple[int, ...]
    all_epochs: tuple[int, ...]
    seeds: tuple[int, ...]


SCALES = {
    "smoke": NoisyScale(
        None, 16, 300, 1, 30, (3e-3, 1e-2), (1, 2), (0.03, 0.3), (0.0, 1e-2), ((0.05, 0.4),),
        (90,), (2,), (1, 2),
    ),
    "laptop": NoisyScale(
        "mnist", 32, 2000, 3, 50, (1e-3, 3e-3, 1e-2), (3, 1, 5),
        (0.01, 0.03, 0.1, 0.2, 0.3, 0.4), (0.0, 1e-4, 1e-3, 1e-2, 0.1),
        ((0.2, 0.5), (0.05, 0.5), (0.05, 0.3), (0.3, 0.4)), (200,), (1, 9), (1, 2, 3, 4, 5),
    ),
    "full": NoisyScale(
        "mnist", 64, 10000, 10, 50, (3e-4, 1e-3, 3e-3, 1e-2), (3, 1, 2, 5, 8),
        (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5),
        (0.0, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1),
        ((0.2, 0.5), (0.05, 0.5), (0.05, 0.3), (0.3, 0.4)), (25, 200), (1, 40), tuple(range(1, 9)),
    ),
}  # fmt: skip
MIDDLE = 1e-2  # the noise at which other things than gamma are varied


def datasets_of(scale: str, dataset: str) -> tuple[str, ...]:
    """Above smoke MNIST, pooled to 14 x 14, and for a few cells beside it digits, unless another
    data set than digits is asked for.
    """
    first = SCALES[scale].dataset if dataset == "digits" else None
    return (dataset,) if first is None else (first, "digits")


def study(
    scale: str, *, dataset: str = "digits", data_dir: str | None = None, seeds: Seeds = None
) -> Study:
    """The cells of the study at a scale: "smoke", "laptop" or "full".

    Raises `CircuitError` for more classes than a layer has units.
    """
    size = SCALES[scale]
    main, *both = datasets_of(scale, dataset)
    classes = classes_of(main, data_dir)
    if classes > size.width:
        raise CircuitError(
            f"noisy_learning has layers of {size.width} units at scale {scale}, and none for each "
            f"of {classes} classes; use images of fewer classes, or a larger scale"
        )
    first, *others = size.depths
    common: Cell = {
        "data_dir": data_dir,
        "width": size.width,
        "rates": " ".join(f"{rate:g}" for rate in size.rates),
        "seeds": " ".join(map(str, size.seeds if seeds is None else seeds)),
    }
    wanted = at_most(size.train_images, main, data_dir)
    images = {"dataset": main, "train_images": wanted, "epochs": size.epochs}
    usual = common | images | {"batch": size.batch}

    def cells(of: Cell, noises: Sequence[float], ways: Sequence[Cell]) -> list[Cell]:
        return grid(usual | of, way=ways, noise=noises)

    weak = [_circuit(gamma) for gamma in size.gammas]
    graded = [_circuit(top, below) for top, below in size.graded]
    best = graded[0]
    some = [*weak[1::2], best]  # for what is varied beside gamma
    changes: list[Cell] = [{"way": GRAIT}, {"way": TRANSPOSED}, {"readout": "shift"}]
    ways = [one | change for one in (weak[-2], best) for change in changes]
    here: Cell = {"depth": first}
    quiet, middle = [0.0], [MIDDLE]
    found = [
        *cells({"depth": 0}, size.noises, [_bp()]),
        *cells(here, quiet, [_bp(TOP)]),
        *cells(here, size.noises, [_bp()]),
        *cells(here, middle, [*graded, *reversed(weak)]),
    ]
    for depth in others:
        of: Cell = {"depth": depth}
        found += cells(of, [*quiet, *middle], [_bp()]) + cells(of, quiet, [_bp(TOP)])
        found += cells(of, middle, [*graded[:2], *reversed(weak[1::2])])
    for noise in reversed(size.noises):
        if noise != MIDDLE:
            found += cells(here, [noise], [best, *(weak[2:] if noise > MIDDLE else weak[::2])])
    found += cells(here, middle, ways)
    varied: list[Cell] = [{"epochs": n} for n in size.all_epochs]
    varied += [{"batch": n} for n in size.batches]
    for change in varied:
        found += cells(change | {"depth": 0}, quiet, [_bp()])
        found += cells(here | change, quiet, [_bp(), _bp(TOP)])
        found += cells(here | change, middle, some)
    if both:
        digits: Cell = {"dataset": "digits", "train_images": 1437, "epochs": 5}
        found += cells(digits | {"depth": 0}, quiet, [_bp()])
        found += cells(digits | here, quiet, [_bp(), _bp(TOP)])
        found += cells(digits | here, [1e-4, MIDDLE], [_bp(), _circuit(1e-3), weak[-2]])
    return Study("noisy_learning", tuple(found), measure, version=VERSION, outside=OUTSIDE)


def _bp(layers: str = WHOLE) -> Cell:
    return {"way": BP, "gamma": None, "below": None, "readout": None, "layers": layers}


def _circuit(gamma: float, below: float | None = None) -> Cell:
    return {
        "way": GAIT, "gamma": gamma, "below": below, "readout": "mismatch", "layers": WHOLE
    }  # fmt: skip


def measure(
    *,
    dataset: str,
    data_dir: str | None,
    width: int,
    depth: int,
    train_images: int,
    epochs: int,
    batch: int,
    rates: str,
    seeds: str,
    way: str,
    gamma: float | None,
    below: float | None,
    readout: str | None,
    layers: str,
    noise: float,
) -> xr.Dataset:
    """One cell: a stack of networks at every learning rate.

    Parameters
    ----------
    depth : hidden layers, of asinh units; the output is linear
    rates, seeds : with blanks between
    way : "bp", or the circuit with pathway "gait" or "grait", or "transposed": GAIT's, through W^T
    gamma, below : of the output and of the layers below; of all where `below` is None
    layers : that learn: "all", or "output" where hidden ones are frozen
    noise : s, of a rate that is read, after averaging; see `studies.noisy_learning.reading`

    Returns
    -------
    xr.Dataset
        Along (rate, seed): `validation_accuracy`, `test_accuracy`, and `settled`, the fraction of
        images that settled, NaN for what is no circuit; all of the last epoch. Along (moment, seed,
        layer): `along`, `size`, `noise_size` of the `Prospect` of the networks "before" they learn,
        and "after" back-propagation without noise has taught them as long, at the middle learning
        rate; NaN where it came to no end. `images`, that each network is shown; along (moment,):
        `output_error` and `rate_size`, root mean squares.
        The status is "completed", or "training failed: ..." where a stack did at some rate, whose
        accuracies are then NaN.
    """
    settings = NoisySettings(way, gamma, below, readout, noise)
    each, chosen = [float(one) for one in rates.split()], tuple(map(int, seeds.split()))
    lesson = partial(Lesson, RULE.name, settings=settings, learns=layers)
    pixels, pooling = pixels_of(dataset, 2, data_dir)
    plan = Plan(
        Lesson("bp"),
        (pixels, *[width] * (depth + 1)),
        activation="asinh",
        output_activation="linear",
        auxiliary=True,
        seeds=chosen,
        batch=batch,
        train_images=train_images,
        measure_every=0,
    )
    learnt, tested = map(_brightened, pooled_images(dataset, data_dir, pooling))
    material = prepare(plan, learnt, _first(tested, TESTED))
    with register(RULE):
        runs = [_run(plan, material, lesson, epochs, rate) for rate in each]
        quiet = replace(plan, lesson=Lesson("bp", adam=Adam(each[len(each) // 2])))
        after, ended = trained(quiet, material, epochs)
    untaught = initial_network(plan, material.targets.shape[1])
    moments = [_prospect(plan, material, settings, untaught)]
    if after is not None and ended == COMPLETED:
        moments.append(_prospect(plan, material, settings, after.learner.network))
    else:
        moments.append({name: np.full_like(one, np.nan) for name, one in moments[0].items()})
    failed = [status for _, status in runs if status != COMPLETED]
    return xr.Dataset(
        {name: (("rate", "seed"), np.stack([run[name] for run, _ in runs])) for name in NAMES}
        | {
            name: (dims, np.stack([one[name] for one in moments]))
            for names, dims in (
                (("along", "size", "noise_size"), ("moment", "seed", "layer")),
                (("output_error", "rate_size"), ("moment",)),
            )
            for name in names
        }
        | {
            "images": material.learning.shape[1] * epochs,
            "status": failed[0] if failed else COMPLETED,
        },
        coords={
            "rate": each,
            "seed": list(chosen),
            "layer": list(range(1, depth + 2)),
            "moment": list(MOMENTS),
        },
    )


def _run(
    plan: Plan, material: Material, lesson: Callable[..., Lesson], epochs: int, rate: float
) -> tuple[dict[str, np.ndarray], str]:
    """What the last epoch came to, (seeds,) each, and the status."""
    plan = replace(plan, lesson=lesson(adam=Adam(rate)))
    state, status = trained(plan, material, epochs)
    missing = np.full(len(plan.seeds), np.nan)
    if state is None or status != COMPLETED:
        return dict.fromkeys(NAMES, missing), status
    last = {name: np.asarray(state.history[name][-1], dtype=float) for name in NAMES}
    if isinstance(plan.lesson.settings, NoisySettings) and plan.lesson.settings.way == BP:
        last["settled"] = missing
    return last, status


def _prospect(
    plan: Plan, material: Material, settings: NoisySettings, network: Network
) -> dict[str, np.ndarray | float]:
    """What is predicted of these networks, and how large their errors and rates are."""
    rows = material.learning[:, :: max(1, material.learning.shape[1] // PROBE)]
    inputs, targets = taken(plan, material.inputs, rows), taken(plan, material.targets, rows)
    activity, keys = forward(network, inputs), np.array(plan.seeds)
    found = prospect(network, activity, targets, settings, keys if plan.stacked else keys[0])
    error = to_numpy(targets) - to_numpy(activity.rates[-1])[..., : network.n_outputs]
    shape = (len(plan.seeds), network.depth)
    return {
        "along": found.along.reshape(shape),
        "size": found.size.reshape(shape),
        "noise_size": found.noise.reshape(shape),
        "output_error": float(np.sqrt(np.mean(error**2))),
        "rate_size": float(np.sqrt(np.mean(to_numpy(activity.rates[1]) ** 2))),
    }


def _first(data: Images, count: int) -> Images:
    return replace(data, inputs=data.inputs[:count], labels=data.labels[:count])


def _brightened(data: Images) -> Images:
    return replace(data, inputs=data.inputs * np.float32(BRIGHTNESS))
