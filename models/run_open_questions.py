"""The paper's open questions (its section 9), each answered by a study.

Owns the words of the command and its questions. Does not own the way from options to result files
and figures (`models.study_command`) nor the studies (`models.studies`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in {None, ""}:  # run as a file, from any folder, installed or not
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models import study_command
from models.options import OneLineParser, parse
from models.words import speaking

PROGRAM = "run_open_questions"
OUTPUT = Path("results/open_questions")
QUESTIONS: dict[str, str] = {  # name -> the question in words, for --help
    "learned_inverse": "must feedback be strong where the inverse is learned and rates are noisy?",
    "activations": "does target propagation gain from tanh units, and is GAIT-prop indifferent?",
    "top_down": "is one increment at the output, with exact inversion below, a stable circuit?",
    "learning_in_circuit": "can the circuit's own weights learn, with no trainer outside it?",
    "lateral_inhibition": "can plastic lateral inhibition keep weights near orthogonal?",
}


def options() -> OneLineParser:
    """All options of the command, each explained in words."""
    listed = " ".join(f"{name}: {words}" for name, words in QUESTIONS.items())
    parser = OneLineParser(
        prog=PROGRAM,
        description=f"What the paper leaves open, measured. {listed} See docs/open_questions.md.",
        epilog=study_command.epilog("cell"),
    )
    parser.add_argument(
        "studies",
        nargs="+",
        choices=tuple(QUESTIONS),
        metavar="NAME",
        help=f"which of {', '.join(QUESTIONS)}",
    )
    study_command.add_options(parser, OUTPUT)
    return parser


@speaking(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return study_command.main(PROGRAM, parse(options(), arguments), special)


def special(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """What a study is given beside what all are given: nothing."""
    return {}


if __name__ == "__main__":
    sys.exit(main())
