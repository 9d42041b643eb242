"""What a sweep costs beyond its cells, each figure beside a plain loop measured in the same run.

    python -m benchmarks.sweeps [--quick] [--only A B C] [--output FILE.json]

Owns the command and its three sections: workers against a plain loop that calls the front door,
threads per worker, and a sweep over gamma against one settling.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import count, product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from analysis.sweep.run import Study, local_cluster, run
from analysis.sweep.study import Cell
from benchmarks.circuits import GAMMA, PATHWAYS, TOLERANCE, Problem, problem
from benchmarks.command import options, parsed, run_sections
from benchmarks.tables import Section, columns, compete, ratios
from benchmarks.timing import Turn, take_turns, timed
from circuit.equilibrium import settle
from circuit.outcome import Equilibrium


@dataclass(frozen=True)
class SweepSizes:
    """How large the circuits and the sweeps are.

    Attributes
    ----------
    networks : networks in a sweep, each a group of cells that share its factors
    gammas : feedback strengths of each network
    """

    width: int = 784
    depth: int = 5
    batch: int = 60
    networks: int = 4
    gammas: int = 10
    empty: int = 200
    sweep: int = 40
    rounds: int = 5
    limit: float = 120.0  # seconds for one sweep over gamma


QUICK = SweepSizes(width=16, depth=3, batch=4, networks=2, gammas=2, empty=4, sweep=4, rounds=1)


# --- the cells ---


@lru_cache(maxsize=1)
def _problem(width: int, depth: int, batch: int, pathway: str, seed: int) -> Problem:
    return problem(width, depth, batch, pathway, seed=seed)


def _settled(task: Problem, gamma: float) -> Equilibrium:
    """What a user does: build the circuit, run it forward, call the front door."""
    return settle(replace(task, gamma=gamma).begin(), tolerance=TOLERANCE, must_converge=False)


def settling(
    width: int, depth: int, batch: int, pathway: str, seed: int, gamma: float, threads: int | None
) -> xr.Dataset:
    """One settling, as the cell of a study.

    Parameters
    ----------
    threads : of BLAS; None leaves it to the engine
    """
    with nullcontext() if threads is None else threadpool_limits(threads):
        record = _settled(_problem(width, depth, batch, pathway, seed), gamma)
    return xr.Dataset(
        {
            "residual": ("layer", np.array(record.relative_residuals)),
            "status": record.status.value,
        },
        coords={"layer": np.arange(1, depth + 1)},
    )


def empty(number: int, turn: int) -> xr.Dataset:
    """A cell that costs nothing."""
    return xr.Dataset({"value": float(number + turn), "status": "converged"})


def settlings(sizes: SweepSizes, turn: int, threads: int | None = None) -> Study:
    """Networks times feedback strengths from 1e-4 to 0.01, where a settling is a matter of course.

    Other networks at every turn, or a process would find the factors of its last one.
    """
    cells: list[Cell] = [
        {
            "width": sizes.width,
            "depth": sizes.depth,
            "batch": sizes.batch,
            "pathway": "gait",
            "seed": seed,
            "gamma": float(gamma),
            "threads": threads,
        }
        for seed in range(turn * sizes.networks, (turn + 1) * sizes.networks)
        for gamma in np.geomspace(1e-4, 1e-2, sizes.gammas)
    ]
    return Study("settlings", tuple(cells), settling, ("seed",))


def nothings(sizes: SweepSizes, turn: int, group_by: tuple[str, ...] = ()) -> Study:
    """Cells that cost nothing, each on its own or all in one group."""
    cells = tuple({"number": number, "turn": turn} for number in range(sizes.empty))
    return Study("nothings", cells, empty, group_by)


# --- how they are run ---


def plain_loop(study: Study) -> None:
    """The cells one after another in this process by the front door; nothing is kept."""
    with threadpool_limits(1):
        for cell in study.cells:
            task = _problem(
                *(cell[name] for name in ("width", "depth", "batch", "pathway", "seed"))
            )
            _settled(task, float(cell["gamma"]))


def turns(study: Callable[[int], Study], go: Callable[[Study], object]) -> Turn:
    """A contestant that gets a new study at every turn."""
    numbers = count()

    def turn() -> float:
        return timed(partial(go, study(next(numbers))))()

    return turn


def swept(study: Study, **how: Any) -> None:
    """Run a study into a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = run(study, Path(folder), quiet=True, **how)
    if not (dataset["status"] == "converged").all():
        raise RuntimeError(f"study {study.name}: {dataset.attrs['cells']}; expected converged only")


