"""Whether two folders hold the same results: `python -m tests.compare_results BEFORE AFTER`.

Every variable of every .nc file that one of them has, wherever it lies below; cells are left out,
their study's file has all of them. Numbers count as equal that agree to the last digit but one (a
relative 1e-14 of the variable's largest; --close for more), words that are the same. Exit status 1
if something differs. For changes that are to leave all results as they are: run the commands of
studies and figures at scale smoke before and after.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import xarray as xr

CLOSE = 1e-14  # of doubles; a sum taken in another order


def differences(before: Path, after: Path, close: float = CLOSE) -> list[str]:
    """A line for every file and variable that is not the same in both folders."""
    found = []
    names = {path.relative_to(one) for one in (before, after) for path in one.rglob("*.nc")}
    for name in sorted(name for name in names if "cells" not in name.parts):
        if not ((before / name).is_file() and (after / name).is_file()):
            found.append(f"{name} is in one folder only")
            continue
        with xr.open_dataset(before / name) as old, xr.open_dataset(after / name) as new:
            for variable in sorted({*map(str, old.variables)} | {*map(str, new.variables)}):
                words = _difference(old.get(variable), new.get(variable), close)
                if words:
                    found.append(f"{name}: {variable} {words}")
    return found


def _difference(old: xr.DataArray | None, new: xr.DataArray | None, close: float) -> str:
    """How two variables differ; nothing if they are the same."""
    if old is None or new is None:
        return "is new" if old is None else "is gone"
    one, other = old.values, new.values
    if one.shape != other.shape or old.dims != new.dims:
        return f"has shape {other.shape}, had {one.shape}"
    if one.dtype.kind not in "fiu":
        apart = int(np.sum(one != other))
        return f"differs in {apart} of {one.size} words" if apart else ""
    size = np.max(np.abs(one), initial=0.0, where=np.isfinite(one))
    same = np.isclose(one, other, rtol=close, atol=close * float(size), equal_nan=True)
    if same.all():
        return ""
    gap = np.max(np.abs(one - other), initial=0.0, where=np.isfinite(one - other))
    return f"differs in {int(np.sum(~same))} of {one.size} numbers, by {gap:.2g} of {size:.2g}"


def main() -> int:
    """Compare; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument(
        "--close", type=float, default=CLOSE, help="relative (default: %(default)g)"
    )
    chosen = parser.parse_args()
    found = differences(chosen.before, chosen.after, chosen.close)
    print("\n".join(found) or "the same")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
