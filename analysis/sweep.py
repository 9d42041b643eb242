"""Runs the cells of a study, on the cores of this machine or on a cluster, and keeps each result.

Owns the processes, and what happens when one of them dies. Does not own what a cell is and how it
is kept (`analysis.cells`), the limit on threads (`analysis.threads`), nor what a person sees of it
(`analysis.progress`).

A group of cells is one task of Dask. The process that runs it writes every result the moment it is
there, so whatever ends a sweep, the next `run` continues it. Every process computes with one BLAS
thread: the processes do not fight over cores, and a result is the same bit for bit whatever their
number.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from analysis import records
from analysis.cells import Cell, Study, collect, storable, store, stored
from analysis.progress import INTERVAL, Progress
from analysis.starting import beginning, require_a_script_to_itself
from analysis.threads import environment, one_thread
from circuit.errors import CircuitError

__all__ = ["Study", "collect", "local_cluster", "run"]

# a terminal sends Ctrl-C to all processes, but it is for `run` to end the others
DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
SILENT = logging.CRITICAL + 1
STARTS = 3  # a cell that has taken so many processes down with it is recorded as failed
PAUSE = 0.02  # seconds between two looks at what is done
ANSWER = 10.0  # seconds that a scheduler may take to answer
SHARING = 60.0  # seconds after which a file must be seen here that was written elsewhere (NFS)


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
        Its workers must share the folder and be able to import the measure; start them with one
        thread each, since each runs one group at a time. Interrupting a sweep does not stop the
        groups that such workers are already running.
    quiet : True prints nothing. Otherwise progress is reported on stderr.

    Returns
    -------
    xr.Dataset
        As `collect` gives it, and as it is in NAME.nc. A cell whose measure raised, or brought its
        process down three times, has a status that begins with "failed: ".

    Raises
    ------
    CircuitError
        If the folder cannot be written to, the scheduler cannot be reached or is lost, or workers
        cannot import the measure or do not share the folder.
    """
    require_a_script_to_itself()
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
    progress = Progress(study, open_cells, folder, quiet)
    if groups and workers == 0 and scheduler is None:
        for group in groups:
            run_group(replace(study, cells=group), folder, progress.update)
    elif groups:
        local = local_cluster(min(workers, len(groups)))
        with local if scheduler is None else nullcontext(scheduler) as address:
            run_on(address, study, groups, folder, progress)
    progress.close()
    for leftover in cells_folder.glob(".*"):  # half a file, of a process that was killed
        leftover.unlink(missing_ok=True)
    dataset = collect(study, folder)
    records.write_dataset(folder / f"{study.name}.nc", dataset)
    progress.report(study, folder, dataset)
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
        # Dask's own makes malloc fetch every larger array from the system anew: 1.8 times the time
        "distributed.nanny.pre-spawn-environ": {"MALLOC_TRIM_THRESHOLD_": None},
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    with environment(), dask.config.set(settings), ExitStack() as stack:
        with interrupt_deferred(), beginning(workers):
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # a server listens even without a dashboard
                scheduler_kwargs={"dashboard": False},
                silence_logs=SILENT,
                preload=[DEAF],
            )
            stack.callback(_close, cluster)
        yield cluster.scheduler_address


def _close(cluster: Any) -> None:
    # on a busy machine workers may be slow to leave; they do so at the latest with this process,
    # and what they have measured is on disk
    with suppress(TimeoutError):
        cluster.close()


@contextmanager
def interrupt_deferred() -> Iterator[None]:
    """Ctrl-C waits for the end of the block: Dask cannot be stopped while it starts.

    Where it is ignored (as in the background of a shell script) it is ignored here too, and a
    handler that is not Python's is left alone.
    """
    elsewhere = threading.current_thread() is not threading.main_thread()
    if elsewhere or signal.getsignal(signal.SIGINT) in {signal.SIG_IGN, None}:
        yield
        return
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if seen:
            raise KeyboardInterrupt from None


