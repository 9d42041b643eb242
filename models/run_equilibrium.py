"""Settle a circuit on real images and see whether its equilibrium carries the targets of GAIT-prop.

The main command. Owns the way from options to a table, a verdict, figures and files. Exit status: 0
if the circuit settled and its update is the one that its pathway stands for, within a bound that is
stated; 1 if not; 2 for bad input; 3 if it settled but the bound decides nothing; 130 if
interrupted.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in {None, ""}:  # run as a file, from any folder, installed or not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from models.command.equilibrium_options import PROGRAM, make_trial, options, refuse_what_idles_here
from models.command.parsing import fail, parse, plain, refuse_idle
from models.command.shared import one_line, refuse_what_idles, take_own_images
from models.command.words import speaking

if TYPE_CHECKING:
    import xarray as xr

    from analysis.canvas import Drawings
    from circuit.outcome import Equilibrium
    from models.command.equilibrium_in_time import Simulated


PICTURES = ("settling", "updates", "agreement", "shifts")  # known without matplotlib
RARELY = 200_000, 20, 20  # objects, rounds: among modules that are being loaded is no garbage
UNTIMED = ("updates", "agreement")  # of them, those that show nothing of a simulation in time


@speaking(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    began = time.perf_counter()
    chosen = parse(options(), arguments)
    take_own_images(PROGRAM, chosen)
    refuse_what_idles(PROGRAM, chosen, [chosen.dataset])
    refuse_what_idles_here(chosen)
    if chosen.no_brian2:
        refuse_idle(PROGRAM, chosen, {"brian2_images"}, "--no-brian2")
    elif "brian2_images" in chosen.given and chosen.brian2_images > chosen.batch:
        words = f"more than the batch of {chosen.batch}; give {chosen.batch} or less"
        fail(PROGRAM, f"--brian2-images {chosen.brian2_images} is {words}")

    def work() -> int:
        with ExitStack() as leaving:
            return run(chosen, began, leaving, is_program=arguments is None)

    return one_line(PROGRAM, work)


def run(chosen: argparse.Namespace, began: float, leaving: ExitStack, *, is_program: bool) -> int:
    """Everything between the options and the exit status.

    A program settles and draws while Brian2 is loaded and runs in a process beside it; called by
    another, it has one process.
    """
    from models.command.beside import Beside, can_be_beside

    seconds = {"start": time.perf_counter() - began}
    if is_program:
        _do_without("dask")  # xarray asks every value whether it is one of Dask's
        gc.set_threshold(*RARELY)
    other: Beside[Simulated] | None = None
    if is_program and not chosen.no_brian2 and can_be_beside():
        other = leaving.enter_context(Beside(_simulated, _load_brian2))
    import numpy as np

    from analysis.lock import locked
    from circuit.storage.owner import remove_leftovers
    from models.command.equilibrium_summary import brian2_words, description, summarise

    say = (lambda *_, **__: None) if chosen.quiet else print
    folder = leaving.enter_context(locked(chosen.output))
    images_rng, weights_rng, synapses_rng = np.random.default_rng(chosen.seed).spawn(3)

    clock = time.perf_counter()
    trial, data = make_trial(chosen, images_rng, weights_rng)
    remove_leftovers(folder)
    seconds["load"] = time.perf_counter() - clock
    say(description(chosen, trial, data.name), flush=True)  # what follows takes a second to load
    if data.remark:
        say(data.remark, flush=True)

    from analysis import pictures, records
    from circuit.equilibrium import settle
    from circuit.methods.table import DEFAULT, default_method
    from circuit.report.comparison import report
    from circuit.report.labelled import as_dataset
    from circuit.report.tables import tables, wrapped
    from models.command.equilibrium_in_time import InTime, in_time

    record = settle(
        trial, chosen.method or DEFAULT, tolerance=chosen.tolerance, must_converge=False
    )
    chosen.method = chosen.method or default_method(trial.circuit)
    seconds["settle"] = record.seconds
    say(
        f"{record.method}: {record.status.value} in {record.seconds:.3f} s "
        f"({record.steps} steps, {record.evaluations} passes over the layers)"
    )
    found = report(record, chosen.readout)
    dataset = as_dataset(found, synapses_rng)
    dataset["label"] = ("sample", data.labels.astype("i4"))

    dataset.attrs |= {"seed": chosen.seed, "config": str(plain(chosen))}
    dataset.attrs |= {f"version_{name}": number for name, number in records.versions().items()}

    def keep(simulated: InTime) -> tuple[xr.Dataset, str]:
        """Write what is found; returns it with the verdict."""
        verdict = found.verdict + brian2_words(simulated.comparison)
        data = dataset
        if simulated.course is not None:
            course = simulated.course.labelled()
            data = dataset.merge(course, combine_attrs="no_conflicts")
        data = data.assign_attrs(verdict=verdict)
        records.write_dataset(folder / "equilibrium.nc", data)
        seconds["total"] = time.perf_counter() - began
        summary = summarise(chosen, found, simulated, verdict, seconds)
        records.write_json(folder / "summary.json", summary)
        return data, verdict

    gone = pictures.put_away(folder, PICTURES)
    done: set[str] = set()
    drawn: list[Path] = []

    def draw(names: Collection[str], data: xr.Dataset, gone: Iterable[Path] = ()) -> None:
        """Draw the pictures of these names."""
        wanted = partial(_drawings, names)
        found = pictures.draw(PROGRAM, wanted, data, folder, pdf=chosen.pdf, gone=gone)
        done.update(names)
        drawn.extend(found.files)

    beside: Callable[[Equilibrium, int], Simulated] | None = None
    if record.converged:
        first, _ = keep(InTime())  # what follows in time may take minutes, and be stopped
        if other is not None and not chosen.no_brian2:
            meanwhile = int if chosen.no_figures else partial(draw, UNTIMED, first)
            beside = partial(other.do, meanwhile=meanwhile)
    simulated = in_time(chosen, record, say, beside)
    if simulated.n_images:
        seconds["brian2"] = simulated.seconds
    dataset, verdict = keep(simulated)

    say("", tables(found, simulated.comparison), "", sep="\n")
    for remark in found.remarks:
        say(wrapped(remark))
    print(wrapped(verdict))
    if chosen.no_figures:
        pictures.tell(PROGRAM, gone)
    else:
        late = [name for name in PICTURES if name not in done]
        draw(late, dataset, [path for path in gone if path not in drawn])
    say(f"Written to {folder} in {time.perf_counter() - began:.1f} s in all.")
    return int(found.outcome.value)


def _load_brian2() -> None:
    """In a process where nobody plots: without pylab, whose every name it would take, Brian2 loads
    in six tenths of the time.
    """
    _do_without("pylab")
    import circuit.brian

    circuit.brian.build, circuit.brian.run_phases  # noqa: B018  the face is lazy


def _do_without(module: str) -> None:
    """Have it count as not installed in this process, where it would be loaded for nothing."""
    unavailable: Any = None  # so Python's import reads it
    sys.modules.setdefault(module, unavailable)


def _simulated(record: Equilibrium, n_images: int) -> Simulated:
    from models.command.equilibrium_in_time import timed

    return timed(record, n_images)


def _drawings(names: Collection[str]) -> Drawings:
    from analysis.equilibrium.figures import EQUILIBRIUM

    return {name: drawing for name, drawing in EQUILIBRIUM.items() if name in names}


if __name__ == "__main__":
    status = main()
    gc.freeze()  # the end of the process is no time to look through all modules either
    sys.exit(status)
