"""Every theory of credit assignment on one bench: what should a layer learn from?

Owns the way from options to a table, figures and files. Does not own the options
(`models.command.bench_options`) nor what is measured (`circuit.report.bench`). Exit status: 0 if
every rule gave an answer for some image, 1 if one did not, 2 for bad input, 130 if interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in {None, ""}:  # run as a file, from any folder, installed or not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from models.command.bench_options import PROGRAM, lessons, options, refuse_what_idles_on_the_bench
from models.command.network_options import batch_and_network, refuse_idle_network
from models.command.parsing import parse, plain
from models.command.rule_files import require_known, use_rule_files
from models.command.shared import one_line, refuse_what_idles, take_own_images
from models.command.words import speaking

if TYPE_CHECKING:
    from analysis.canvas import Drawings

PICTURES = ("bench_cosine", "bench_price", "bench_linear")  # known without matplotlib


@speaking(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with use_rule_files(PROGRAM, arguments):
        return _main(arguments)


def _main(arguments: Sequence[str]) -> int:
    """The command, where the table holds the user's rules too."""
    began = time.perf_counter()
    chosen = parse(options(), arguments)
    require_known(PROGRAM, chosen)
    take_own_images(PROGRAM, chosen)
    refuse_what_idles(PROGRAM, chosen, [chosen.dataset])
    refuse_idle_network(PROGRAM, chosen)
    refuse_what_idles_on_the_bench(chosen)
    return one_line(PROGRAM, lambda: run(chosen, began))


def run(chosen: argparse.Namespace, began: float) -> int:
    """Everything between the options and the exit status."""
    import numpy as np

    from analysis import pictures, records
    from analysis.bench.linear_theory import held_against_theory
    from analysis.lock import locked
    from circuit.report.bench import bench
    from circuit.report.bench_tables import as_dataset, as_values, text
    from circuit.storage.owner import remove_leftovers
    from models.command.equilibrium_summary import shortened
    from training import images

    say = (lambda *_, **__: None) if chosen.quiet else print
    asked = lessons(chosen)
    with locked(chosen.output) as folder:
        images_rng, weights_rng = np.random.default_rng(chosen.seed).spawn(2)
        data, network = batch_and_network(chosen, images_rng, weights_rng)
        targets = images.targets_of(data, chosen.precision)
        units = "+".join(dict.fromkeys(unit.name for unit in network.activations))
        say(
            f"{len(data.inputs)} images of {data.name}, layers {shortened(network.widths)} "
            f"({network.n_outputs} outputs with a target), "
            + (f"{chosen.init} weights" if chosen.weights is None else f"weights {chosen.weights}")
            + f", {units}, {chosen.precision}; {len(asked)} rules",
            flush=True,
        )
        if data.remark:
            say(data.remark, flush=True)
        remove_leftovers(folder)
        found = bench(
            network, data.inputs, targets, asked, practice=chosen.practice, seed=chosen.seed
        )
        kept = np.delete(np.arange(len(targets)), list(found.left_out))
        theory = held_against_theory(
            network, data.inputs[kept], targets[kept], asked, chosen.practice, chosen.seed
        )
        dataset = as_dataset(found).merge(theory)
        dataset.attrs |= {"seed": chosen.seed, "config": str(plain(chosen)), "units": units}
        dataset.attrs |= {f"version_{name}": one for name, one in records.versions().items()}
        gone = pictures.put_away(folder, PICTURES)
        records.write_dataset(folder / "bench.nc", dataset)
        summary = {
            "rules": as_values(found),
            "config": plain(chosen),
            "versions": records.versions(),
            "seed": chosen.seed,
            "left_out": list(found.left_out),
        }
        records.write_json(folder / "summary.json", summary)
        say("", text(found), "", sep="\n")
        if chosen.no_figures:
            pictures.tell(PROGRAM, gone)
        else:
            pictures.draw(PROGRAM, _drawings, dataset, folder, pdf=chosen.pdf, gone=gone)
        say(f"Written to {folder} in {time.perf_counter() - began:.1f} s in all.")
    return int(any(not mark.bp for mark in found.marks))


def _drawings() -> Drawings:
    from analysis.bench.figures import BENCH

    return BENCH


if __name__ == "__main__":
    sys.exit(main())
