"""What feedback strength does: sweeps of five studies, their figures, and a table of findings.

Owns the words of the command and its studies.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in {None, ""}:  # run as a file, from any folder, installed or not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from models.command import studies
from models.command.parsing import OneLineParser, fail, parse, path
from models.command.words import speaking
from studies import catalogue

PROGRAM = "run_feedback_strength"
STUDIES = catalogue.of_command(PROGRAM)  # name -> what it is about
OUTPUT = Path("results/feedback_strength")


def options() -> OneLineParser:
    """All options of the command, each explained in words."""
    listed = " ".join(f"{name}: {words}." for name, words in STUDIES.items())
    parser = OneLineParser(
        prog=PROGRAM,
        description="Sweep circuits over feedback strength, depth, initialisation and more, on "
        f"real images. {listed} See docs/feedback_strength.md.",
        epilog=studies.epilog("cell"),
    )
    add = parser.add_argument
    add(
        "--studies",
        nargs="+",
        choices=tuple(STUDIES),
        default=list(STUDIES),
        metavar="NAME",
        help=f"which of {', '.join(STUDIES)} (default: all)",
    )
    studies.add_options(parser, OUTPUT)
    add(
        "--weights",
        type=path,
        metavar="FILE.npz",
        help="a trained network that study strength measures beside those with random weights",
    )
    return parser


@speaking(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    chosen = parse(options(), arguments)
    if chosen.weights is not None and "strength" not in chosen.studies:
        fail(PROGRAM, "--weights is for study strength; add it to --studies or leave --weights out")
    return studies.main(PROGRAM, chosen, special)


def special(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """What a study is given beside what all are given."""
    if name == "strength" and chosen.weights is not None:
        return {"weights": chosen.weights}
    return {}


if __name__ == "__main__":
    sys.exit(main())
