"""Sweeps: the same bytes in whatever processes, what a person sees, and bad input.

The reference is always the uninterrupted plain loop; what cells return is known in closed form or
does not matter.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from analysis.sweep import cluster
from analysis.sweep import run as sweep
from analysis.sweep.cluster import connected
from analysis.sweep.progress import SweepProgress
from analysis.sweep.run import Study, collect, run, run_group
from circuit.errors import CircuitError
from tests import toy_cells
from tests.analysis.sweep.products import GAMMAS, contents, done, products

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
