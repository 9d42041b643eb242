"""A study of products of matrices, and what its sweep leaves in a folder.

Owns what the tests of sweeps share.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from analysis.sweep.run import Study
from tests import toy_cells

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


SLOW = products(8, seconds=0.05)

HALF = replace(  # whose second half never ends in time
    SLOW,
    cells=tuple({**cell, "seconds": 0.05 if cell["seed"] >= 4 else 600.0} for cell in SLOW.cells),
)