def against_plain_loop(sizes: SweepSizes) -> Section:
    """Section A."""
    section = Section("A. The engine against a plain loop that calls the front door (below 10 %)")
    began = time.perf_counter()
    with ExitStack() as stack:
        addresses = {n: stack.enter_context(local_cluster(n)) for n in (1, 2)}
        starting = time.perf_counter() - began
        n = sizes.networks * sizes.gammas
        study = partial(settlings, sizes)
        contestants = {
            "plain loop": turns(study, plain_loop),
            "no worker": turns(study, partial(swept, workers=0)),
            "1 worker": turns(study, partial(swept, scheduler=addresses[1])),
            "2 workers": turns(study, partial(swept, scheduler=addresses[2])),
        }
        timings = take_turns(contestants, sizes.rounds)
        plain = timings["plain loop"]
        for name, timing in timings.items():
            row = {"cells": f"{n} settlings", "run by": name, **columns(timing)}
            row["cells/s"] = n / timing.median
            row |= ratios(timing, plain)
            if name in {"no worker", "1 worker"}:
                row["overhead a cell, ms"] = 1e3 * plain.median / n * (row["ratio"] - 1)
            section.rows.append(row)
        for grouping, group_by in (("each on its own", ()), ("in one group", ("turn",))):
            nothing = partial(nothings, sizes, group_by=group_by)
            timings = take_turns(
                {
                    "no worker": turns(nothing, partial(swept, workers=0)),
                    "1 worker": turns(nothing, partial(swept, scheduler=addresses[1])),
                    "2 workers": turns(nothing, partial(swept, scheduler=addresses[2])),
                },
                sizes.rounds,
            )
            for name, timing in timings.items():
                row = {"cells": f"{sizes.empty} empty, {grouping}", "run by": name}
                row |= columns(timing) | {"cells/s": sizes.empty / timing.median}
                row["overhead a cell, ms"] = 1e3 * timing.median / sizes.empty
                section.rows.append(row)
    section.remarks.append(
        f"A settling in the plain loop takes {1e3 * plain.median / n:.0f} ms "
        f"({sizes.width} units x {sizes.depth} layers, batch {sizes.batch}, "
        f"{sizes.gammas} feedback strengths a network, one BLAS thread). Workers were started "
        f"before, which took {starting:.1f} s for 1 and 2 of them together. All times are those of "
        "`run` as a whole: keys, files, Dask, and the joined result."
    )
    return section


def threads_per_worker(sizes: SweepSizes) -> Section:
    """Section B."""
    section = Section("B. Two workers: BLAS threads per worker")
    with local_cluster(2) as address:
        timings = take_turns(
            {
                threads: turns(
                    partial(settlings, sizes, threads=threads), partial(swept, scheduler=address)
                )
                for threads in (1, 2)
            },
            sizes.rounds,
        )
    n = sizes.networks * sizes.gammas
    for threads, timing in timings.items():
        row = {"workers": 2, "threads per worker": threads, **columns(timing)}
        row["cells/s"] = n / timing.median
        section.rows.append(row | ratios(timing, timings[1]))
    return section


def over_gamma(task: Problem, gammas: Sequence[float]) -> list[Equilibrium]:
    """Settle one network, whose weights nobody has factorised, at several feedback strengths."""
    trial = task.renewed().begin()
    trials = [trial.with_feedback(float(gamma)) for gamma in gammas]
    return [settle(one, tolerance=TOLERANCE, must_converge=False) for one in trials]


def gammas_against_one(sizes: SweepSizes) -> Section:
    """Section C."""
    section = Section(
        f"C. A sweep over {sizes.sweep} feedback strengths against one settling (within 25)"
    )
    for pathway, highest in product(PATHWAYS, (0.01, 0.1, 0.5)):
        task = problem(sizes.width, sizes.depth, sizes.batch, pathway)
        gammas = np.geomspace(1e-5, highest, sizes.sweep)
        contestants: dict[str, Callable[[], list[Equilibrium]]] = {
            "one": partial(over_gamma, task, [GAMMA]),
            "sweep": partial(over_gamma, task, gammas),
        }
        with threadpool_limits(1):
            timings, found = compete(contestants, sizes.rounds, sizes.limit)
        one, all_ = timings["one"], timings["sweep"]
        section.rows.append(
            {
                "pathway": pathway,
                "gamma": f"1e-5 to {highest}",
                "one settling, ms": 1e3 * one.median,
                "sweep, ms": 1e3 * all_.median,
                **ratios(all_, one),
                "equilibrium found": sum(record.converged for record in found["sweep"]),
                "of": len(gammas),
            }
        )
    section.remarks.append(
        f"{sizes.width} units x {sizes.depth} layers, batch {sizes.batch}, orthogonal, leaky-ReLU, "
        f"tolerance {TOLERANCE}, one BLAS thread. The one settling is at gamma = {GAMMA} with "
        "weights that nobody has factorised; the sweep factorises its own, once."
    )
    return section


SECTIONS = {"A": against_plain_loop, "B": threads_per_worker, "C": gammas_against_one}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    chosen = parsed(options("sweeps", __doc__, "tiny circuits", "".join(SECTIONS)), arguments)
    run_sections(SECTIONS, chosen.only, QUICK if chosen.quick else SweepSizes(), chosen.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
