"""Sweeps: whatever is killed, in whatever processes they ran, the same bytes stand at the end.

The reference is always the uninterrupted plain loop; what cells return is known in closed form or
does not matter.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dask
import distributed  # noqa: F401  its defaults must be there before some are set
import numpy as np
import psutil
import pytest
import xarray as xr
from threadpoolctl import threadpool_info, threadpool_limits

from analysis import records
from analysis.sweep import cluster
from analysis.sweep import run as sweep
from analysis.sweep.cluster import connected
from analysis.sweep.kept import stored
from analysis.sweep.progress import SweepProgress
from analysis.sweep.run import Study, collect, local_cluster, run, run_group
from circuit.errors import CircuitError
from tests import toy_cells

ROOT = Path(__file__).parents[3]
GAMMAS = (0.1, 0.2, 0.3)


def products(seeds: int, seconds: float = 0.0) -> Study:
    """Cells in groups of three, each with the same matrix; the seeds come in no order."""
    cells = tuple(
        {"seed": seed, "gamma": gamma, "seconds": seconds}
        for gamma in GAMMAS
        for seed in reversed(range(seeds))
    )
    return Study("products", cells, toy_cells.product, ("seed",))


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a sweep, byte for byte."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def until(condition, seconds: float = 60.0) -> None:
    """Wait for it."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.01)


def done(folder: Path) -> int:
    """How many cells are on disk; a name that begins with a dot is one that is being written."""
    return len(list(folder.glob("products/cells/[!.]*.nc")))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Two processes of this machine, for all tests that need some."""
    with local_cluster(2) as address:
        yield address


# ---- the same result in whatever processes ----------------------------------------------------


def test_results_are_the_same_bytes_for_any_number_of_workers(tmp_path, address):
    """And nothing of it is left in this process: neither its one thread nor its environment."""
    study = products(4)
    with threadpool_limits(2):
        before = dict(os.environ), threads()
        run(study, tmp_path / "0", workers=0, quiet=True)
        run(study, tmp_path / "1", workers=1, quiet=True)
        run(study, tmp_path / "2", scheduler=address, quiet=True)
        assert (dict(os.environ), threads()) == before
    assert (collect(study, tmp_path / "2")["threads"] == 1).all()
    expected = contents(tmp_path / "0")
    assert len(expected) == 12 + 1
    assert contents(tmp_path / "1") == expected
    assert contents(tmp_path / "2") == expected


def test_groups_in_threads_of_one_process_leave_each_other_their_one_thread(tmp_path, monkeypatch):
    """As in a worker that somebody has started with several threads."""
    monkeypatch.setenv(toy_cells.SLOWLY, "1")
    studies = [products(1, 0.05), replace(products(3, 0.05), name="longer")]
    for study in studies:
        study.path(study.cells[0], tmp_path).parent.mkdir(parents=True)
    before = max(threads().values())
    in_threads((threadpool_limits, 2))  # by a thread that ends: one that lives would keep its hold
    assert max(threads().values()) == 2
    in_threads(*((run_group, study, tmp_path) for study in studies))
    assert max(threads().values()) == 2
    in_threads((threadpool_limits, before))
    for study in studies:
        assert (collect(study, tmp_path)["threads"] == 1).all()


def in_threads(*calls: tuple) -> None:
    """Make all calls at once, and wait for them."""
    started = [threading.Thread(target=function, args=rest) for function, *rest in calls]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def test_a_hold_on_the_number_of_threads_is_not_overlooked(tmp_path):
    """Limits that another thread has set cannot be changed; the results would depend on them."""
    found = []

    def call() -> None:
        try:
            run(products(1), tmp_path, workers=0, quiet=True)
        except CircuitError as error:
            found.append(str(error))

    with threadpool_limits(2):
        in_threads((call,))
    if found:
        assert "outside its threadpool_limits" in found[0]
    else:  # threadpoolctl before 3.7 lets every thread set the number
        assert (collect(products(1), tmp_path)["threads"] == 1).all()


def threads() -> dict[str, int]:
    """Of every library that has some."""
    return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}


def test_a_group_is_run_in_its_order_by_one_process_that_keeps_its_matrix(tmp_path, address):
    log = tmp_path / "log"
    log.mkdir()
    study = products(5)
    study = replace(study, cells=tuple({**cell, "log": str(log)} for cell in study.cells))
    run(study, tmp_path, scheduler=address, quiet=True)
    calls = [path.read_text().split() for path in sorted(log.iterdir())]
    assert len({pid for pid, *_ in calls}) == 2  # both processes took part
    for seed in range(5):
        mine = [call for call in calls if int(call[1]) == seed]
        assert [float(gamma) for _, _, gamma, _ in mine] == list(GAMMAS)
        assert len({pid for pid, *_ in mine}) == 1
        hits = [int(hits) for *_, hits in mine]
        assert hits == list(range(hits[0], hits[0] + 3))  # asked for once, found twice


def test_workers_hear_no_interrupts_and_keep_their_memory(address):
    """What Dask would set for malloc made every settling of 784 units slower by four fifths."""
    with connected(address) as client:
        assert set(client.run(toy_cells.variable, "MALLOC_TRIM_THRESHOLD_").values()) == {None}
        assert set(client.run(toy_cells.variable, "OMP_NUM_THREADS").values()) == {"1"}
        assert set(client.run(signal.getsignal, signal.SIGINT).values()) == {signal.SIG_IGN}
        assert len(client.nthreads()) == 2 and set(client.nthreads().values()) == {1}


# ---- killed, interrupted, resumed -------------------------------------------------------------


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


SLOW = products(8, seconds=0.05)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """The files of `SLOW`, from the plain loop."""
    folder = tmp_path_factory.mktemp("whole")
    run(SLOW, folder, workers=0, quiet=True)
    return contents(folder)


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
            run(study, lost, scheduler=address, quiet=True)
        killer.join()
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert contents(folder) == whole
    run(study, lost, workers=0, quiet=True)
    assert contents(lost) == whole


PROGRAM = """
import signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored if pytest runs in the background
from analysis.sweep.run import run
from tests.analysis.sweep.test_sweep import SLOW
if __name__ == "__main__":
    run(SLOW, Path({folder!r}), workers=2)
