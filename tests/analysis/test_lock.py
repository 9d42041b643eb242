"""One process a folder, with real processes: at once, killed, and with clocks of none of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from analysis import lock
from analysis.lock import locked
from circuit.errors import CircuitError
from circuit.storage import owner
from circuit.storage.files import write_atomically
from circuit.storage.owner import HOST, Owner, myself, remove_leftovers

ROOT = Path(__file__).resolve().parents[2]

# waits at the start for the word to go, tries to have the folder, and adds one to a number in it
# in two steps, as no two may do at once
COUNTING = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from analysis.lock import locked
from circuit.errors import CircuitError
folder, counter = Path({folder!r}), Path({folder!r}) / "counter"
print("ready", flush=True)
sys.stdin.readline()
done = 0
while done < 5:
    try:
        with locked(folder):
            found = int(counter.read_text())
            counter.write_text("")
            counter.write_text(str(found + 1))
            done += 1
    except CircuitError as error:
        assert "is in use by process" in str(error), error
"""
HOLDING = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from analysis.lock import locked
from circuit.storage.files import write_atomically
def write(name):
    name.write_text("half of it")
    print("ready", flush=True)
    sys.stdin.readline()
with locked(Path({folder!r})) as folder:
    write_atomically(folder / "picture.png", write)
"""


def start(program: str, folder: Path) -> subprocess.Popen:
    """A process that runs `program` on `folder`, once it says that it is ready."""
    text = program.format(root=str(ROOT), folder=str(folder))
    process = subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def tell(process: subprocess.Popen) -> None:
    """The word to go on."""
    process.stdin.write("go\n")
    process.stdin.flush()


def left(folder: Path) -> list[str]:
    """Names that begin with a dot."""
    return sorted(path.name for path in folder.glob(".*"))


def a_dead_process() -> int:
    """The pid of a process that has been, and is waited for."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_folder_in_use_is_refused_in_one_line_and_nothing_in_it_is_touched(tmp_path):
    process = start(HOLDING, tmp_path)
    try:
        before = left(tmp_path)
        assert len(before) == 2  # the lock, and half a picture
        with pytest.raises(CircuitError) as refused, locked(tmp_path):
            pass
        words = str(refused.value)
        assert f"{tmp_path} is in use by process {process.pid} on {HOST}" in words
        assert "\n" not in words and "another --output" in words
        remove_leftovers(tmp_path)
        assert left(tmp_path) == before
    finally:
        tell(process)
        process.communicate()
    assert (tmp_path / "picture.png").read_text() == "half of it"
    assert left(tmp_path) == []


@pytest.mark.posix
@pytest.mark.parametrize("reaped", [False, True])
def test_what_a_killed_process_held_is_taken_over_and_its_remains_go(tmp_path, reaped):
    """Also while nobody has asked how it ended (a zombie); and five killed one after another."""
    for _ in range(5):
        process = start(HOLDING, tmp_path)
        process.send_signal(signal.SIGKILL)
        if reaped:
            process.communicate()
        else:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert Owner(HOST, process.pid).lives() is False
            remaining = process
            with locked(tmp_path) as folder:
                remove_leftovers(folder)
                assert len(left(folder)) >= 2  # the lock of the dead, and its successor
            remaining.communicate()
            assert left(tmp_path) == []
    with locked(tmp_path) as folder:
        remove_leftovers(folder)
        assert not [name for name in left(folder) if "picture" in name]
    assert left(tmp_path) == []


@pytest.mark.parametrize("dead", [0, 3])
def test_of_many_at_once_one_at_a_time_has_the_folder(tmp_path, dead):
    """Four processes count to 20 together, in a folder that is free or that the dead hold."""
    (tmp_path / "counter").write_text("0")
    for _ in range(dead):
        killed = start(HOLDING, tmp_path)
        killed.kill()
        killed.communicate()
    processes = [start(COUNTING, tmp_path) for _ in range(4)]
    for process in processes:
        tell(process)
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert (tmp_path / "counter").read_text() == "20"
    remove_leftovers(tmp_path)
    assert left(tmp_path) == []


def test_a_process_of_another_machine_is_taken_to_live(tmp_path):
    pid = a_dead_process()
    claim = {"owner": {"host": "elsewhere", "pid": pid, "began": 1.0}, "token": "0"}
    (tmp_path / lock.NAME).write_text(json.dumps(claim))
    with pytest.raises(CircuitError, match=f"process {pid} on elsewhere; .*remove .*lock"):
        locked(tmp_path).__enter__()
    assert left(tmp_path) == [lock.NAME]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"owner": 3, "token": 1}', "\0\0"])
def test_a_lock_that_says_nothing_is_named(tmp_path, content):
    (tmp_path / lock.NAME).write_text(content)
    with pytest.raises(CircuitError, match=r"\.lock is there and does not say .* remove it"):
        locked(tmp_path).__enter__()
    assert left(tmp_path) == [lock.NAME]


