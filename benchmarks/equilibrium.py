"""How fast circuits settle, each figure beside something measured in the same run.

    python -m benchmarks.equilibrium [--quick] [--only A B ...] [--cores N] [--output FILE.json]

Owns the command. Does not own what is measured.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LETTERS = "ABCDE"
PACKAGES = ("numpy", "scipy", "torch", "torchdeq", "jax", "diffrax", "optimistix", "brian2")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.equilibrium", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--only", nargs="+", choices=LETTERS, default=list(LETTERS), help="sections to run"
    )
    parser.add_argument("--quick", action="store_true", help="tiny circuits: does it run at all?")
    parser.add_argument(
        "--cores", type=int, help="processor cores to use (default: all that there are)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write the results too")
    chosen = parser.parse_args(arguments)
    if chosen.output is not None and not chosen.output.resolve().parent.is_dir():
        parser.error(f"{chosen.output}: its folder does not exist; make it first")
    if chosen.cores is not None:
        # before NumPy is imported, since its thread pool looks once
        available = sorted(os.sched_getaffinity(0))
        if not 1 <= chosen.cores <= len(available):
            parser.error(f"--cores {chosen.cores}: give 1 to {len(available)}")
        os.sched_setaffinity(0, available[: chosen.cores])

    from benchmarks.circuits import QUICK, Sizes
    from benchmarks.rivals import against_others
    from benchmarks.sections import against_feedback, against_size, against_targets, main_command
    from benchmarks.tables import table

    functions = {
        "A": against_targets,
        "B": against_others,
        "C": against_size,
        "D": main_command,
        "E": against_feedback,
    }
    sizes = QUICK if chosen.quick else Sizes()
    results: dict[str, Any] = {"machine": machine(), "versions": versions(), "sections": {}}
    print(f"{results['machine']}\n{results['versions']}")
    for letter in sorted(set(chosen.only)):
        began = time.perf_counter()
        section = functions[letter](sizes)
        seconds = time.perf_counter() - began
        print(f"\n## {section.title}\n", table(section.rows), *section.remarks, sep="\n\n")
        print(f"\n(section {letter}: {seconds:.0f} s)", flush=True)
        results["sections"][letter] = {
            "title": section.title,
            "rows": section.rows,
            "remarks": section.remarks,
            "seconds": seconds,
        }
        if chosen.output is not None:  # after every section, should a later one fail
            chosen.output.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def machine() -> dict[str, Any]:
    """What it ran on, and how busy that was."""
    return {
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "load": list(os.getloadavg()),
    }


def versions() -> dict[str, str]:
    """Versions of what took part."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


if __name__ == "__main__":
    sys.exit(main())
