"""Two commands in one --output at once: one is refused, in one line; the other loses nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.lock import NAME, locked
from circuit.storage.owner import HOST
from models import (
    run_derivation,
    run_equilibrium,
    run_feedback_strength,
    run_figures,
    run_open_questions,
    run_training,
)
from tests.analysis.test_lock import a_dead_process
from tests.commands import refusal

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--train-images", "100", "--depth", "1", "--no-figures", "--quiet", "--batch", "15"]
QUICK += ["--epochs", "2"]
SWEEP = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from analysis.sweep.run import Study, run
from circuit.errors import CircuitError
from tests import toy_cells
study = Study("fragile", tuple({{"what": str(i)}} for i in range(30)), toy_cells.fragile)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(3):
    try:
        data = run(study, Path({folder!r}), workers=0, quiet=True)
        print(data.attrs["cells"])
    except CircuitError as error:
        print(error)
"""
COMMANDS = {
    run_equilibrium: ["--no-brian2"],
    run_training: QUICK,
    run_derivation: [],
    run_figures: ["fig2b", "--scale", "smoke"],
    run_feedback_strength: ["--scale", "smoke"],
    run_open_questions: ["top_down", "--scale", "smoke"],
}


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    """A training run."""
    return subprocess.Popen(
        [sys.executable, "models/run_training.py", *QUICK, "--output", str(folder), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def contents(folder: Path) -> dict[str, bytes]:
    """All files, byte for byte."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_trainings_at_once_and_one_is_refused(tmp_path):
    """Whichever comes second says so in one line with status 2, and the first ends as if alone."""
    processes = {rule: start(tmp_path, "--rule", rule) for rule in ("bp", "gait")}
    words = {rule: process.communicate()[1] for rule, process in processes.items()}
    codes = {rule: process.returncode for rule, process in processes.items()}
    assert sorted(codes.values()) == [0, 2], words
    (refused,) = (rule for rule, code in codes.items() if code == 2)
    assert words[refused].count("\n") == 1
    assert "in use by process" in words[refused] or "holds a run already" in words[refused]
    (winner,) = set(codes) - {refused}
    assert f'"rule": "{winner}"' in (tmp_path / "summary.json").read_text()
    assert not list(tmp_path.glob(".*"))


def test_starts_that_are_refused_leave_a_running_one_its_files(tmp_path, capsys):
    """It stands still meanwhile, wherever it is; the last start would be refused for its images."""
    process = start(tmp_path, "--checkpoint-every", "1", "--epochs", "10")
    while not (tmp_path / "checkpoint.npz").exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGSTOP)
    assert process.poll() is None, process.communicate()
    before = contents(tmp_path)
    here = [*QUICK, "--output", str(tmp_path)]
    for more in (["--resume"], ["--rule", "bp"], ["--resume", "--train-images", "99999"]) * 3:
        words = refusal(capsys, run_training.main, *here, *more)
        assert f"in use by process {process.pid} on {HOST}" in words
    assert contents(tmp_path) == before
    process.send_signal(signal.SIGCONT)
    _, words = process.communicate()
    assert process.returncode == 0, words
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.PROGRAM)
def test_every_command_leaves_a_folder_in_use_alone(tmp_path, capsys, monkeypatch, command):
    """Another process has it: nothing is added, nothing taken away, not even what is left over."""
    (tmp_path / f".picture-{a_dead_process()}@{HOST}-abcd1234.png").write_text("half")
    with locked(tmp_path):
        monkeypatch.setattr("analysis.lock._held", {})
        before = contents(tmp_path)
        words = refusal(capsys, command.main, *COMMANDS[command], "--output", str(tmp_path))
        assert "is in use by process" in words
        assert contents(tmp_path) == before
        monkeypatch.undo()


def test_nothing_is_removed_before_a_configuration_is_accepted(tmp_path, capsys):
    """What is left over goes with the first run that is accepted, pictures included."""
    dead = a_dead_process()
    remains = [f".checkpoint-{dead}@{HOST}-abcd1234.npz", f".layers-{dead}@{HOST}-abcd1234.png"]
    for name in remains:
        (tmp_path / name).write_text("half")
    here = [*QUICK, "--output", str(tmp_path)]
    refusal(capsys, run_training.main, *here, "--train-images", "99999")
    assert sorted(contents(tmp_path)) == sorted(remains)
    assert run_training.main([*here, "--epochs", "1"]) == 0
    assert not list(tmp_path.glob(".*"))


@pytest.mark.posix
def test_a_killed_training_leaves_its_folder_to_the_next(tmp_path):
    process = start(tmp_path, "--checkpoint-every", "1", "--epochs", "10")
    while not (tmp_path / "checkpoint.npz").exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / NAME).exists()
    again = start(tmp_path, "--checkpoint-every", "1", "--epochs", "10", "--resume")
    _, words = again.communicate()
    assert again.returncode == 0, words
    assert not list(tmp_path.glob(".*"))


def test_five_sweeps_of_quick_cells_at_once(tmp_path):
    """Every one is refused or whole, again and again, and no cell is said to have failed."""
    program = SWEEP.format(root=str(ROOT), folder=str(tmp_path))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    lines = []
    for process in processes:
        out, words = process.communicate()
        assert (process.returncode, words) == (0, "")
        lines += out.splitlines()
    assert len(lines) == 15
    assert "30 converged" in lines
    assert all(line == "30 converged" or "is in use by process" in line for line in lines)
    assert not list(tmp_path.rglob(".*")) and not list(tmp_path.rglob("*.started"))