def test_a_pid_that_another_process_has_now_is_not_its_owner(tmp_path):
    """The same number, begun an hour apart."""
    me = myself()
    assert me.lives() is True
    assert Owner(me.host, me.pid, me.began - 3600).lives() is False
    claim = {"owner": {"host": me.host, "pid": me.pid, "began": me.began - 3600}, "token": "7"}
    (tmp_path / lock.NAME).write_text(json.dumps(claim))
    with locked(tmp_path):
        assert left(tmp_path) == [lock.NAME, f"{lock.NAME}-7"]
    assert left(tmp_path) == []


def test_within_a_block_the_same_thread_goes_on_and_another_is_refused(tmp_path):
    found = []

    def enter() -> None:
        try:
            with locked(tmp_path):
                found.append("in")
        except CircuitError as error:
            found.append(str(error))

    with locked(tmp_path):
        enter()
        other = threading.Thread(target=enter)
        other.start()
        other.join()
        assert left(tmp_path) == [lock.NAME]
    assert found[0] == "in" and "another thread" in found[1]
    enter()
    assert found[2] == "in"


def test_without_hard_links_there_is_one_all_the_same(tmp_path, monkeypatch):
    """As on a memory stick (FAT)."""

    def none(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    with locked(tmp_path):
        assert left(tmp_path) == [lock.NAME]
        monkeypatch.setattr(lock, "_held", {})  # as another process sees it
        with pytest.raises(CircuitError, match=f"in use by process {os.getpid()}"):
            locked(tmp_path).__enter__()
        monkeypatch.undo()
    assert left(tmp_path) == []


def test_a_chain_that_was_taken_away_meanwhile_is_begun_anew(tmp_path, monkeypatch):
    """The dead's lock goes, as its successor leaves, just when another successor is added."""
    claim = {"owner": {"host": HOST, "pid": a_dead_process(), "began": None}, "token": "7"}
    (tmp_path / lock.NAME).write_text(json.dumps(claim))
    place = lock._placed

    def late(written, where, mine):
        if where.name == f"{lock.NAME}-7":
            (tmp_path / lock.NAME).unlink()
        return place(written, where, mine)

    monkeypatch.setattr(lock, "_placed", late)
    with locked(tmp_path):
        assert left(tmp_path) == [lock.NAME]
        assert json.loads((tmp_path / lock.NAME).read_text())["owner"]["pid"] == os.getpid()
    assert left(tmp_path) == []


def test_a_chain_that_another_began_anew_meanwhile_is_not_trusted(tmp_path, monkeypatch):
    """The dead's lock goes, and one who lives takes the folder, just when a successor is added."""
    claim = {"owner": {"host": HOST, "pid": a_dead_process(), "began": None}, "token": "7"}
    living = {"owner": {"host": HOST, "pid": os.getppid(), "began": None}, "token": "8"}
    (tmp_path / lock.NAME).write_text(json.dumps(claim))
    place = lock._placed

    def late(written, where, mine):
        if where.name == f"{lock.NAME}-7":
            (tmp_path / lock.NAME).write_text(json.dumps(living))
        return place(written, where, mine)

    monkeypatch.setattr(lock, "_placed", late)
    with pytest.raises(CircuitError, match=f"in use by process {os.getppid()}"):
        locked(tmp_path).__enter__()
    assert json.loads((tmp_path / lock.NAME).read_text()) == living
    assert left(tmp_path) == [lock.NAME]


def test_only_remains_of_the_dead_of_this_machine_are_removed(tmp_path):
    dead = a_dead_process()
    names = {
        f".summary-{dead}@{HOST}-abcd1234.json": False,
        f".figure-2-{dead}@{HOST}-abcd_234.png": False,
        f".claim-{dead}@{HOST}-abcd1234": False,
        f".summary-{dead}@elsewhere-abcd1234.json": True,
        f".summary-{os.getpid()}@{HOST}-abcd1234.json": True,
        f"summary-{dead}@{HOST}-abcd1234.json": True,
        ".summary-abcd1234.json": True,
        ".gitignore": True,
    }
    for name in names:
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {name for name in names if names[name]}


def test_temporary_names_say_whose_they_are(tmp_path):
    seen = []
    write_atomically(tmp_path / "a-b.nc", lambda name: (seen.append(name), name.write_text("x")))
    parts = owner.LEFTOVER.fullmatch(seen[0].name)
    assert (int(parts["pid"]), parts["host"], seen[0].suffix) == (os.getpid(), HOST, ".nc")
    assert os.listdir(tmp_path) == ["a-b.nc"]


def test_a_disk_with_room_for_a_name_alone_is_told_in_one_line(tmp_path, monkeypatch):
    """A file can be made, and no letter be written into it."""

    def full(handle, *rest, **options):
        os.close(handle)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lock.os, "fdopen", full)
        with (
            pytest.raises(CircuitError, match=r"cannot be locked \(No space left") as caught,
            locked(tmp_path),
        ):
            pass
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    with locked(tmp_path):
        pass
