"""Settle a circuit on real images and see whether its equilibrium carries the targets of GAIT-prop.

The main command. Owns the way from options to a table, a verdict, figures and files. Does not own
the options (`models.equilibrium_options`), the trajectories (`analysis.trajectories`) nor what is
said of it all (`models.equilibrium_report`). Exit status: 0 if the circuit settled and its update
is the one that its pathway stands for, within a bound that is stated; 1 if not; 2 for bad input; 3
if it settled but the bound decides nothing; 130 if interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if __package__ in {None, ""}:  # run as a file, from any folder, installed or not
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.equilibrium_options import PROGRAM, make_trial, options
from models.options import fail, parse, plain, refuse_idle
from models.shared_options import refuse_what_idles


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    began = time.perf_counter()
    chosen = parse(options(), arguments)
    refuse_what_idles(PROGRAM, chosen, [chosen.dataset])
    if chosen.no_brian2:
        refuse_idle(PROGRAM, chosen, {"brian2_images"}, "--no-brian2")
    elif "brian2_images" in chosen.given and chosen.brian2_images > chosen.batch:
        words = f"more than the batch of {chosen.batch}; give {chosen.batch} or less"
        fail(PROGRAM, f"--brian2-images {chosen.brian2_images} is {words}")
    if chosen.widths is not None:
        refuse_idle(PROGRAM, chosen, {"depth"}, "--widths")
    from circuit.errors import CircuitError
    from models.images import ImageError

    try:
        return run(chosen, began)
    except (CircuitError, ImageError) as error:
        fail(PROGRAM, str(error))
    except MemoryError as error:
        fail(PROGRAM, f"{error}; use a smaller --batch or narrower --widths")
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted; nothing was overwritten", file=sys.stderr)
        return 130


def run(chosen: argparse.Namespace, began: float) -> int:
    """Everything between the options and the exit status."""
    import numpy as np

    from analysis import records
    from analysis.figures import canvas
    from analysis.figures.equilibrium import EQUILIBRIUM
    from analysis.report import as_dataset, report, tables
    from analysis.trajectories import integrate, simulate
    from circuit.equilibrium import settle
    from models.equilibrium_report import brian2_words, description, summarise

    say = (lambda *_, **__: None) if chosen.quiet else print
    seconds = {"start": time.perf_counter() - began}
    folder = records.output_folder(chosen.output)
    images_rng, weights_rng, synapses_rng = np.random.default_rng(chosen.seed).spawn(3)

    clock = time.perf_counter()
    trial, labels = make_trial(chosen, images_rng, weights_rng)
    seconds["load"] = time.perf_counter() - clock
    say(description(chosen, trial))

    record = settle(trial, chosen.method, tolerance=chosen.tolerance, must_converge=False)
    seconds["settle"] = record.seconds
    say(
        f"{record.method}: {record.status.value} in {record.seconds:.3f} s "
        f"({record.steps} steps, {record.evaluations} passes over the layers)"
    )
    found = report(record, chosen.readout)
    dataset = as_dataset(found, synapses_rng)
    dataset["label"] = ("sample", labels.astype("i4"))

    clock = time.perf_counter()
    brian2 = None
    if record.converged and not chosen.no_brian2:
        n_images = min(chosen.brian2_images, chosen.batch)
        brian2, simulated = simulate(record, n_images)
        dataset = dataset.merge(simulated, combine_attrs="no_conflicts")
        seconds["brian2"] = time.perf_counter() - clock
        say(
            f"Brian2: {n_images} image(s), {simulated.attrs['brian2_steps']} steps in "
            f"{seconds['brian2']:.1f} s"
        )
    elif record.converged and not chosen.no_figures:
        dataset = dataset.merge(integrate(record), combine_attrs="no_conflicts")

    say("", tables(found, brian2), "", sep="\n")
    for remark in found.remarks:
        say(remark)
    verdict = found.verdict + brian2_words(brian2)
    print(verdict)

    dataset.attrs |= {"verdict": verdict, "seed": chosen.seed, "config": str(plain(chosen))}
    dataset.attrs |= {f"version_{name}": number for name, number in records.versions().items()}
    records.write_dataset(folder / "equilibrium.nc", dataset)
    clock = time.perf_counter()
    if not chosen.no_figures:
        canvas.draw(EQUILIBRIUM, dataset, folder, pdf=chosen.pdf)
    seconds["figures"] = time.perf_counter() - clock
    seconds["total"] = time.perf_counter() - began
    summary = summarise(chosen, found, brian2, verdict, seconds)
    records.write_json(folder / "summary.json", summary)
    say(f"Written to {folder} in {seconds['total']:.1f} s in all.")
    return int(found.outcome.value)


if __name__ == "__main__":
    sys.exit(main())
