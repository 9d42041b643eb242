"""Runs the cells of a study, on the cores of this machine or on a cluster, and keeps each result.

Owns the processes, what happens when one of them dies, and the progress that a person sees. Does
not own what a cell is nor how it is kept (`analysis.cells`).

A group of cells is one task of Dask. The process that runs it writes every result the moment it is
there, so whatever ends a sweep, the next `run` continues it. Every process computes with one BLAS
thread: the processes do not fight over cores, and a result is the same bit for bit whatever their
number.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import scipy.linalg  # noqa: F401  its BLAS must be there when threads are limited
import xarray as xr

from analysis import records
from analysis.cells import MISSING, Cell, Study, collect, storable, store, stored, summary
from circuit.errors import CircuitError

__all__ = ["Study", "collect", "local_cluster", "run"]

DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"  # Ctrl-C is for `run` alone
STARTS = 3  # a cell that has taken so many processes down with it is recorded as failed
PAUSE = 0.2  # seconds between two looks at what is done
INTERVAL = 10.0  # seconds between two lines where there is no terminal
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run(
    study: Study,
    folder: Path,
    *,
    workers: int = 2,
    scheduler: str | None = None,
    quiet: bool = False,
) -> xr.Dataset:
    """Measure the cells that are not on disk yet, and write FOLDER/NAME.nc.

    Parameters
    ----------
    folder : made if need be; cells are kept in FOLDER/NAME/cells
    workers : processes on this machine; 0 for a plain loop in this one. Same results bit for bit
    scheduler
        Address of a running Dask scheduler, such as tcp://10.0.0.1:8786, used instead of `workers`.
        Its workers must share the folder and be able to import the measure. Interrupting a sweep
        does not stop the groups that such workers are already running.
    quiet : True prints nothing. Otherwise progress is reported on stderr.

    Returns
    -------
    xr.Dataset
        As `collect` gives it, and as it is in NAME.nc. A cell whose measure raised, or brought its
        process down three times, has a status that begins with "failed: ".

    Raises
    ------
    CircuitError
        If the folder cannot be written to, the scheduler cannot be reached, or workers report cells
        done that are not in the folder.
    """
    if workers < 0:
        raise CircuitError(f"workers {workers} is negative; give 0 or more")
    folder = records.output_folder(folder).resolve()
    cells_folder = records.output_folder(folder / study.name / "cells")
    for leftover in cells_folder.glob("*.started"):
        leftover.unlink(missing_ok=True)
    open_cells = [cell for cell in study.cells if stored(study, cell, folder) is None]
    for cell in open_cells:
        study.path(cell, folder).unlink(missing_ok=True)  # damaged or foreign
    groups = study.groups(open_cells)
    progress = Progress(study, [study.path(cell, folder) for cell in open_cells], quiet)
    if groups and workers == 0 and scheduler is None:
        for group in groups:
            run_group(replace(study, cells=group), folder, progress.update)
    elif groups:
        local = local_cluster(min(workers, len(groups)))
        with local if scheduler is None else nullcontext(scheduler) as address:
            run_on(address, study, groups, folder, progress)
    progress.close()
    dataset = collect(study, folder)
    records.write_dataset(folder / f"{study.name}.nc", dataset)
    if not quiet:
        report(study, folder, dataset)
    return dataset


@contextmanager
def local_cluster(workers: int) -> Iterator[str]:
    """Processes on this machine, for several `run`s one after another.

        with local_cluster(2) as address:
            run(first, folder, scheduler=address)
            run(second, folder, scheduler=address)

    They end with the block, and also when this process is killed.

    Yields
    ------
    str
        The address of the scheduler, on the loopback interface.
    """
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.scheduler.worker-saturation": 1.0,  # who waits for a worker is not sent to one
        # no worker sheds data or pauses: what a worker keeps is not Dask's and would not come back
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    with (
        one_thread_environment(),
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # where a server listens even without a dashboard
            scheduler_kwargs={"dashboard": False},
            silence_logs=100,
            preload=[DEAF],
        ) as cluster,
    ):
        yield cluster.scheduler_address


@contextmanager
def one_thread_environment() -> Iterator[None]:
    """Libraries loaded within use one thread; the environment is put back at the end."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run_group(study: Study, folder: Path, done: Callable[[], object] = lambda: None) -> None:
    """Measure the cells of `study` that are not on disk, one after another, in this process.

    Parameters
    ----------
    done : called after every cell
    """
    from threadpoolctl import threadpool_limits

    with one_thread_environment(), threadpool_limits(1):
        for cell in study.cells:
            if stored(study, cell, folder) is None:
                measure(study, cell, folder)
            done()


