"""Put runs of the main command, or of training, side by side in one table and one figure.

Owns the way from folders to both. Exit status: 0; 1 if the figure could not be drawn; 2 for bad
input.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in {None, ""}:  # run as a file, from any folder, installed or not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from models.command.parsing import OneLineParser, fail, parse, path
from models.command.shared import add_results
from models.command.words import speaking

PROGRAM = "run_compare"


def options() -> OneLineParser:
    """All options of the command, each explained in words."""
    parser = OneLineParser(
        prog=PROGRAM,
        description="Compare runs of run_equilibrium, or of run_training: what they differ in and "
        "what came of each.",
        epilog="Exit status: 0; 1 if the figure could not be drawn; 2 bad input.",
    )
    parser.add_argument(
        "folders",
        type=path,
        nargs="+",
        metavar="FOLDER",
        help="the --output of a run; two or more, of one command",
    )
    add_results(
        parser,
        Path("results/compare"),
        "compare.json and the figure",
        quiet="print nothing",
    )
    return parser


@speaking(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    chosen = parse(options(), arguments)
    if len(chosen.folders) < 2:
        fail(PROGRAM, f"{chosen.folders[0]} is one run; give two folders or more")
    from analysis import pictures, records, side_by_side
    from analysis.lock import locked
    from circuit.errors import CircuitError
    from circuit.storage.results import open_results

    try:
        runs = [open_results(folder) for folder in chosen.folders]
        rows = side_by_side.table(runs)
        with locked(chosen.output) as folder:
            gone = pictures.put_away(folder, ("compare",))
            records.write_json(folder / "compare.json", {"runs": rows})
            if not chosen.quiet:
                print(side_by_side.in_text(rows))
            if chosen.no_figures:
                pictures.tell(PROGRAM, gone)
                return 0
            drawings = {"compare": ((), lambda _: side_by_side.figure(runs))}

            drawn = pictures.draw(
                PROGRAM,
                lambda: drawings,
                runs[0].data[side_by_side.kind_of(runs)],
                folder,
                pdf=chosen.pdf,
                gone=gone,
            )
    except CircuitError as error:
        fail(PROGRAM, str(error))
    return 1 if drawn.failed else 0


if __name__ == "__main__":
    sys.exit(main())
