"""How long the equilibrium takes, beside everything that it can be compared with.

`python -m benchmarks.equilibrium [--only A B C D] [--quick] [--output FILE.json]`. Owns the
sections and the printing. Every time is one of contestants that took turns in this run; what is
reported is a ratio, the median over rounds.

A  the default method against the bare algorithmic targets and the other methods
B  against diffrax, optimistix, torchdeq and Brian2 (extra `bench`)
C  against depth and batch, and peak memory
D  the main command
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import others, others_jax
from benchmarks.circuits import PATHWAYS, QUICK, TOLERANCE, Problem, Sizes, problem
from benchmarks.timing import Worker, peak_memory, take_turns, timed
from circuit.equilibrium import settle
from circuit.losses import output_error
from circuit.network import forward
from circuit.rules import RULES

Row = dict[str, Any]


def bare_targets(given: Problem, *, inverses: bool = False) -> Callable[[], object]:
    """One forward and one inverse pass: the algorithm's targets, unjudged.

    By the rule itself (LU solves), or with explicit inverses of the weights, the least that can be
    imagined.
    """
    network, rule = given.network, RULES[given.pathway]
    matrices = [factor.inverse for factor in network.factors]

    def by_rule() -> object:
        activity = forward(network, given.inputs)
        error = output_error(network, activity, given.targets)
        return rule(network, activity, error, given.gamma)

    def by_inverses() -> object:
        activity = forward(network, given.inputs)
        shift = np.zeros_like(activity.rates[-1])
        shift[:, : network.n_outputs] = output_error(network, activity, given.targets)
        for layer in range(network.depth, 1, -1):
            unit, y = network.activation(layer), activity.rates[layer]
            sent = given.gamma * shift
            if given.pathway == "gait":
                sent = sent * activity.slope(layer) ** 2
            shift = unit.inverse_difference(y, sent, 1.0) @ matrices[layer - 1].T
        return shift

    return by_inverses if inverses else by_rule


def default_method(given: Problem) -> Callable[[], object]:
    """From raw inputs to a judged record."""
    return lambda: settle(given.begin(), tolerance=TOLERANCE)


def section_a(sizes: Sizes) -> list[Row]:
    """The default method against the bare targets, three draws of weights and images."""
    rows = []
    for pathway in PATHWAYS:
        for seed in (1, 2, 3):
            given = problem(sizes.width, sizes.depth, sizes.batch, pathway, seed=seed)
            contestants = {
                "bare targets": bare_targets(given),
                "bare targets, explicit inverses": bare_targets(given, inverses=True),
                "direct": default_method(given),
            }
            if seed == 1:
                for method in ("sweep", "newton", "ode"):
                    contestants[method] = lambda m=method, p=given: settle(
                        p.begin(), m, tolerance=TOLERANCE
                    )
            turns = {name: timed(function) for name, function in contestants.items()}
            times = take_turns(turns, sizes.rounds, limit=sizes.limit)
            for name, timing in times.items():
                ratio = timing.ratio_to(times["bare targets"])
                rows.append(
                    {
                        "pathway": pathway,
                        "seed": seed,
                        "contestant": name,
                        "ms": 1e3 * timing.median,
                        "ratio to bare targets": ratio.median,
                        "quartiles": "{:.2f} to {:.2f}".format(*ratio.quartiles),
                        "worst residual": "-"
                        if "bare" in name
                        else max(contestants[name]().relative_residuals),
                    }
                )
    return rows


def section_b(sizes: Sizes) -> list[Row]:
    """Other libraries brought to the same accuracy of every layer, each in a process of its own."""
    rows = []
    for pathway in PATHWAYS:
        given = (sizes.width, sizes.depth, sizes.batch, pathway)
        one = (sizes.width, sizes.depth, 1, pathway)
        prepared: dict[str, tuple[Any, ...]] = {
            "direct": (others.prepare_settle, given),
            "diffrax Dopri5": (others_jax.prepare_diffrax, given, "constant", sizes.thorough),
            "diffrax Dopri5, adaptive": (
                others_jax.prepare_diffrax,
                given,
                "adaptive",
                sizes.thorough,
            ),
            "optimistix": (others_jax.prepare_optimistix, given, sizes.thorough),
            "torchdeq": (others.prepare_torchdeq, given, sizes.thorough),
            "Brian2, one image": (others.prepare_brian2, one, "numpy"),
        }
        workers = {name: Worker(*arguments) for name, arguments in prepared.items()}
        able = {name: w.turn for name, w in workers.items() if w.failure is None}
        times = take_turns(able, min(sizes.rounds, 5), limit=sizes.limit)
        for name, worker in workers.items():
            row: Row = {"pathway": pathway, "contestant": name}
            if worker.failure is not None:
                row |= {"ms": worker.failure}
            else:
                samples = 1 if "one image" in name else sizes.batch
                per_sample = times[name].median / samples
                row |= {
                    "ms": 1e3 * times[name].median,
                    "ratio per image": per_sample / (times["direct"].median / sizes.batch),
                    "worst residual": max(worker.facts.residuals),
                    "steps": worker.facts.steps,
                    "setting": worker.facts.setting,
                }
            rows.append(row)
            worker.stop()
    return rows


def section_c(sizes: Sizes) -> list[Row]:
    """Time against depth and batch with the exponent of its growth, and peak memory."""
    rows = []
    for pathway in PATHWAYS:
        deep = {
            depth: problem(sizes.deep_width, depth, sizes.batch, pathway).nearby()
            for depth in sizes.depths
        }
        wide = {batch: problem(sizes.width, sizes.depth, batch, pathway) for batch in sizes.batches}
        for what, problems in (("depth", deep), ("batch", wide)):
            turns = {str(key): timed(default_method(given)) for key, given in problems.items()}
            times = take_turns(turns, max(2, sizes.rounds // 3), limit=sizes.limit)
            medians = np.array([times[str(key)].median for key in problems])
            keys = np.array(list(problems), dtype=float)
            half = len(keys) // 2
            exponent = np.polyfit(np.log(keys[half:]), np.log(medians[half:]), 1)[0]
            rows.append(
                {
                    "pathway": pathway,
                    "against": what,
                    "at": ", ".join(map(str, problems)),
                    "ms": ", ".join(f"{1e3 * value:.1f}" for value in medians),
                    "exponent (upper half)": exponent,
                }
            )
        for width, depth, batch in (
            (sizes.width, sizes.depth, sizes.batch),
            (sizes.width, sizes.depth, sizes.batches[-1]),
            (sizes.deep_width, sizes.depths[-1], sizes.batch),
        ):
            peak, held = peak_memory(_settled, width, depth, batch, pathway)
            rows.append(
                {
                    "pathway": pathway,
                    "against": "peak memory",
                    "at": f"{depth} x {width}, batch {batch}",
                    "MiB": peak / 2**20,
                    "times activities and weights": peak / held,
                }
            )
    return rows


def _settled(width: int, depth: int, batch: int, pathway: str) -> int:
    """Make and settle a circuit; returns the bytes of its activities and weights."""
    given = problem(width, depth, batch, pathway)
    if depth > 50:
        given = given.nearby()
    trial = given.begin()
    settle(trial, tolerance=TOLERANCE)
    return sum(array.nbytes for array in (*trial.activity.rates, *given.network.weights))


def section_d(sizes: Sizes) -> list[Row]:
    """The main command with no arguments, and its help, in seconds."""
    command = [sys.executable, str(Path(__file__).parents[1] / "models" / "run_equilibrium.py")]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, extra in (("no arguments", ["--output", folder]), ("--help", ["--help"])):
            began = time.perf_counter()
            subprocess.run([*command, *extra], check=True, capture_output=True)
            rows.append({"command": name, "seconds": time.perf_counter() - began})
    return rows


SECTIONS: dict[str, Callable[[Sizes], list[Row]]] = {
    "A": section_a,
    "B": section_b,
    "C": section_c,
    "D": section_d,
}


def table(rows: list[Row]) -> str:
    """Rows as a Markdown table."""
    heads = list(dict.fromkeys(key for row in rows for key in row))

    def cell(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(cell(row.get(head, "")) for head in heads) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    """Run the sections that are asked for."""
    parser = argparse.ArgumentParser(description="Speed of the equilibrium, as ratios in one run.")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="tiny circuits, to see that it runs")
    parser.add_argument("--output", type=Path, help="JSON file for all figures")
    chosen = parser.parse_args()
    sizes, found = QUICK if chosen.quick else Sizes(), {}
    for name in chosen.only:
        found[name] = SECTIONS[name](sizes)
        print(f"\n{name}: {SECTIONS[name].__doc__}\n\n{table(found[name])}", flush=True)
    if chosen.output is not None:
        from analysis.records import write_json

        write_json(chosen.output, found)


if __name__ == "__main__":
    main()
