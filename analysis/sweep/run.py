"""Runs the cells of a study, on the cores of this machine or on a cluster, and keeps each result.

Owns who measures what, and what happens when a process dies. Does not own what a cell is and how it
is kept (`analysis.sweep.study`), the processes themselves (`analysis.sweep.cluster`), the lock of a
folder (`analysis.lock`), the limit on threads (`analysis.sweep.threads`), nor what a person sees of
it (`analysis.sweep.progress`).

A group of cells is one task of Dask. The process that runs it writes every result the moment it is
there, so whatever ends a sweep, the next `run` continues it. Every process computes with one BLAS
thread: the processes do not fight over cores, and a result is the same bit for bit whatever their
number.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from analysis import records
from analysis.lock import locked
from analysis.sweep.cluster import configured, connected, local_cluster
from analysis.sweep.kept import collect, storable, store, stored
from analysis.sweep.progress import INTERVAL, SweepProgress
from analysis.sweep.starting import require_a_script_to_itself
from analysis.sweep.study import Cell, Study
from analysis.sweep.threads import one_thread
from analysis.sweep.unfinished import forget, kept_beside
from circuit.errors import CircuitError
from circuit.storage.owner import Owner, myself, remove_leftovers

__all__ = ["Study", "collect", "local_cluster", "run"]

FAILED = "failed: "  # how the status of a cell begins that has no result
STARTS = 3  # a cell that has taken so many processes down with it is recorded as failed
PAUSE = 0.02  # seconds between two looks at what is done
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
    with locked(folder) as free:
        return _run(study, free.resolve(), workers, scheduler, quiet)


def _run(
    study: Study, folder: Path, workers: int, scheduler: str | None, quiet: bool
) -> xr.Dataset:
    """`run` in a folder that is this process's own."""
    cells_folder = records.output_folder(folder / study.name / "cells")
    known = [stored(study, cell, folder) for cell in study.cells]
    open_cells = [cell for cell, one in zip(study.cells, known, strict=True) if one is None]
    groups = study.groups(open_cells)
    progress = SweepProgress(study, open_cells, folder, quiet)
    if groups and workers == 0 and scheduler is None:
        begin_anew(study, open_cells, folder)
        for group in groups:
            run_group(replace(study, cells=group), folder, progress.update)
    elif groups:
        local = local_cluster(min(workers, len(groups)))
        with (
            local if scheduler is None else nullcontext(scheduler) as address,
            connected(address) as client,
        ):
            begin_anew(study, open_cells, folder)
            follow(client, study, groups, folder, progress)
    progress.close()
    tidy(study, folder)
    for kept in (folder, cells_folder):
        remove_leftovers(kept)
    dataset = collect(study, folder, known)
    records.write_dataset(folder / f"{study.name}.nc", dataset)
    progress.report(study, folder, dataset)
    return dataset


def forget_failed(study: Study, folder: Path) -> int:
    """Forget the results of cells that failed, so that they are measured again; returns how many.

    Raises `CircuitError` where the folder is in use.
    """
    count = 0
    with locked(folder) as free:
        for cell in study.cells:
            found = stored(study, cell, free.resolve())
            if found is not None and str(found["status"].values).startswith(FAILED):
                study.path(cell, free.resolve()).unlink(missing_ok=True)
                count += 1
    return count


def begin_anew(study: Study, cells: Iterable[Cell], folder: Path) -> None:
    """Forget which processes died of a cell in earlier runs, and what is damaged or foreign."""
    for cell in cells:
        study.path(cell, folder).unlink(missing_ok=True)
    for counts in (folder / study.name / "cells").glob("*.started"):
        counts.unlink(missing_ok=True)


def tidy(study: Study, folder: Path) -> None:
    """Take away what still stands beside a result, because its process died before it could."""
    for cell in study.cells:
        path = study.path(cell, folder)
        if path.exists():
            forget(path)
            _started(path).unlink(missing_ok=True)


def run_group(study: Study, folder: Path, done: Callable[[], object] = lambda: None) -> None:
    """Measure the cells of `study` that are not on disk, one after another, in this process.

    Parameters
    ----------
    done : called after every cell
    """
    # synchronous: in a worker xarray would open a connection to the scheduler to write a file
    with one_thread(), configured(scheduler="synchronous"):
        for cell in study.cells:
            if stored(study, cell, folder) is None:
                measure(study, cell, folder)
            done()


def measure(study: Study, cell: Cell, folder: Path) -> None:
    """Measure one cell and store its result, whatever comes of it."""
    path = study.path(cell, folder)
    started = _started(path)
    if deaths(started) >= STARTS:
        give_up(study, cell, folder)
        return
    with kept_beside(path):
        try:
            result = storable(study, study.measure(**cell))
        except (Exception, SystemExit) as error:
            result = failure(one_line(error), traceback.format_exc())
        store(study, cell, folder, result)
    started.unlink(missing_ok=True)


def deaths(started: Path) -> int:
    """How many processes have begun with a cell and are gone; this one is added to the file.

    Another may take the file away at any moment: one that still measures the cell for a sweep that
    was interrupted. Of a process of another machine it is only known that it has not ended the
    cell; nobody else would be given the cell if it lived.
    """
    me = myself()
    with started.open("a", encoding="utf-8") as file:
        file.write(f"{me.host} {me.pid}\n")
    lines: list[str] = []
    with suppress(FileNotFoundError):
        lines = started.read_text(encoding="utf-8").splitlines()
    begun = [Owner(host, int(pid)) for host, pid in map(str.split, lines)]
    return sum(not owner.lives() for owner in begun)


def _started(path: Path) -> Path:
    """Where the processes are counted that have begun with the cell kept in `path`."""
    return path.with_suffix(".started")


def give_up(study: Study, cell: Cell, folder: Path) -> None:
    """Record a cell that brings down every process that begins with it."""
    path = study.path(cell, folder)
    with kept_beside(path):
        store(study, cell, folder, failure(f"its process died {STARTS} times"))
    _started(path).unlink(missing_ok=True)


def failure(reason: str, particulars: str = "") -> xr.Dataset:
    """The result of a cell that has none."""
    return xr.Dataset({"status": f"{FAILED}{reason}"}, attrs={"traceback": particulars})


def one_line(error: BaseException) -> str:
    """An exception as its type and its message without line breaks."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def follow(
    client: Any,
    study: Study,
    groups: Sequence[tuple[Cell, ...]],
    folder: Path,
    progress: SweepProgress,
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
