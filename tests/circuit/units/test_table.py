"""The table of units: a new one is a file and a name, and the commands have it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NEW = """
import sys, types
from dataclasses import replace
import circuit.settings.units as names
names.UNITS += ("mine",)
if INVERTED:
    names.INVERTIBLE += ("mine",)
from circuit.units import asinh as known
file = types.ModuleType("circuit.units.mine")
file.mine = lambda: replace(known.asinh(), name="mine")
file.TEXT = known.TEXT
sys.modules["circuit.units.mine"] = file
"""
USED = """
import numpy as np
from circuit import begin, brian, build_circuit, initialise, settle
from models.command.equilibrium_options import options
from training import declarations

print(options().parse_args(["--activation", "mine"]).activation)
print("mine" in declarations.SETTINGS["activation"].known)
found = []
for unit in ("mine", "asinh"):
    circuit = build_circuit(initialise([5, 5, 4], 1, activation=unit), "gait", 0.1)
    trial = begin(circuit, np.full((3, 5), 0.5), [0, 1, 3])
    found.append((settle(trial).shifts.values[0].tolist(), str(brian.equations(circuit, 1))))
print(found[0] == found[1])
"""


def run(program):
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_unit_is_a_file_and_a_name():
    """A unit with the functions of asinh is offered by both commands, settles where asinh does, and
    has its equations in Brian2."""
    done = run(NEW.replace("INVERTED", "True") + USED)
    assert done.stdout.splitlines() == ["mine", "True", "True"], done.stderr


def test_a_unit_that_no_circuit_can_have_is_not_offered_for_one():
    done = run(NEW.replace("INVERTED", "False") + USED)
    assert done.returncode == 2
    assert "mine" in done.stderr
