"""Work in a process beside: that both go on at once, and whatever becomes of either."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from circuit.errors import NotFinite
from models.command.beside import Beside, can_be_beside
from models.run_equilibrium import main

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--batch", "3", "--depth", "1", "--brian2-images", "1", "--gamma", "0.05"]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes do not copy themselves")


def beside(work: Callable[[], Any], meanwhile: Callable[[], object]) -> Any:
    with Beside(work) as other:
        return other.do(meanwhile=meanwhile)


needs_two = pytest.mark.skipif(not can_be_beside(), reason="a single processor")


def test_each_waits_for_the_other() -> None:
    """Which neither could if one came after the other; and they are two processes."""
    context = get_context("fork")
    mine, theirs, done = context.Event(), context.Event(), []

    def work() -> tuple[int, np.ndarray]:
        assert mine.wait(20)
        theirs.set()
        return os.getpid(), np.arange(3)

    def meanwhile() -> None:
        mine.set()
        done.append(theirs.wait(20))

    pid, values = beside(work, meanwhile)
    assert done == [True]
    assert pid != os.getpid()
    np.testing.assert_array_equal(values, [0, 1, 2])


@pytest.mark.parametrize("error", [NotFinite("a rate is not finite"), KeyboardInterrupt()])
def test_what_is_raised_there_is_raised_here(error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        beside(work, list)
    assert str(caught.value) == str(error)


def test_an_end_without_a_word_is_told() -> None:
    with pytest.raises(MemoryError, match="ended with status 7"):
        beside(lambda: os._exit(7), list)


def test_a_stop_here_ends_the_work_there() -> None:
    context = get_context("fork")
    began, never = context.Event(), context.Event()

    def work() -> None:
        began.set()
        never.wait(600)

    def meanwhile() -> None:
        assert began.wait(20)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        beside(work, meanwhile)
    assert not never.is_set()


def test_it_prepares_itself_before_it_is_given_anything() -> None:
    """And takes more than a pipe holds while it still does; what it loads is its own."""
    context = get_context("fork")
    prepared, go_on = context.Event(), context.Event()
    held: list[int] = []

    def prepare() -> None:
        held.append(7)
        prepared.set()
        assert go_on.wait(20)

    def work(values: np.ndarray, factor: float) -> tuple[list[int], float]:
        return held, factor * float(values.sum())

    with Beside(work, prepare) as other:
        assert prepared.wait(20)
        values = np.arange(300_000.0)  # 2.4 MB
        found = other.do(values, 0.5, meanwhile=go_on.set)
    assert found == ([7], 0.5 * 299_999 * 300_000 / 2)
    assert held == []


def test_what_fails_while_it_prepares_is_raised_where_the_work_is_asked_for() -> None:
    def prepare() -> None:
        raise NotFinite("nothing to load")

    with Beside(list, prepare) as other, pytest.raises(NotFinite, match="nothing to load"):
        other.do(meanwhile=list)


def test_it_ends_by_itself_when_the_process_that_made_it_is_killed() -> None:
    """It waits for arguments that never come; its pid is told by the one that is killed."""
    script = (
        "import os, sys, time\n"
        f"sys.path[0] = {str(ROOT)!r}\n"
        "from models.command.beside import Beside\n"
        "with Beside(list, lambda: print(os.getpid(), flush=True)):\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        for _ in range(400):
            try:
                os.kill(pid, 0)
                state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2]
            except (ProcessLookupError, FileNotFoundError):
                state = "gone"
            if state in {"gone", "Z"}:
                break
            time.sleep(0.05)
        assert state in {"gone", "Z"}


def program(folder: Path, change: str = "") -> subprocess.CompletedProcess[str]:
    """The command as a program, after a line that changes something in it; it says at the end
    whether this process has loaded Brian2."""
    path = str(ROOT / "models" / "run_equilibrium.py")
    script = (
        "import runpy, sys\n"
        f"sys.path[0] = {str(ROOT)!r}\n"
        "from models.command import equilibrium_in_time\n"
        f"{change}\n"
        f"sys.argv = ['run_equilibrium', *{SMALL!r}, '--output', {str(folder)!r}]\n"
        "try:\n"
        f"    runpy.run_path({path!r}, run_name='__main__')\n"
        "finally:\n"
        "    print('brian2' in sys.modules)\n"
    )
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@needs_two
def test_a_program_finds_and_draws_what_one_process_does(tmp_path: Path) -> None:
    beside_it = program(tmp_path / "two")
    assert (beside_it.returncode, beside_it.stderr) == (0, "")
    assert beside_it.stdout.endswith("in all.\nFalse\n")
    assert main([*SMALL, "--quiet", "--output", str(tmp_path / "one")]) == 0
    found = []
    for name in ("one", "two"):
        summary = json.loads((tmp_path / name / "summary.json").read_text(encoding="utf-8"))
        assert summary["brian2_images"] == 1
        assert summary["seconds"]["brian2"] > 0
        found.append(summary["layers"])
    assert found[0] == found[1]
    with (
        xr.open_dataset(tmp_path / "one" / "equilibrium.nc") as one,
        xr.open_dataset(tmp_path / "two" / "equilibrium.nc") as two,
    ):
        assert one.drop_attrs().identical(two.drop_attrs())
        assert one.attrs["verdict"] == two.attrs["verdict"]
    for name in ("settling", "updates", "agreement", "shifts"):
        pictures = [(tmp_path / folder / f"{name}.png").read_bytes() for folder in ("one", "two")]
        assert pictures[0] == pictures[1]


@needs_two
@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ("lambda *_: os._exit(9)", 0, "Brian2 is left out: its process ended with status 9"),
        ("lambda *_: (_ for _ in ()).throw(MemoryError('full'))", 0, "Brian2 is left out: full"),
        ("lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)", 130, "interrupted"),
    ],
)
def test_what_befalls_brian2_costs_nothing_else(
    tmp_path: Path, change: str, status: int, said: str
) -> None:
    """Numbers and the pictures that show nothing of it are there; the words are one line."""
    done = program(tmp_path, f"import os; equilibrium_in_time.simulate = {change}")
    assert done.returncode == status
    (line,) = done.stderr.splitlines()
    assert said in line
    wanted = {"equilibrium.nc", "summary.json", "updates.png", "agreement.png"}
    late = {"settling.png", "shifts.png"} if status == 0 else set()  # by SciPy
    assert {path.name for path in tmp_path.iterdir()} == wanted | late
