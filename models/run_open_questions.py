"""The paper's open questions (its section 9), each answered by a study.

Owns the words of the command and its questions.
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
from models.command.parsing import OneLineParser, parse
from models.command.words import speaking
from studies import catalogue

PROGRAM = "run_open_questions"
OUTPUT = Path("results/open_questions")
QUESTIONS = catalogue.of_command(PROGRAM)  # name -> the question in words


def options() -> OneLineParser:
    """All options of the command, each explained in words."""
    listed = " ".join(f"{name}: {words}" for name, words in QUESTIONS.items())
    parser = OneLineParser(
        prog=PROGRAM,
        description=f"What the paper leaves open, measured. {listed} See docs/open_questions.md.",
        epilog=studies.epilog("cell"),
    )
    parser.add_argument(
        "studies",
        nargs="+",
        choices=tuple(QUESTIONS),
        metavar="NAME",
        help=f"which of {', '.join(QUESTIONS)}",
    )
    studies.add_options(parser, OUTPUT)
    return parser


@speaking(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return studies.main(PROGRAM, parse(options(), arguments), special)


def special(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """What a study is given beside what all are given: nothing."""
    return {}


if __name__ == "__main__":
    sys.exit(main())