@contextmanager
def silent_logs() -> Iterator[None]:
    """What goes wrong is said once, in one line, and not by Dask in fifty."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(SILENT)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def run_group(study: Study, folder: Path, done: Callable[[], object] = lambda: None) -> None:
    """Measure the cells of `study` that are not on disk, one after another, in this process.

    Parameters
    ----------
    done : called after every cell
    """
    import dask

    # synchronous: in a worker xarray would open a connection to the scheduler to write a file
    with one_thread(), dask.config.set(scheduler="synchronous"):
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
        give_up(study, cell, folder)
        return
    try:
        result = storable(study, study.measure(**cell))
    except (Exception, SystemExit) as error:
        result = failure(one_line(error), traceback.format_exc())
    store(study, cell, folder, result)
    started.unlink(missing_ok=True)


def give_up(study: Study, cell: Cell, folder: Path) -> None:
    """Record a cell that brings down every process that begins with it."""
    store(study, cell, folder, failure(f"its process died {STARTS} times"))
    study.path(cell, folder).with_suffix(".started").unlink(missing_ok=True)


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
    from distributed import CancelledError, Client

    with silent_logs():
        try:
            client = Client(address, timeout=ANSWER, set_as_default=False)
        except (OSError, ValueError) as error:
            raise CircuitError(
                f"no Dask scheduler answers at {address} ({one_line(error)}); start one with `dask "
                "scheduler`, or leave the address out to use this machine"
            ) from None
        try:
            with client, client.as_current():
                follow(client, study, groups, folder, progress)
        except CancelledError:
            raise CircuitError(
                f"the connection to the scheduler at {address} was lost; run again to go on"
            ) from None


def follow(
    client: Any,
    study: Study,
    groups: Sequence[tuple[Cell, ...]],
    folder: Path,
    progress: Progress,
) -> None:
    """Hand out the groups, and hand out again what died with its worker."""
    from distributed import CancelledError, KilledWorker, as_completed

    pending: dict[Any, tuple[Cell, ...]] = {}
    completed = as_completed()

    def submit(group: tuple[Cell, ...]) -> None:
        future = client.submit(run_group, replace(study, cells=group), folder, pure=False)
        pending[future] = group
        completed.add(future)

    for group in groups:
        submit(group)
    fruitless: Counter[str] = Counter()
    looked = time.monotonic() - INTERVAL
    while pending:
        if time.monotonic() - looked > INTERVAL:
            looked = time.monotonic()
            if not client.nthreads():
                progress.say("the scheduler has no workers; waiting for some")
        progress.update()
        if not completed.has_ready():
            time.sleep(PAUSE)
            continue
        for future in completed.next_batch():
            left = remaining(study, pending.pop(future), folder)
            trouble = None if future.status == "finished" else future.exception()
            if future.cancelled():
                raise CancelledError
            if not left:
                continue
            if isinstance(trouble, KilledWorker):
                first = study.key(left[0])
                fruitless[first] += 1
                if fruitless[first] >= STARTS:  # even if they die before they begin with it
                    give_up(study, left[0], folder)
                    left = left[1:]
                if left:
                    submit(left)
            elif isinstance(trouble, CircuitError):
                raise trouble
            elif trouble is not None:
                raise CircuitError(f"a worker could not run its cells ({one_line(trouble)})")
            else:
                await_files(study, left, folder)


def remaining(study: Study, cells: Sequence[Cell], folder: Path) -> tuple[Cell, ...]:
    """Those of `cells` that are not on disk."""
    return tuple(cell for cell in cells if not study.path(cell, folder).exists())


def await_files(study: Study, cells: Sequence[Cell], folder: Path) -> None:
    """Wait until files that another machine has written are seen here."""
    began = time.monotonic()
    while left := remaining(study, cells, folder):
        if time.monotonic() - began > SHARING:
            raise CircuitError(
                f"workers report {len(left)} cells done that are not in {folder}; let them share it"
            )
        time.sleep(PAUSE)
