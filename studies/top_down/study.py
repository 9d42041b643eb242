"""One increment at the output only: is it a circuit, and does it learn (paper section 9)?

There are two parts. "circuit": one network with a batch of images, in one pathway and reading, at
all strengths of top-down input and all nudges. All layers above the input have as many units as
there are classes, so that every output has a target; wider layers have units that nothing ties at
gamma = 1. "learning": one training run by a rule with increments at every layer or at
the output alone, with learning rate and lambda of preset quick.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from analysis.controls import CONTROLS, taught, widths_of
from analysis.sweep.study import Cell, Seeds, Study, grid, together, unmeasured
from circuit.learning.lesson import Lesson
from circuit.learning.regulariser import Regulariser
from circuit.settings.learning import Adam
from studies.setting import FIRST_PIXELS, reading, setting
from studies.top_down.circuit import find_rest, strong_circuit
from studies.top_down.measures import MEASURES, READOUTS, RULE_NAMES, cosines, measures
from studies.training_run import at_most, full_width, outcome
from training import settings as presets
from training.plan import Plan
from training.sources import OUTSIDE

VERSION = 1  # of what a result means; part of the key of every cell

STRENGTHS = {
    "replacing": (0.5, 0.75, 0.9, 0.97, 1.0),
    "added": (0.1, 0.3, 0.6, 1.0),
}
NUDGES = (0.003, 0.03, 0.3)
LOOKED_AT = 0.03  # the nudge at which other equilibria are looked for
TARGET = {"tanh": 0.8}  # of the class that is meant, else 1

CIRCUITS: dict[str, dict[str, Sequence[str | int]]] = {
    "smoke": {"depth": (1, 2), "init": ("orthogonal",)},
    "laptop": {"depth": (1, 2, 4, 9), "init": ("orthogonal", "gaussian")},
    "full": {"depth": (1, 2, 3, 4, 5, 7, 10), "init": ("orthogonal", "gaussian")},
}
GAUSSIAN_DEPTH = {"smoke": 0, "laptop": 4, "full": 10}  # hidden layers at most
SEEDS = {"smoke": (1, 2), "laptop": (1, 2, 3), "full": tuple(range(1, 11))}
BATCH = {"smoke": 2, "laptop": 4, "full": 20}
JUDGED = {"smoke": 1, "laptop": 2, "full": 6}  # images with a spectrum and a search for others

# rule, increments, gamma, activation
RUNS: tuple[tuple[str, str, float, str], ...] = (
    ("bp", "every", 1e-3, "leaky_relu"),
    ("gait", "every", 1e-3, "leaky_relu"),
    ("gait", "output", 1e-3, "leaky_relu"),
    ("gait", "output", 0.1, "leaky_relu"),
    ("itp", "every", 1e-3, "leaky_relu"),
    ("itp", "output", 1e-3, "leaky_relu"),
    ("tp", "every", 1e-3, "leaky_relu"),
    ("bp", "every", 1e-3, "asinh"),
    ("gait", "output", 1e-3, "asinh"),
    ("circuit", "every", 1e-3, "asinh"),
    ("circuit", "output", 1e-3, "asinh"),
    ("circuit", "output", 0.1, "asinh"),
    *((control, "every", 1e-3, units) for units in ("leaky_relu", "asinh") for control in CONTROLS),
)
EPOCHS = {"smoke": 2, "laptop": 15, "full": 100}
LEARNING_DEPTH = {"smoke": 2, "laptop": 3, "full": 3}
LEARNING_BATCH = 60
# learning rate and lambda; those of ITP and TP in preset quick are for one hidden layer
DEEP = {"itp": (3e-4, 1.0), "tp": (3e-4, 100.0)}


def study(
    scale: str, *, dataset: str = "digits", data_dir: str | None = None, seeds: Seeds = None
) -> Study:
    """The cells of the study at a scale: "smoke", "laptop" or "full"."""
    full_width(dataset, 2, LEARNING_DEPTH[scale], data_dir)  # or refused before anything runs
    chosen = SEEDS[scale] if seeds is None else tuple(seeds)
    common: Cell = {"dataset": dataset, "data_dir": data_dir}
    circuits = grid(
        common
        | reading(dataset)
        | {"part": "circuit", "batch": BATCH[scale], "judged": JUDGED[scale]},
        seed=chosen,
        **CIRCUITS[scale],
        activation=("asinh", "tanh") if scale != "smoke" else ("asinh",),
        reading=STRENGTHS,
        pathway=("itp", "gait"),
    )
    learning = {
        "part": "learning",
        "depth": LEARNING_DEPTH[scale],
        "init": "orthogonal",
        "pathway": "gait",
        "batch": LEARNING_BATCH,
        "epochs": EPOCHS[scale],
    }
    runs = [
        dict(zip(("rule", "increments", "gamma", "activation"), run, strict=True))
        for run in (RUNS if scale != "smoke" else (*RUNS[:3], *RUNS[-4:-2]))
    ]
    return Study(
        "top_down",
        together(
            (cell for cell in circuits if _is_measured(cell, GAUSSIAN_DEPTH[scale])),
            grid(common | learning, seed=chosen, run=runs),
        ),
        measure,
        group_by=("part", "depth", "init", "activation", "seed"),
        version=VERSION,
        outside=OUTSIDE,
    )


def _is_measured(cell: Cell, gaussian_depth: int) -> bool:
    """Whether the study has this cell of part "circuit", of those that its axes span."""
    if cell["activation"] == "tanh":
        return (cell["reading"], cell["init"]) == ("replacing", "orthogonal")
    return cell["init"] == "orthogonal" or int(cell["depth"] or 0) <= gaussian_depth


def measure(
    *,
    dataset: str,
    data_dir: str | None,
    part: str,
    depth: int,
    init: str,
    activation: str,
    pathway: str,
    reading: str | None,
    batch: int,
    judged: int | None,
    rule: str | None,
    increments: str | None,
    gamma: float | None,
    epochs: int | None,
    seed: int,
    reads: str | None = FIRST_PIXELS,
) -> xr.Dataset:
    """One cell; see the module's docstring for its two parts.

    Returns
    -------
    xr.Dataset
        Part "circuit", along (strength, nudge): `settled`, the fraction of images with an
        equilibrium, and all of `studies.top_down.measures.MEASURES`. Along (strength, nudge,
        readout, rule_of): `cosine`, of the update of layer 1 with that of the rule, and
        `cosine_worst` of all layers. NaN where there is no equilibrium, or nothing to read out.
        Part "learning": `test_accuracy` at the epoch chosen by validation, `alignment_end` with
        back-propagation in layer 1 after the last epoch, and `settled_images`, the least fraction
        of an epoch's images that settled (circuit).
        The status is "converged" or "no equilibrium: ..." (circuit), "completed" or "training
        failed: ..." (learning).
    """
    if part == "learning":
        assert rule is not None and increments is not None  # noqa: PT018
        lesson = _lesson(rule, increments, float(gamma or 0.0), pathway)
        widths, pooling = full_width(dataset, 2, depth, data_dir)
        full = tuple(map(int, widths.split("-")))
        plan = Plan(
            lesson=lesson,
            widths=widths_of(rule, full),
            activation=activation,
            seeds=(seed,),
            batch=batch,
            train_images=None if dataset == "digits" else at_most(12000, dataset, data_dir),
            measure_every=int(epochs or 0),
        )
        return _learnt(plan, int(epochs or 0), dataset, data_dir, pooling)
    scene = setting(
        dataset=dataset,
        batch=batch,
        depth=depth,
        width=10,
        reads=str(reads),
        init=init,
        activation=activation,
        seed=seed,
        data_dir=data_dir,
    )
    assert reading is not None and judged is not None  # noqa: PT018
    result = _empty(STRENGTHS[reading])
    missing, total = 0, 0
    for row, strength in enumerate(STRENGTHS[reading]):
        for column, nudge in enumerate(NUDGES):
            circuit = strong_circuit(
                scene.network,
                scene.inputs,
                TARGET.get(activation, 1.0) * scene.targets,
                pathway=pathway,
                reading=reading,
                strength=strength,
                nudge=nudge,
            )
            found = find_rest(circuit)
            missing, total = missing + int((~found.settled).sum()), total + batch
            at = {"strength": row, "nudge": column}
            result["settled"][at] = found.settled.mean()
            rng = np.random.default_rng([seed, depth]) if nudge == LOOKED_AT else None
            for name, value in measures(circuit, found, judged, rng).items():
                result[name][at] = value
            if found.settled.any():
                alignment = cosines(circuit, found)
                result["cosine"][at] = alignment[..., 0]
                result["cosine_worst"][at] = alignment.min(axis=-1)
    if missing:
        result["status"] = f"no equilibrium: {missing} of {total} images, strengths and nudges"
    return result


def _empty(strengths: Sequence[float]) -> xr.Dataset:
    coords: dict[str, Sequence[str | float]] = {
        "strength": list(strengths),
        "nudge": list(NUDGES),
        "readout": list(READOUTS),
        "rule_of": list(RULE_NAMES),
    }
    by_strength, cosine = ("strength", "nudge"), ("strength", "nudge", "readout", "rule_of")
    return unmeasured(
        coords,
        **dict.fromkeys(("settled", *MEASURES), by_strength),
        **dict.fromkeys(("cosine", "cosine_worst"), cosine),
    )


def _lesson(rule: str, increments: str, gamma: float, pathway: str) -> Lesson:
    """A step of learning with learning rate and lambda of preset quick, or of `DEEP`; of a control
    with the rate of back-propagation and no lambda.

    The circuit is read out by its mismatch where the output alone has an increment: there its gains
    are those of the rule.
    """
    lesson = taught(rule)
    values = presets.preset("quick", lesson["rule"])
    quick = (float(str(values["learning_rate"])), float(str(values["orthogonality"])))
    rate, strength = DEEP.get(rule, quick)
    return Lesson(
        **lesson,
        feedback_strength=gamma,
        increments=increments,
        pathway=pathway,
        readout="mismatch" if increments == "output" else "shift",
        adam=Adam(rate),
        pull=Regulariser(0.0 if rule in CONTROLS else strength),
    )


def _learnt(
    plan: Plan, epochs: int, dataset: str, data_dir: str | None, pooling: int
) -> xr.Dataset:
    """What a training run came to."""
    run = outcome(plan, epochs, dataset=dataset, data_dir=data_dir, pooling=pooling)
    settled = run["settled"].values[1:]
    whole = plan.lesson.learns == "all" and len(plan.widths) > 2  # else no hidden layer learns
    end = run["alignment"].values[-1, 0] if whole and "alignment" in run else np.nan
    return xr.Dataset(
        {
            "test_accuracy": float(run["test_accuracy_chosen"]),
            "alignment_end": float(end),
            "settled_images": float(np.min(settled)),
            "status": run["status"].item(),
        }
    )
