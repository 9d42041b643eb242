"""Processes begun where none can be: a script without a guard, a pool, an ignored Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.sweep.cluster import interrupt_deferred

ROOT = Path(__file__).resolve().parents[3]
NO_GUARD = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from analysis.sweep.run import run
from tests.analysis.sweep.products import products
run(products(3), Path({folder!r}), workers=2)
"""
POOL = """
import sys
from multiprocessing import Pool
from pathlib import Path
sys.path.insert(0, {root!r})
from analysis.sweep.run import run
from tests.analysis.sweep.products import products
def measure(workers):
    return run(products(3), Path({folder!r}), workers=workers, quiet=True).sizes["cell"]
if __name__ == "__main__":
    with Pool(1) as pool:
        print(pool.map(measure, [0]))
        {again}
        pool.map(measure, [2])
"""


def executed(path, text):
    """The script, run to its end."""
    path.write_text(text)
    return subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=180, check=False
    )


def test_a_script_without_a_guard_is_told_of_it_in_one_line(tmp_path):
    text = NO_GUARD.format(root=str(ROOT), folder=str(tmp_path / "a"))
    done = executed(tmp_path / "script.py", text)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    *_, last = done.stderr.splitlines()
    assert last.startswith("circuit.errors.CircuitError: the 2 processes ended as they began")
    assert "if __name__ == '__main__':" in last
    assert len(done.stderr.splitlines()) < 30


def test_a_process_of_a_pool_is_told_that_it_may_begin_none(tmp_path):
    """With workers 0 it may measure all the same."""
    again = f"import shutil; shutil.rmtree({str(tmp_path / 'a')!r})"
    text = POOL.format(root=str(ROOT), folder=str(tmp_path / "a"), again=again)
    done = executed(tmp_path / "script.py", text)
    assert done.stdout == "[9]\n"
    *_, last = done.stderr.splitlines()
    assert last.startswith("circuit.errors.CircuitError: workers 2 in a process of a pool")
    assert "if __name__ == '__main__':" in last


@pytest.mark.posix
@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler])
def test_ctrl_c_while_processes_begin(handler):
    """It waits for the end of the block, and is ignored where it was ignored before."""
    before = signal.signal(signal.SIGINT, handler)
    reached = []
    try:
        try:
            with interrupt_deferred():
                os.kill(os.getpid(), signal.SIGINT)
                reached.append("end of the block")
            reached.append("what follows")
        except KeyboardInterrupt:
            reached.append("interrupted")
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    after = "what follows" if handler is signal.SIG_IGN else "interrupted"
    assert reached == ["end of the block", after]