"""


@pytest.mark.posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_interrupted_or_killed_and_resumed(tmp_path, name, whole):
    """Ctrl-C or kill -9 of the main process: no process is left, and what was done is kept."""
    number = signal.Signals[name]
    folder, program = tmp_path / "a", tmp_path / "program.py"
    program.write_text(PROGRAM.format(root=str(ROOT), folder=str(folder)))
    process = start(str(program))
    until(lambda: done(folder) >= 3 or process.poll() is not None)
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
    assert 3 <= done(folder) < 24
    assert not (folder / "products.nc").exists()
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("products/cells/[!.]*.nc")}
    run(SLOW, folder, workers=0, quiet=True)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert contents(folder) == whole


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


# ---- cells that go wrong, files that are not whole --------------------------------------------


def test_cells_that_raise_are_recorded(tmp_path, capsys):
    kinds = ("fine", "raise", "exit", "no status", "complex", "clash", "none")
    study = Study("fragile", tuple({"what": what} for what in kinds), toy_cells.fragile)
    dataset = run(study, tmp_path, workers=0)
    status = dict(
        zip(dataset["what"].values.tolist(), dataset["status"].values.tolist(), strict=True)
    )
    assert status["fine"] == "converged"
    assert status["raise"] == "failed: ArithmeticError: no equilibrium at all"
    assert status["exit"] == "failed: SystemExit: 3"
    assert status["no status"].startswith("failed: CircuitError: a measure returned no status")
    assert "complex128" in status["complex"]
    assert "the name of a parameter" in status["clash"]
    assert "NoneType" in status["none"]
    assert np.isnan(dataset["value"].values).tolist() == [False] + [True] * 6
    assert dataset.attrs["cells"] == "1 converged, 6 failed"
    failed = stored(study, study.cells[1], tmp_path)
    assert "fragile" in failed.attrs["traceback"]
    said = capsys.readouterr().err
    assert "{'what': 'raise'}: failed: ArithmeticError" in said
    assert "and 3 more failed" in said


def test_damaged_and_foreign_cells_are_measured_again_and_no_others(tmp_path):
    study = products(2)
    run(study, tmp_path, workers=0, quiet=True)
    expected = contents(tmp_path)
    paths = [study.path(cell, tmp_path) for cell in study.cells]
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[:-40])  # cut short
    paths[1].write_bytes(whole)  # of another cell
    paths[2].write_bytes(b"")  # what a full disk leaves
    changed = bytearray(paths[3].read_bytes())
    norm = np.array(stored(study, study.cells[3], tmp_path)["norm"].item(), dtype=">f8").tobytes()
    place = changed.index(norm)
    changed[place : place + 8] = bytes(8)  # a block that never reached the disk
    paths[3].write_bytes(bytes(changed))
    paths[4].with_suffix(".started").write_bytes(b"xxxxxxx")  # from a run that was killed
    before = [path.stat().st_mtime_ns for path in paths]
    partial = collect(study, tmp_path)
    assert partial["status"].values.tolist() == ["missing"] * 4 + ["converged"] * 2
    assert np.isnan(partial["sum"].values[:4]).all()
    run(study, tmp_path, workers=0, quiet=True)
    assert contents(tmp_path) == expected
    assert [
        a == b for a, b in zip(before, [path.stat().st_mtime_ns for path in paths], strict=True)
    ] == ([False] * 4 + [True] * 2)


def test_cells_that_vanish_are_noticed(tmp_path, monkeypatch, address):
    """As when workers do not share the folder."""
    victim = str(tmp_path / "thief" / "cells")
    cells = tuple({"order": order, "victim": victim} for order in (1, 2))
    study = Study("thief", cells, toy_cells.thief, ("victim",))
    monkeypatch.setattr(sweep, "SHARING", 0.1)
    with pytest.raises(CircuitError, match="workers report 1 cells done that are not in"):
        run(study, tmp_path, scheduler=address, quiet=True)
    shutil.rmtree(tmp_path / "thief")
    assert run(study, tmp_path, workers=0, quiet=True).attrs["cells"] == "1 converged, 1 missing"


def test_keys_depend_on_study_version_and_every_parameter():
    study = products(1)
    cell = study.cells[0]
    others = [
        replace(study, version=2).key(cell),
        replace(study, name="other").key(cell),
        *(study.key({**cell, name: 7}) for name in cell),
        study.key({**cell, "gamma": np.nextafter(0.1, 1)}),
    ]
    assert len({study.key(cell), *others}) == 1 + len(others)
    assert study.key(dict(reversed(cell.items()))) == study.key(cell)


def test_new_version_is_measured_anew_and_the_old_cells_stay(tmp_path):
    study = products(1)
    run(study, tmp_path, workers=0, quiet=True)
    assert (
        run(replace(study, version=2), tmp_path, workers=0, quiet=True).attrs["study_version"] == 2
    )
    assert done(tmp_path) == 6


# ---- collecting -------------------------------------------------------------------------------


def test_cells_of_different_sizes_are_padded(tmp_path):
    cells = (
        {"depth": 3, "rules": "GAIT TP", "flag": True},
        {"depth": 1, "rules": None, "flag": False},
        {"depth": 2, "rules": "BP", "flag": True},
    )
    study = Study("uneven", cells, toy_cells.uneven)
    dataset = run(study, tmp_path, workers=0, quiet=True)
    assert dict(dataset.sizes) == {"cell": 3, "layer": 3, "rule": 3}
    assert dataset["layer"].values.tolist() == [1, 2, 3]
    assert dataset["rule"].values.tolist() == ["GAIT", "TP", "BP"]
    nan = np.nan
    np.testing.assert_array_equal(
        dataset["value"].transpose("cell", "layer", "rule").values,
        [
            [[10, 11, nan], [20, 21, nan], [30, 31, nan]],
            [[nan, 10, nan], [nan] * 3, [nan] * 3],
            [[nan, nan, 10], [nan, nan, 20], [nan] * 3],
        ],
    )
    assert dataset["name"].values.tolist() == [["gait", "tp", ""], ["", "tp", ""], ["", "", "bp"]]
    assert dataset["holds"].values.tolist() == [1, 0, 1]
    assert dataset["big"].values.tolist() == [2**40 + 3, 2**40 + 1, 2**40 + 2]
    assert dataset["depth"].values.tolist() == [3, 1, 2] and dataset["depth"].dtype == np.int32
    assert dataset["rules"].values.tolist() == ["GAIT TP", "", "BP"]
    written = records.read_dataset(tmp_path / "uneven.nc")
    xr.testing.assert_equal(written, dataset)
    assert {**written.attrs} == dataset.attrs
    assert dataset.attrs["version_numpy"] == np.__version__


def test_labels_that_are_numbers_ascend_whatever_the_order_of_the_cells(tmp_path):
    """Cells of fewer layers come first, and one has layers that lie between those of another."""
    cells = tuple({"labels": labels} for labels in ("2 10", "9 1 3", "4"))
    dataset = run(Study("labelled", cells, toy_cells.labelled), tmp_path, workers=0, quiet=True)
    assert dataset["layer"].values.tolist() == [1, 2, 3, 4, 9, 10]
    nan = np.nan
    np.testing.assert_array_equal(
        dataset["value"].transpose("cell", "layer").values,
        [[nan, 20, nan, nan, nan, 100], [10, nan, 30, nan, 90, nan], [nan, nan, nan, 40, nan, nan]],
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1, 2), np.array([1, 2], "i4")),
        ((1, 2**40), np.array([1, 2**40], "f8")),
        ((None, 0.5), np.array([np.nan, 0.5])),
        ((None, 3), np.array([np.nan, 3.0])),
        ((None, "a"), np.array(["", "a"])),
        ((None, None), np.array(["", ""])),
        (("a", 1), np.array(["a", "1"])),
    ],
)
def test_parameters_as_coordinates(tmp_path, values, expected):
    study = Study(
        "any", tuple({"what": str(i), "x": x} for i, x in enumerate(values)), toy_cells.fragile
    )
    found = collect(study, tmp_path)[
        "x"
    ].values  # nothing is on disk: the cells are known all the same
    np.testing.assert_array_equal(found, expected)
    assert found.dtype.kind == expected.dtype.kind


# ---- what a person sees -----------------------------------------------------------------------


def test_lines_where_there_is_no_terminal(tmp_path, capsys, monkeypatch):
    study = products(2)
    run(study, tmp_path, workers=0)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "products: 6 cells",
        f"products: 6 converged; in {tmp_path / 'products.nc'}",
    ]
    clock = [100.0]
    monkeypatch.setattr("analysis.sweep.progress.time.monotonic", lambda: clock[0])
    for cell in study.cells[2:]:
        study.path(cell, tmp_path).unlink()
    progress = SweepProgress(study, list(study.cells[2:]), tmp_path, False)
    clock[0] += 5
    progress.update()
    run(study, tmp_path, workers=0, quiet=True)
    study.path(study.cells[-1], tmp_path).unlink()
    clock[0] += 7
    progress.update()  # three of four in 12 seconds
    progress.update()
    assert capsys.readouterr().err.splitlines() == [
        "products: 6 cells, 2 on disk",
        "products: 5 of 6 cells, about 4 s left",
    ]


def test_bar_on_a_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run(products(1), tmp_path, workers=0)
    said = capsys.readouterr().err
    assert "products: 100%" in said and "3/3" in said


def test_quiet_says_nothing(tmp_path, capfd, address):
    run(products(1), tmp_path, scheduler=address, quiet=True)
    assert capfd.readouterr() == ("", "")


# ---- bad input --------------------------------------------------------------------------------


def test_unreachable_scheduler(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(cluster, "ANSWER", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address in (f"tcp://127.0.0.1:{port}", "nonsense://here"):
        with pytest.raises(CircuitError, match=f"no Dask scheduler answers at {address}") as error:
            run(products(1), tmp_path, scheduler=address, quiet=True)
        assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "a/b"}, "names a folder"),
        ({"cells": ()}, "no cells"),
        ({"measure": lambda: None}, "top of a module"),
        ({"cells": ({"seed": 1}, {"seed": 1, "b": 1})}, r"\(b\)"),
        ({"cells": ({"seed": 1}, {"seed": 1})}, "twice"),
        ({"cells": ({"seed": float("nan")},)}, "neither a word"),
        ({"cells": ({"seed": np.int64(1)},)}, "neither a word"),
        ({"cells": ({"seed": 1, "status": 1},)}, "cell or status"),
        ({"group_by": ("depth",)}, "grouped by depth"),
    ],
)
def test_studies_that_cannot_be(changes, words):
    with pytest.raises(CircuitError, match=words) as error:
        replace(products(1), **changes)
    assert "\n" not in str(error.value)


def test_bad_folder_and_workers(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CircuitError, match="cannot be written to"):
        run(products(1), tmp_path / "file", workers=0, quiet=True)
    with pytest.raises(CircuitError, match="workers -1"):
        run(products(1), tmp_path, workers=-1, quiet=True)
