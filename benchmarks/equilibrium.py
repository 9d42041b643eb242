"""How fast circuits settle, each figure beside something measured in the same run.

    python -m benchmarks.equilibrium [--quick] [--only A B ...] [--cores N] [--output FILE.json]

Owns the command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from benchmarks.command import options, parsed, run_sections

LETTERS = "ABCDE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = options("equilibrium", __doc__, "tiny circuits", LETTERS)
    parser.add_argument(
        "--cores", type=int, help="processor cores to use (default: all that there are)"
    )
    chosen = parsed(parser, arguments)
    if chosen.cores is not None:
        # before NumPy is imported, since its thread pool looks once
        available = sorted(os.sched_getaffinity(0))
        if not 1 <= chosen.cores <= len(available):
            parser.error(f"--cores {chosen.cores}: give 1 to {len(available)}")
        os.sched_setaffinity(0, available[: chosen.cores])

    from benchmarks.circuits import QUICK, CircuitSizes
    from benchmarks.rivals import against_others
    from benchmarks.sections import against_feedback, against_size, against_targets, main_command

    functions = {
        "A": against_targets,
        "B": against_others,
        "C": against_size,
        "D": main_command,
        "E": against_feedback,
    }
    run_sections(functions, chosen.only, QUICK if chosen.quick else CircuitSizes(), chosen.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
