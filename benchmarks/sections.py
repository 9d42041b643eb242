"""What is measured: one function per section, each of which returns a table.

Owns the comparisons A and C to E; B is in `benchmarks.rivals`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.circuits import (
    PATHWAYS,
    TOLERANCE,
    WITH_LENGTHS,
    CircuitSizes,
    Problem,
    as_state,
    problem,
    residuals,
)
from benchmarks.tables import Section, columns, compete, ratios
from benchmarks.timing import peak_memory, take_turns, timed
from circuit.equilibrium import settle
from circuit.losses import output_error
from circuit.network import forward
from circuit.numerics.arrays import rows_times
from circuit.outcome import Equilibrium
from circuit.rules import RULES
from circuit.shifts import Shifts

ROOT = Path(__file__).resolve().parents[1]
DRAWS = (
    1,
    2,
    3,
    4,
    5,
)  # how many images have a unit that crosses its kink differs from draw to draw
COMMAND = (sys.executable, str(ROOT / "models" / "run_equilibrium.py"))


# --- A: against the bare algorithmic targets (point 16) ---


def algorithmic_targets(task: Problem) -> Shifts:
    """One forward and one inverse pass, by the rule that the pathway stands for."""
    activity = forward(task.network, task.inputs)
    error = output_error(task.network, activity, task.targets)
    return RULES[task.pathway](task.network, activity, error, task.gamma)


def products_only(task: Problem) -> None:
    """The same with nothing but the matrix products, by explicit inverses: no rule can be faster.

    The units are left out, so this is a bound, and its result means nothing.
    """
    rates = task.inputs
    for weights in task.network.weights:
        rates = rows_times(rates, weights)
    for factor in task.network.factors[:0:-1]:
        rates = rows_times(rates, factor.inverse)


def settled(task: Problem, method: str = "direct", tolerance: float = TOLERANCE) -> Equilibrium:
    """From raw inputs to a judged record."""
    return settle(task.begin(), method, tolerance=tolerance, must_converge=False)


def against_targets(sizes: CircuitSizes) -> Section:
    """Section A."""
    section = Section("A. Settling against the bare algorithmic targets (point 16: within 2)")
    for pathway in WITH_LENGTHS:
        task = problem(sizes.width, sizes.depth, sizes.batch, pathway)
        contestants: dict[str, Callable[[], object]] = {
            "targets (LU)": partial(algorithmic_targets, task),
            "products of the targets, explicit inverse": partial(products_only, task),
            "direct": partial(settled, task),
            "sweep": partial(settled, task, "sweep"),
            "newton": partial(settled, task, "newton"),
            "ode": partial(settled, task, "ode"),
            "targets (LU), new weights": lambda task=task: algorithmic_targets(task.renewed()),
            "direct, new weights": lambda task=task: settled(task.renewed()),
        }
        timings, results = compete(contestants, sizes.rounds, sizes.limit / 6)
        trial = task.begin()
        for name, timing in timings.items():
            new, result = name.endswith("new weights"), results[name]
            base = timings["targets (LU), new weights" if new else "targets (LU)"]
            row = {
                "pathway": pathway,
                "contestant": name,
                **columns(timing),
                **ratios(timing, base),
            }
            row |= {"rounds": len(timing.seconds), "steps": None, "residuals": None}
            if isinstance(result, Equilibrium):
                row |= {"steps": result.steps, "residuals": list(result.relative_residuals)}
            elif isinstance(result, Shifts):
                row["residuals"] = list(residuals(trial, as_state(trial, result)))
            section.rows.append(row)
    section.rows += [_draw(sizes, pathway, seed) for pathway in WITH_LENGTHS for seed in DRAWS]
    section.remarks.append(
        "The ratio is that of the same round. Weights are factorised before the clock starts, "
        "except in the rows with new weights, where both factorise anew. The residuals of the "
        "algorithmic targets are what feedback of finite strength changes about them."
    )
    return section


def _draw(sizes: CircuitSizes, pathway: str, seed: int) -> dict[str, Any]:
    """The default method beside the targets for one draw of weights and images."""
    task = problem(sizes.width, sizes.depth, sizes.batch, pathway, seed=seed)
    contestants = {"targets": partial(algorithmic_targets, task), "direct": partial(settled, task)}
    timings, results = compete(contestants, sizes.rounds, sizes.limit / 6)
    return {
        "pathway": pathway,
        "draw": seed,
        **columns(timings["direct"]),
        **ratios(timings["direct"], timings["targets"]),
        "steps": results["direct"].steps,
        "worst residual": max(results["direct"].relative_residuals),
    }


# --- C: cost against size (point 18) ---


def against_size(sizes: CircuitSizes) -> Section:
    """Section C: time against depth and batch, and peak memory."""
    section = Section("C. Cost against depth and batch, and memory (point 18: linear, within 4)")
    for pathway in PATHWAYS:
        deep = {
            depth: problem(sizes.deep_width, depth, sizes.batch, pathway).nearby()
            for depth in sizes.depths
        }
        wide = {batch: problem(sizes.width, sizes.depth, batch, pathway) for batch in sizes.batches}
        _scaling(section, pathway, "layers", deep, sizes.rounds, sizes.depths[-4:])
        _scaling(section, pathway, "batch", wide, max(2, sizes.rounds // 2), sizes.batches[-3:])
        shapes = [
            (sizes.width, sizes.depth, sizes.batch, pathway),
            (sizes.width, sizes.depth, sizes.batches[-1], pathway),
            (sizes.deep_width, sizes.depths[-1], sizes.batch, pathway),
        ]
        section.rows += [_memory(*shape) for shape in shapes]
    section.remarks += [
        "Targets of the deep circuits lie a tenth of the output's own size away from the output: "
        "leaky units shrink activity by 0.7 a layer, and with an error of order 1 at an output of "
        "order 1e-77 the GAIT pathway has no equilibrium.",
        "Cost per layer or sample is put beside that at the largest size. The exponent is the "
        "slope of log time against log size over the sizes named. Memory is the peak that "
        "tracemalloc sees from before the network is made until the circuit has settled, over the "
        "bytes of y_0 .. y_L, W and b.",
    ]
    return section


def _scaling(
    section: Section,
    pathway: str,
    what: str,
    tasks: dict[int, Problem],
    rounds: int,
    large: tuple[int, ...],
) -> None:
    contestants = {size: partial(settled, task) for size, task in tasks.items()}
    timings, records = compete(contestants, rounds, 20.0)
    largest = large[-1]
    for size, record in records.items():
        timing = timings[size]
        ratio = timing.ratio_to(timings[largest]).median * largest / size
        section.rows.append(
            {
                "pathway": pathway,
                "size": f"{size} {what}",
                **columns(timing),
                f"ms per {'layer' if what == 'layers' else 'sample'}": 1e3 * timing.median / size,
                "of that at the largest": ratio,
                "status": str(record.status),
                "worst residual": max(record.relative_residuals),
            }
        )
    medians = [timings[size].median for size in large]
    slope = np.polyfit(np.log(large), np.log(medians), 1)[0]
    section.rows.append(
        {
            "pathway": pathway,
            "size": f"exponent over {what} {large[0]} to {large[-1]}",
            "exponent": float(slope),
        }
    )


def _memory(width: int, depth: int, batch: int, pathway: str) -> dict[str, Any]:
    peak, held = peak_memory(settled_and_held, width, depth, batch, pathway)
    bare = held["activities"] + held["weights"]
    parts = {name: count / bare for name, count in held.items()}
    parts["temporary"] = (peak - sum(held.values())) / bare
    return {
        "pathway": pathway,
        "size": f"memory of {width} x {depth} x {batch}",
        "peak MB": peak / 1e6,
        "peak over activities and weights": peak / bare,
        "parts": ", ".join(f"{name} {share:.2f}" for name, share in parts.items()),
    }


def settled_and_held(width: int, depth: int, batch: int, pathway: str) -> dict[str, int]:
    """Make a network, settle, and say how many bytes of what are then held."""
    task = problem(width, depth, batch, pathway)
    if depth > 20:
        task = task.nearby()
    record = settled(task)
    network, activity = task.network, record.trial.activity
    cached = [vars(factor) for factor in network.factors]

    def total(*arrays: Any) -> int:
        return sum(array.nbytes for array in arrays)

    return {
        "activities": total(*activity.rates),
        "weights": total(*network.weights, *network.biases),
        "drives and slopes": total(*activity.drives, *activity.slopes),
        "shifts": total(*record.shifts.values),
        "LU factors": sum(total(*c["_factors"]) for c in cached if "_factors" in c),
        "inverses": sum(total(c["inverse"]) for c in cached if "inverse" in c),
        "float32 copies": sum(total(*c["low_precision"]) for c in cached if "low_precision" in c),
    }


# --- D: the main command (point 19) ---


def main_command(sizes: CircuitSizes) -> Section:
    """Section D."""
    section = Section("D. The main command (point 19: under 15 s; --help under 0.5 s)")
    with tempfile.TemporaryDirectory() as folder:
        full = [*COMMAND, "--output", folder, "--quiet"]
        if not sizes.thorough:
            full += ["--no-brian2", "--no-figures", "--batch", "4"]
        contestants = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "--help": [*COMMAND, "--help"],
            "no arguments": full,
        }
        turns = {name: timed(partial(_call, words)) for name, words in contestants.items()}
        timings = take_turns(turns, sizes.rounds // 5 + 1)
    for name, timing in timings.items():
        bound = {"--help": 0.5, "no arguments": 15.0}.get(name)
        row = {"command": name, **columns(timing), **ratios(timing, timings["python -c pass"])}
        section.rows.append(row | {"of the bound": timing.median / bound if bound else None})
    section.remarks.append("The ratio is to an interpreter that does nothing.")
    return section


def _call(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)} failed: {done.stderr.strip()[-300:]}")


# --- E: which method for which strength of feedback ---


def against_feedback(sizes: CircuitSizes) -> Section:
    """Section E."""
    section = Section(f"E. Methods against gamma: asinh, {sizes.deep_width} units")
    methods = ("direct", "sweep", "newton", "ode")
    for pathway in PATHWAYS:
        for gamma in sizes.gammas:
            task = problem(
                sizes.deep_width, sizes.depth, sizes.batch, pathway, gamma=gamma, activation="asinh"
            )
            contestants = {method: partial(settled, task, method) for method in methods}
            timings, records = compete(contestants, max(1, sizes.rounds // 3), sizes.limit / 12)
            for method in methods:
                record, timing = records[method], timings[method]
                section.rows.append(
                    {
                        "pathway": pathway,
                        "gamma": gamma,
                        "method": method,
                        **columns(timing),
                        "over direct": timing.ratio_to(timings["direct"]).median,
                        "steps": record.steps,
                        "evaluations": record.evaluations,
                        "status": str(record.status),
                        "worst residual": max(record.relative_residuals),
                    }
                )
    return section
