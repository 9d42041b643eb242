"""Sweeps that are killed, interrupted and resumed: the same bytes stand at the end.

The reference is always the uninterrupted plain loop.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import dask
import distributed  # noqa: F401  its defaults must be there before some are set
import numpy as np
import psutil
import pytest

from analysis.sweep.run import Study, local_cluster, run
from circuit.errors import CircuitError
from tests import toy_cells
from tests.analysis.sweep.products import HALF, SLOW, contents, done, until

ROOT = Path(__file__).parents[3]


def start(*arguments: str) -> subprocess.Popen:
    """A process of this Python in the root of the repository, in a group of its own, whose cells
    take their time.
    """
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, toy_cells.SLOWLY: "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Callable[[Study], dict[str, bytes]]:
    """The files of a study from the plain loop, in this process, where no cell takes its time."""

    @cache
    def whole_of(study: Study) -> dict[str, bytes]:
        folder = tmp_path_factory.mktemp("whole")
        run(study, folder, workers=0, quiet=True)
        return contents(folder)

    return whole_of


@pytest.mark.posix
def test_real_scheduler_loses_a_worker(tmp_path, whole):
    """`dask scheduler` and two `dask worker`s on the loopback address; one is killed half-way."""
    study, file = SLOW, tmp_path / "scheduler.json"
    local = ("--dashboard-address", "127.0.0.1:0", "--no-dashboard")
    connection = ("--scheduler-file", str(file))
    scheduler = start(
        "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", *connection, *local
    )
    worker = ("-m", "dask", "worker", "--nthreads", "1", "--no-nanny", *connection, *local)
    processes = [scheduler, start(*worker), start(*worker)]
    try:
        until(lambda: file.exists() and file.read_text().rstrip().endswith("}"))
        address = json.loads(file.read_text())["address"]
        assert address.startswith("tcp://127.0.0.1:")
        folder = tmp_path / "killed"
        killer = threading.Thread(
            target=lambda: (until(lambda: done(folder) >= 4), processes[1].kill())
        )
        killer.start()
        dataset = run(study, folder, scheduler=address, quiet=True)
        killer.join()
        assert processes[1].wait() == -signal.SIGKILL and scheduler.poll() is None
        assert dataset.attrs["cells"] == "24 converged"

        lost = tmp_path / "lost"
        killer = threading.Thread(target=lambda: (until(lambda: done(lost) >= 1), scheduler.kill()))
        killer.start()
        with pytest.raises(CircuitError, match=r"was lost; run again to go on"):
            run(HALF, lost, scheduler=address, quiet=True)
        killer.join()
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert contents(folder) == whole(study)
    run(HALF, lost, workers=0, quiet=True)
    assert contents(lost) == whole(HALF)


PROGRAM = """
import signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored if pytest runs in the background
from analysis.sweep.run import run
from tests.analysis.sweep.products import HALF
if __name__ == "__main__":
    run(HALF, Path({folder!r}), workers=2)
"""


@pytest.mark.posix
@pytest.mark.parametrize(("name", "at"), [("SIGINT", 12), ("SIGKILL", 3)])
def test_interrupted_or_killed_and_resumed(tmp_path, name, at, whole):
    """Ctrl-C or kill -9 of the main process, also while cells are measured that take minutes: no
    process is left, and what was done is kept.
    """
    number = signal.Signals[name]
    folder, program = tmp_path / "a", tmp_path / "program.py"
    program.write_text(PROGRAM.format(root=str(ROOT), folder=str(folder)))
    process = start(str(program))
    until(lambda: done(folder) >= at or process.poll() is not None)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    if number is signal.SIGINT:
        os.killpg(process.pid, number)  # to all of them, as a terminal sends it
    else:
        process.kill()
    _, words = process.communicate(timeout=60)
    assert process.returncode == -number
    if number is signal.SIGINT:
        assert words.count("Traceback") == 1
        assert words.rstrip().endswith("KeyboardInterrupt")
    psutil.wait_procs(children, timeout=10)
    assert not [child for child in children if child.is_running()]
    assert at <= done(folder) <= 12
    assert not (folder / "products.nc").exists()
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("products/cells/[!.]*.nc")}
    run(HALF, folder, workers=0, quiet=True)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert contents(folder) == whole(HALF)


@pytest.mark.parametrize("allowed", [0, 3])
def test_cell_that_kills_its_process_is_recorded_and_the_others_go_on(tmp_path, allowed):
    """Whether Dask gives its task up at once or we do first; also those after it in its group."""
    kinds = ("fine", "kill", "fine")
    cells = tuple({"what": what, "at": at, "one": None} for at, what in enumerate(kinds))
    study = Study("fragile", cells, toy_cells.fragile, ("one",))
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": allowed}),
        local_cluster(1) as address,
    ):
        dataset = run(study, tmp_path, scheduler=address, quiet=True)
    died = "failed: its process died 3 times"
    assert dataset["status"].values.tolist() == ["converged", died, "converged"]
    assert np.isnan(dataset["value"].values).tolist() == [False, True, False]
    assert not list(tmp_path.rglob("*.started"))


def test_process_dies_between_a_result_and_what_stands_beside_it(tmp_path):
    """Nobody is given a cell again that is on disk: the sweep itself tidies up, and so does the
    next one, though it has nothing to measure.
    """
    cells = tuple({"what": what, "one": None} for what in ("kill when stored", "fine"))
    study = Study("fragile", cells, toy_cells.fragile, ("one",))
    with local_cluster(1) as address:
        dataset = run(study, tmp_path, scheduler=address, quiet=True)
    assert dataset["status"].values.tolist() == ["converged", "converged"]
    expected = contents(tmp_path)
    assert len(expected) == 2 + 1

    first = study.path(cells[0], tmp_path)
    first.with_suffix(".started").write_text("elsewhere 1\n")
    first.with_suffix(".unfinished").mkdir()
    other = first.with_name("of another version.unfinished")  # its cell has no result yet
    other.mkdir()
    run(study, tmp_path, workers=0, quiet=True)
    assert contents(tmp_path) == expected
    assert not first.with_suffix(".unfinished").exists() and other.exists()