def measure(study: Study, cell: Cell, folder: Path) -> None:
    """Measure one cell and store its result, whatever comes of it."""
    path = study.path(cell, folder)
    started = path.with_suffix(".started")
    with started.open("ab") as file:
        file.write(b"x")
    if started.stat().st_size > STARTS:
        result = failure(f"its process died {STARTS} times")
    else:
        try:
            result = storable(study, study.measure(**cell))
        except (Exception, SystemExit) as error:
            result = failure(one_line(error), traceback.format_exc())
    store(study, cell, folder, result)
    started.unlink(missing_ok=True)


def failure(reason: str, particulars: str = "") -> xr.Dataset:
    """The result of a cell that has none."""
    return xr.Dataset({"status": f"failed: {reason}"}, attrs={"traceback": particulars})


def one_line(error: BaseException) -> str:
    """An exception as its type and its message without line breaks."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def run_on(
    address: str,
    study: Study,
    groups: Sequence[tuple[Cell, ...]],
    folder: Path,
    progress: Progress,
) -> None:
    """Run groups on the scheduler at `address`, each as one task, until all cells are on disk."""
    from distributed import Client, KilledWorker, wait

    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise CircuitError(
            f"no Dask scheduler answers at {address} ({one_line(error)}); start one with `dask "
            "scheduler`, or leave the address out to use this machine"
        ) from None
    with client, client.as_current():
        pending: dict[Any, tuple[Cell, ...]] = {}

        def submit(group: tuple[Cell, ...]) -> None:
            part = replace(study, cells=group)
            pending[client.submit(run_group, part, folder, pure=False)] = group

        for group in groups:
            submit(group)
        fruitless: dict[str, int] = {}
        while pending:
            with suppress(TimeoutError):
                wait(list(pending), timeout=PAUSE, return_when="FIRST_COMPLETED")
            progress.update()
            for future in [future for future in pending if future.done()]:
                group, trouble = pending.pop(future), future.exception()
                left = tuple(cell for cell in group if not study.path(cell, folder).exists())
                if isinstance(trouble, KilledWorker) and left:
                    first = study.key(left[0])
                    fruitless[first] = fruitless.get(first, 0) + 1
                    if fruitless[first] >= STARTS:  # they die before they begin with it
                        store(study, left[0], folder, failure(one_line(trouble)))
                        left = left[1:]
                    if left:
                        submit(left)
                elif isinstance(trouble, CircuitError):
                    raise trouble
                elif trouble is not None and left:
                    raise CircuitError(f"a worker could not run its cells ({one_line(trouble)})")
                elif left:
                    raise CircuitError(
                        f"a worker reports {len(left)} cells done that are not in {folder}; let "
                        "the workers share that folder"
                    )


@dataclass
class Progress:
    """How many cells are done, shown to a person: a bar on a terminal, else a line now and then.

    Attributes
    ----------
    waiting : the files of the cells that were open at the beginning
    """

    study: Study
    waiting: list[Path]
    quiet: bool
    began: float = field(default_factory=time.monotonic)
    said: float = field(default_factory=time.monotonic)
    bar: Any = None

    def __post_init__(self) -> None:
        total = len(self.study.cells)
        if self.quiet or not self.waiting:
            return
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=total,
                initial=total - len(self.waiting),
                desc=self.study.name,
                unit="cell",
                dynamic_ncols=True,
            )
        else:
            kept = total - len(self.waiting)
            say(f"{self.study.name}: {total} cells" + (f", {kept} of them on disk" if kept else ""))

    def update(self) -> None:
        """Look what is on disk, and tell."""
        if self.quiet or not self.waiting:
            return
        now = time.monotonic()
        if self.bar is None and now - self.said < INTERVAL:
            return
        self.said = now
        there = {entry.name for entry in os.scandir(self.waiting[0].parent)}
        new = sum(path.name in there for path in self.waiting)
        kept = len(self.study.cells) - len(self.waiting)
        if self.bar is not None:
            self.bar.update(kept + new - self.bar.n)
            return
        left = (now - self.began) * (len(self.waiting) - new) / new if new else None
        say(
            f"{self.study.name}: {kept + new} of {len(self.study.cells)} cells"
            + ("" if left is None else f", about {left:.0f} s left")
        )

    def close(self) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.update()
            self.bar.close()


def report(study: Study, folder: Path, dataset: xr.Dataset) -> None:
    """Say what became of the cells."""
    say(f"{study.name}: {dataset.attrs['cells']}; in {folder / study.name}.nc")
    statuses = dataset["status"].values.tolist()
    for word, remedy in (("failed", "remove {} to measure it again"), (MISSING, "{} is not there")):
        bad = [
            (cell, status)
            for cell, status in zip(study.cells, statuses, strict=True)
            if summary(status) == word
        ]
        for cell, status in bad[:3]:
            say(f"  {cell}: {status}; {remedy.format(study.path(cell, folder))}")
        if len(bad) > 3:
            say(f"  and {len(bad) - 3} more {word}")


def say(line: str) -> None:
    """Progress is for people and goes to stderr; results go to files."""
    print(line, file=sys.stderr, flush=True)
