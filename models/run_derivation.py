"""Hold docs/derivation.md against the library, claim by claim, over random networks.

Owns the way from options to a table, figures and files. Exit status: 0 if every claim holds (and
every negative control does not agree); 1 if one fails; 2 for bad input.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in {None, ""}:  # run as a file, from any folder, installed or not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from models.command.parsing import Distinct, OneLineParser, at_least, fail, parse
from models.command.shared import add_results, refuse_what_idles
from models.command.words import speaking

if TYPE_CHECKING:
    from analysis.canvas import Drawings

PROGRAM = "run_derivation"


def options() -> OneLineParser:
    """All options of the command, each explained in words."""
    parser = OneLineParser(
        prog=PROGRAM,
        description="Hold the equations of the paper and of docs/derivation.md against the "
        "library, each with a prediction that shares no code with it and a bound that is "
        "derived, over random networks of depth 1 to 30, width 8 to 256 and feedback strength "
        "1e-6 to 0.5.",
        epilog="Exit status: 0 every claim holds, and every negative control disagrees; 1 one "
        "does not; 2 bad input.",
    )
    add = parser.add_argument
    add(
        "--scale",
        choices=("smoke", "full"),
        default="smoke",
        help="how many shapes of networks: smoke takes seconds, full minutes (default: smoke)",
    )
    add(
        "--seeds",
        type=at_least(0),
        nargs="+",
        action=Distinct,
        default=[1, 2],
        metavar="N",
        help="of the random networks, inputs and errors; the first also of the figures "
        "(default: 1 2)",
    )
    add(
        "--only",
        nargs="+",
        metavar="CLAIM",
        help="try these claims only, by the names in the table's first column",
    )
    add_results(
        parser,
        Path("results/derivation"),
        "figures, derivation.nc and derivation.json",
        quiet="print the verdict only",
    )
    return parser


PICTURES = ("fig1", "fig1_circuit", "orders")  # known without matplotlib


@speaking(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    began = time.perf_counter()
    chosen = parse(options(), arguments)
    refuse_what_idles(PROGRAM, chosen, ())
    from circuit.errors import CircuitError

    try:
        with ExitStack() as leaving:
            return run(chosen, began, leaving)
    except CircuitError as error:
        fail(PROGRAM, str(error))
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted; no file was left half written", file=sys.stderr)
        return 130


def run(chosen: argparse.Namespace, began: float, leaving: ExitStack) -> int:
    """Everything between the options and the exit status."""
    from tqdm import tqdm

    from analysis import pictures, records
    from analysis.derivation import claims as table
    from analysis.derivation import scattered_updates
    from analysis.derivation.claim import ClaimPlan
    from analysis.lock import locked
    from analysis.sweep.threads import one_thread
    from circuit.storage.owner import remove_leftovers

    say = (lambda *_, **__: None) if chosen.quiet else print
    claims = table.chosen(chosen.only)
    folder = leaving.enter_context(locked(chosen.output))
    remove_leftovers(folder)
    plan = ClaimPlan(chosen.scale, tuple(chosen.seeds))
    rows = []
    # where there is no terminal, a line now and then
    progress = tqdm(claims, unit="claim", leave=False, disable=chosen.quiet)
    if not sys.stderr.isatty():
        progress.mininterval = 30.0
    with one_thread():  # small matrices, which several threads only slow down
        for claim in progress:
            progress.set_description(claim.name, refresh=False)
            rows.append(table.judge(claim, plan))

    failing = [row.claim.name for row in rows if not row.holds]
    controls = sum(row.claim.control for row in rows)
    checks = sum(len(row.decided) for row in rows)
    verdict = (
        f"Does not hold: {', '.join(failing)}."
        if failing
        else f"All {len(rows) - controls} claims hold and all {controls} negative controls "
        f"disagree, in {checks} decided checks."
    )

    dataset = table.as_dataset(rows).merge(
        scattered_updates.scattered(plan.seeds[0]), combine_attrs="no_conflicts"
    )
    dataset.attrs |= {
        "verdict": verdict,
        "scale": plan.scale,
        "seeds": ", ".join(map(str, plan.seeds)),
    }
    versions = records.versions()
    dataset.attrs |= {f"version_{name}": number for name, number in versions.items()}
    gone = pictures.put_away(folder, PICTURES)
    records.write_dataset(folder / "derivation.nc", dataset)
    seconds = time.perf_counter() - began
    records.write_json(
        folder / "derivation.json",
        {
            "verdict": verdict,
            "holds": not failing,
            "scale": plan.scale,
            "seeds": plan.seeds,
            "seconds": seconds,
            "versions": versions,
            "claims": [table.as_dict(row) for row in rows],
        },
    )
    say(table.lines(rows), "", sep="\n")
    print(verdict)
    if chosen.no_figures:
        pictures.tell(PROGRAM, gone)
    else:
        saved = records.read_dataset(folder / "derivation.nc")
        pictures.draw(PROGRAM, _drawings, saved, folder, pdf=chosen.pdf, gone=gone)
    seconds = time.perf_counter() - began
    say(f"Written to {folder} in {seconds:.1f} s in all.")
    return 1 if failing else 0


def _drawings() -> Drawings:
    from analysis.derivation.figures import DERIVATION

    return DERIVATION


if __name__ == "__main__":
    sys.exit(main())
