"""Pieces in a program that Brian2 writes, compiles and runs as a whole: the block of the page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.circuit.brian.conftest import BLOCKS

CHECK = """
exact = settle(trial, tolerance=1e-13, must_converge=False)
for found, wanted in zip(nudged_rates, exact.activities, strict=True):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)
assert max(np.abs(exact.shifts.absolute(layer)).max() for layer in (1, 2)) > 1e-4
print("settled")
"""


@pytest.mark.slow
def test_a_compiled_program_settles_where_settle_says(tmp_path: Path) -> None:
    """The direct method's activities, under the nudge: the second run of the program has begun
    where the first ended, with the nudge set in between."""
    (block,) = [block for block in BLOCKS if "cpp_standalone" in block]
    program = f"from circuit.equilibrium import settle\n{BLOCKS[0]}\n{block}\n{CHECK}"
    root = Path(__file__).parents[3]
    script = tmp_path / "script.py"
    script.write_text(f"import sys\nsys.path[0] = {str(root)!r}\n{program}")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("settled\n")
