"""How long a step of learning takes by every rule, over one of back-propagation in the same run.

    python -m benchmarks.bench [--only A B] [--quick] [--data-dir DIR] [--output FILE.json]

A: steps of learning by the rules that settle, at the accuracies of docs/numerics.md. B: predictive
coding and equilibrium propagation beside PyTorch, as their authors compute them, to one error of
the weight change. Owns the command, its contestants, and section A (B: `benchmarks.literal_rules`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from benchmarks.command import options, parsed, run_sections
from benchmarks.literal_rules import beside_pytorch
from benchmarks.tables import Section, columns, ratios
from benchmarks.timing import RoundTimes, beside_each_other
from benchmarks.training import (
    QUICK,
    Contestant,
    TrainingSizes,
    batches,
    images,
    prepare_own,
    weights_and_biases,
)
from circuit.learning.lesson import Lesson
from circuit.learning.step import begin_learning
from circuit.learning.taught import teach
from circuit.network import forward
from circuit.peers.table import TABLE
from training.images import DATA_DIR_VARIABLE, ImageError

SIZES = TrainingSizes(steps=5, before=15, rounds=8)
KINKED, SMOOTH = "leaky_relu", "tanh"


def _contestant(rule: str, activation: str, precision: str = "float32", **own: Any) -> Contestant:
    line = TABLE[rule]
    lesson = Lesson(rule) if line.is_paper else Lesson(rule, settings=line.settings()(**own))
    return Contestant(lesson, activation=activation, precision=precision)


# name -> it, and what was asked of its ratio
CONTESTANTS: dict[str, tuple[Contestant, float | None]] = {
    **{
        f"bp, {unit}, {precision}": (_contestant("bp", unit, precision), None)
        for unit in (KINKED, SMOOTH)
        for precision in ("float32", "float64")
    },
    "circuit, leaky_relu": (_contestant("circuit", KINKED), 2.0),
    "dual, leaky_relu": (_contestant("dual", KINKED), 2.0),
    "dual, tanh": (_contestant("dual", SMOOTH), 2.0),
    "dfc, leaky_relu": (_contestant("dfc", KINKED, stability=False), 3.0),
    "dfc, tanh": (_contestant("dfc", SMOOTH, stability=False), 3.0),
    "pc, tanh": (_contestant("pc", SMOOTH), 8.0),
    "pc to 1e-6, tanh, float64": (_contestant("pc", SMOOTH, "float64", tolerance=1e-6), 8.0),
    "chl, leaky_relu": (_contestant("chl", KINKED), 4.0),
    "chl to 1e-10, leaky_relu, float64": (_contestant("chl", KINKED, "float64"), 4.0),
    "chl to 1e-10, tanh, float64": (_contestant("chl", SMOOTH, "float64"), 4.0),
}


def base_of(contestant: Contestant) -> str:
    """The step of back-propagation that one is held against: of the same units and precision."""
    return f"bp, {contestant.activation}, {contestant.precision}"


def prepare(sizes: TrainingSizes, contestant: Contestant) -> tuple[Callable[[], object], Any]:
    """A turn of steps; and of the first batch how many images settle, the worst residual, and the
    passes over the layers. In a process of its own.
    """
    looks = contestant.activation, contestant.precision
    network, lesson = weights_and_biases(sizes, 1, *looks), contestant.lesson
    inputs, targets = (
        np.asarray(one, dtype=contestant.precision)
        for one in batches(sizes, 1, network.n_outputs)()
    )
    learner = begin_learning(network, lesson, np.array(0))
    rest = teach(network, lesson, forward(network, inputs), targets, learner.companions).rest
    facts = {}
    if rest is not None:
        facts["settled"] = float(rest.converged.mean())
        facts["worst residual"] = float(rest.residuals.max())
        facts["passes"] = rest.passes
    return prepare_own(sizes, contestant)[0], facts


def steps_of_learning(sizes: TrainingSizes) -> Section:
    """Section A."""
    section = Section("A. A step of learning by every rule that settles")
    timings, facts = beside_each_other(
        {name: (prepare, sizes, contestant) for name, (contestant, _) in CONTESTANTS.items()},
        sizes.rounds,
    )
    for name, timing in timings.items():
        contestant, asked = CONTESTANTS[name]
        step = RoundTimes(tuple(seconds / sizes.steps for seconds in timing.seconds))
        base = timings[base_of(contestant)].seconds
        over = ratios(step, RoundTimes(tuple(seconds / sizes.steps for seconds in base)))
        row = {"a step of": name, **columns(step), "over": base_of(contestant), **over}
        section.rows.append({**row, "asked": asked, **facts[name]})
    source = "made-up images" if sizes.data_dir is None else "MNIST"
    section.remarks.append(
        f"{sizes.width} units x {sizes.depth} layers, batch {sizes.batch}, {source}, 10 outputs; "
        f"BLAS: {blas()}. A turn is {sizes.steps} steps in a row, after {sizes.before} that do not "
        "count. Settled, residual and passes are those of the first batch."
    )
    return section


def blas() -> str:
    """The kernels and threads that NumPy and SciPy multiply with."""
    return ", ".join(
        f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')} "
        f"({pool['num_threads']} threads)"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    )


SECTIONS = {"A": steps_of_learning, "B": beside_pytorch}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = options("bench", __doc__, "a tiny network", "AB")
    parser.add_argument(
        "--data-dir",
        type=Path,
        help=f"folder with mnist.npz; made-up images without it, whatever {DATA_DIR_VARIABLE} says",
    )
    chosen = parsed(parser, arguments)
    sizes = replace(QUICK, steps=2) if chosen.quick else replace(SIZES, data_dir=chosen.data_dir)
    if sizes.data_dir is not None:
        try:
            images(sizes)
        except ImageError as error:
            parser.error(str(error))
    run_sections(SECTIONS, chosen.only, sizes, chosen.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
