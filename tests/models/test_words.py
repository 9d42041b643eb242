"""What a command says never keeps it from its files, whatever becomes of the words."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models import run_derivation, run_equilibrium, run_training
from models.command.words import Patient, speaking

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {  # command -> (its main, arguments for a quick run, its files, how its outcome begins)
    "run_equilibrium": (
        run_equilibrium.main,
        ["--batch", "5", "--widths", "64", "20", "10", "--no-brian2", "--no-figures"],
        {"equilibrium.nc", "summary.json"},
        "The equilibrium carries",
    ),
    "run_training": (
        run_training.main,
        ["--train-images", "90", "--depth", "1", "--epochs", "2", "--no-figures"],
        {
            "history.nc",
            "history.csv",
            "summary.json",
            "weights_seed1_chosen.npz",
            "weights_seed1_end.npz",
        },
        "Test accuracy",
    ),
    "run_derivation": (
        run_derivation.main,
        ["--only", "eq20", "--seeds", "3", "--no-figures"],
        {"derivation.nc", "derivation.json"},
        "All 1 claims",
    ),
}


def left_pipe():
    """A stream into a pipe whose reader has gone, as of `| head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w", encoding="utf-8")


def full_device():
    """A stream into a device that is always full."""
    return open("/dev/full", "w", encoding="utf-8")


@pytest.mark.posix
@pytest.mark.parametrize("name", COMMANDS)
def test_a_reader_that_has_left_costs_no_file_and_no_word(name, tmp_path, monkeypatch, capsys):
    main, arguments, files, _ = COMMANDS[name]
    with left_pipe() as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main([*arguments, "--quiet", "--output", str(tmp_path)]) == 0
    assert files <= {path.name for path in tmp_path.iterdir()}
    assert capsys.readouterr().err == ""


@pytest.mark.posix
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_device_is_told_in_one_line_and_costs_no_file(name, tmp_path, monkeypatch, capsys):
    main, arguments, files, _ = COMMANDS[name]
    with full_device() as device:
        monkeypatch.setattr(sys, "stdout", device)
        with pytest.raises(SystemExit) as leaving:
            main([*arguments, "--quiet", "--output", str(tmp_path)])
    assert leaving.value.code == 2
    assert files <= {path.name for path in tmp_path.iterdir()}
    said = capsys.readouterr().err
    assert said.startswith(f"{name}: error: standard output cannot be written")
    assert os.strerror(errno.ENOSPC) in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_files_are_there_before_the_outcome_is_told(name, tmp_path, monkeypatch):
    main, arguments, files, outcome = COMMANDS[name]
    found = []

    class Watcher(io.StringIO):
        def write(self, text):
            if outcome in text:
                found.append({path.name for path in tmp_path.iterdir()})
            return len(text)

    monkeypatch.setattr(sys, "stdout", Watcher())
    assert main([*arguments, "--output", str(tmp_path)]) == 0
    assert found and all(files <= there for there in found)


@pytest.mark.parametrize("streams", [">&- 2>&-", "2>&-", "> /dev/full 2>&-"])
def test_closed_streams_cost_no_file(tmp_path, streams):
    """As the shell closes them: no file of the run gets the number of a stream."""
    _, arguments, files, _ = COMMANDS["run_training"]
    program = [sys.executable, str(ROOT / "models" / "run_training.py"), *arguments]
    script = f'"$@" {streams}'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *program, "--output", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    assert done.returncode == (2 if "full" in streams else 0)
    assert files <= {path.name for path in tmp_path.iterdir()}


def test_a_closed_stream_leads_nowhere_and_not_into_a_file(tmp_path):
    """A library that writes to the number of standard error does not write into a result."""
    script = (
        "import os, sys; from models.command.words import occupy_streams; occupy_streams()\n"
        f"file = open({str(tmp_path / 'result')!r}, 'w')\n"
        "os.write(2, b'a warning of some library')\n"
        "sys.exit(7 if file.fileno() > 2 and sys.stderr.fileno() > 2 else 1)\n"
    )
    command = f'"{sys.executable}" -c "$0" 2>&-'
    done = subprocess.run(["sh", "-c", command, script], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 7
    assert (tmp_path / "result").read_bytes() == b""


def test_lost_words_are_remembered_and_later_ones_dropped():
    class Full(io.StringIO):
        room = 3

        def write(self, text):
            if len(text) > self.room:
                raise OSError(errno.ENOSPC, "no room")
            return super().write(text)

    stream = Patient(Full())
    assert [stream.write(words) for words in ("abc", "abcde", "d")] == [3, 5, 1]
    assert stream.stream.getvalue() == "abc"
    assert stream.trouble.errno == errno.ENOSPC
    assert stream.isatty() is False


def test_what_an_encoding_lacks_is_written_as_an_escape():
    """Such as a file name that is not UTF-8 (PEP 383 makes 0xE9 the surrogate U+DCE9)."""
    for encoding, name in (("utf-8", os.fsdecode(b"caf\xe9")), ("ascii", "café")):
        raw = io.BytesIO()
        stream = Patient(io.TextIOWrapper(raw, encoding=encoding))
        stream.write(f"Written to {name}.")
        stream.flush()
        escape = b"\\udce9" if encoding == "utf-8" else b"\\xe9"
        assert raw.getvalue() == b"Written to caf" + escape + b"."
        assert stream.trouble is None


def test_the_status_of_a_command_is_its_own(capsys):
    @speaking("program")
    def main(arguments):
        if arguments == ["early"]:
            sys.exit(3)
        print("said")
        return 1

    assert main(["late"]) == 1
    with pytest.raises(SystemExit) as leaving:
        main(["early"])
    assert leaving.value.code == 3
    assert capsys.readouterr().out == "said\n"
