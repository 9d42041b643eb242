"""What a command says when it refuses, and what its `--help` loads, for the tests of commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    "numpy",
    "scipy",
    "mpmath",
    "xarray",
    "pandas",
    "dask",
    "matplotlib",
    "torch",
    "brian2",
    "sklearn",
)


def refusal(capsys, main, *arguments):
    """The one line on standard error with which `main` refuses, checked to be one.

    It leaves with status 2, and the line begins with the name of the command, that of its file.
    """
    with pytest.raises(SystemExit) as leaving:
        main(list(arguments))
    assert leaving.value.code == 2, arguments
    words = capsys.readouterr().err
    assert words.count("\n") == 1, words
    program = main.__module__.rsplit(".", 1)[-1]
    assert words.startswith(f"{program}: error: "), words
    return words


def help_of(program):
    """What `models/PROGRAM.py --help` prints, run as a file, checked to load nothing heavy."""
    script = (
        "import sys, runpy\n"
        f"sys.argv = [{program!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / 'models' / program)!r} + '.py', run_name='__main__')\n"
        "except SystemExit as leaving:\n"
        "    assert leaving.code == 0\n"
        f"heavy = set({HEAVY!r}) & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
