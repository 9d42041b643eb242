"""Figures 2 and 3 of the paper, its grid search, the regulariser now and then, and all rules side
by side: training runs, pictures, tables.

Owns the way from options to result files, pictures and tables. Exit status: 0 if every run is
recorded, whatever its status; 1 if some are missing, or a picture could not be drawn; 2 for bad
input; 130 if interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in {None, ""}:  # run as a file, from any folder, installed or not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from analysis.controls import CONTROLS
from circuit.peers.table import TABLE
from models.command import studies as study_command
from models.command.parsing import OneLineParser, at_least, fail, parse, refuse_idle
from models.command.rule_files import add_rule_file, require_known, use_rule_files
from models.command.shared import (
    OWN,
    add_data_dir,
    add_images,
    add_processes,
    add_results,
    add_seeds,
    refuse_what_idles,
    take_own_images,
)
from models.command.words import speaking
from training.declarations import DATASETS

if TYPE_CHECKING:
    import xarray as xr

    from analysis.canvas import Drawings
    from analysis.sweep.run import Study

PROGRAM = "run_figures"
# in this order, one by one
FIGURES = ("fig2b", "fig3", "fig2c", "fig2a", "grid", "every", "claim", "longer")
ALL = "all"
BENCH = ("bench_grid", "bench")  # of every rule there is, and in this order
RULES = ("bp", "gait", "grait", "circuit", "itp", "tp", *CONTROLS)  # of all others


def options() -> OneLineParser:
    """All options of the command, each explained in words."""
    parser = OneLineParser(
        prog=PROGRAM,
        description="Train networks by BP, GAIT-prop, GRAIT-prop, the circuit, ITP and TP, and "
        "draw the paper's figures of it. fig2a: depths. fig2b: three data sets. fig2c: linear "
        "networks. fig3: narrowing layers. grid: learning rate and lambda, judged on validation "
        "images. every: the pull towards orthogonal weights in every k-th step. claim: do "
        "GAIT-prop, GRAIT-prop, the circuit and TP learn as well as BP with the same lambda? "
        "longer: the same for more epochs. bench: by every rule of the table, against BP; with "
        "what bench_grid has chosen, if its result lies in --output. See docs/results.md.",
        epilog=study_command.epilog("run"),
    )
    add = parser.add_argument
    add(
        "figures",
        nargs="+",
        choices=(*FIGURES, *BENCH, ALL),
        metavar="FIGURE",
        help=f"which of {', '.join(sorted({*FIGURES, *BENCH}))}, or {ALL} but bench and bench_grid",
    )
    add(
        "--scale",
        choices=("smoke", "laptop", "desk", "paper"),
        default="smoke",
        help="smoke: digits, seconds; laptop: three data sets of 14 x 14 pixels, an hour on "
        "two cores; desk: the paper's sizes for 15 epochs, a night for claim and longer; paper: as "
        "in the paper, 100 epochs, weeks on two cores (default: smoke)",
    )
    add(
        "--datasets",
        nargs="+",
        choices=DATASETS,
        metavar="NAME",
        help=f"{', '.join(DATASETS)}: in place of those of the scale; the first is "
        "also that of fig2a, of the grid, of every (beside digits) and of the curves of fig3",
    )
    add_data_dir(parser)
    add_images(parser)
    add_seeds(parser, "weights, split and order of images")
    add(
        "--parameters",
        choices=("best", "same"),
        default="best",
        help="best: every rule has the learning rate and lambda that suit it; same: all have the "
        "same and weights are kept near orthogonal, so that only the rule differs; for fig2a, "
        "fig2b and fig3; use another --output (default: best)",
    )
    add(
        "--learning-rate",
        type=at_least(None, float),
        metavar="R",
        help="with --parameters same: in place of the scale's",
    )
    add(
        "--orthogonality",
        type=at_least(None, float),
        metavar="L",
        help="with --parameters same: lambda in place of the scale's",
    )
    add(
        "--rules",
        nargs="+",
        choices=(*TABLE, *CONTROLS),
        metavar="RULE",
        help=f"only some of {', '.join(RULES)}; for bench and bench_grid of {', '.join(TABLE)} "
        "(default: all)",
    )
    add_rule_file(parser)
    add(
        "--device",
        metavar="NAME",
        help="device of PyTorch, such as cuda, to train on; without it, NumPy",
    )
    add(
        "--so-far",
        action="store_true",
        help="train nothing: make FIGURE.nc and the pictures of the runs in --output that are done",
    )
    add_processes(parser)
    add_results(
        parser,
        Path("results/figures"),
        "FIGURE.nc of every figure, the runs and the pictures",
        quiet="no progress and no tables, only the statuses",
        figures_only="train nothing: draw the pictures from the FIGURE.nc in --output",
    )
    return parser


@speaking(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    began = time.perf_counter()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with use_rule_files(PROGRAM, arguments):
        chosen = parse(options(), arguments)
        require_known(PROGRAM, chosen)
        return study_command.exit_status(PROGRAM, lambda leaving: run(chosen, began, leaving))


def run(chosen: argparse.Namespace, began: float, leaving: ExitStack) -> int:
    """Everything between the options and the exit status."""
    from analysis import pictures
    from analysis.comparison import grid_findings, interval_findings
    from analysis.lock import locked
    from analysis.records import write_dataset
    from circuit.storage.owner import remove_leftovers
    from studies.paper_figures import every_rule_findings as every_rule
    from studies.paper_figures import study as training
    from studies.paper_figures.claim import claim_findings
    from studies.paper_figures.findings import figure_findings
    from studies.paper_figures.looks import longer_findings

    names = [name for name in FIGURES if {name, ALL} & set(chosen.figures)]
    names += [name for name in BENCH if name in chosen.figures]
    _refuse_rules(chosen, names)
    if chosen.so_far and chosen.figures_only:
        fail(PROGRAM, "--so-far makes anew what --figures-only reads; leave one of them out")
    take_own_images(PROGRAM, chosen)
    if chosen.images is not None:
        chosen.datasets = [OWN]
    studies = {} if chosen.figures_only else {name: _study(name, chosen) for name in names}
    datasets = {str(cell["dataset"]) for study in studies.values() for cell in study.cells}
    refuse_what_idles(PROGRAM, chosen, datasets)
    for name in chosen.datasets or ():
        if studies and name not in datasets:
            fail(PROGRAM, f"--datasets {name} is in none of {', '.join(names)}; leave it out")
    idle = sorted(set(names) - set(training.OWN))
    if idle and chosen.parameters == "same":
        fail(PROGRAM, f"--parameters same changes nothing in {', '.join(idle)}; leave them out")
    for name in ("learning_rate", "orthogonality"):
        if getattr(chosen, name) is not None and chosen.parameters != "same":
            fail(PROGRAM, f"--{name.replace('_', '-')} is that of all rules; add --parameters same")
    folder = leaving.enter_context(locked(chosen.output))
    if studies:
        _check(chosen, studies)
    remove_leftovers(folder)
    incomplete, findings = (
        False,
        {
            "grid": grid_findings,
            "every": interval_findings,
            "claim": claim_findings,
            "longer": longer_findings,
            "bench": every_rule.bench_findings,
            "bench_grid": every_rule.bench_grid_findings,
        },
    )
    waiting = [] if chosen.so_far else list(studies.values())
    with study_command.processes(chosen, waiting, folder) as address:
        for name in names:
            path = folder / f"{name}.nc"
            if chosen.figures_only:
                data = study_command.result(path, "figure", name, _version(name))
            else:
                # with what a grid has chosen meanwhile
                study = _study(name, chosen, folder) if name == "bench" else studies[name]
                take = study_command.so_far if chosen.so_far else study_command.swept
                data = take(study, chosen, address, path, figure=name)
                # the same runs, without the figure
                (folder / f"{study.name}.nc").unlink(missing_ok=True)
                if name == "bench" and not study_command.nothing_measured(data):
                    data = every_rule.with_times(data)
                    write_dataset(path, data)
            incomplete |= study_command.has_holes(data)
            print(_statuses(name, data))
            drawn = pictures.draw(PROGRAM, partial(_drawing, name), data, folder, pdf=chosen.pdf)
            incomplete |= bool(drawn.failed)
            if not chosen.quiet:
                told_of = findings.get(name, figure_findings)
                lines = [] if study_command.nothing_measured(data) else told_of(data)
                print("", *lines, "", sep="\n", flush=True)
    if not chosen.quiet:
        seconds = time.perf_counter() - began
        print(f"Results and pictures of {', '.join(names)} in {folder}, {seconds:.0f} s.")
    return 1 if incomplete else 0


def _drawing(name: str) -> Drawings:
    """The picture of the figure called `name`."""
    from studies.paper_figures.every_rule_figure import bench, bench_grid
    from studies.paper_figures.figures import FIGURES

    drawn = ({"bench": bench, "bench_grid": bench_grid} | FIGURES)[name]
    return {name: (("test_accuracy",), drawn)}


def _version(name: str) -> int:
    """Of what the runs of a figure mean."""
    from studies.paper_figures import every_rule, study

    return every_rule.VERSION if name in BENCH else study.VERSION


def _refuse_rules(chosen: argparse.Namespace, names: Sequence[str]) -> None:
    """Leave with status 2 for rules that a figure does not have, and a rule file that none has."""
    others = [name for name in names if name not in BENCH]
    if others and (unknown := sorted(set(chosen.rules or ()) - set(RULES))):
        fail(PROGRAM, f"--rules {unknown[0]} is in none of {', '.join(others)}; leave it out")
    if others == list(names):
        refuse_idle(PROGRAM, chosen, {"rule_file"}, ", ".join(names))


def _study(name: str, chosen: argparse.Namespace, folder: Path | None = None) -> Study:
    """The runs of the figure called `name` with what was chosen for it, and what a grid whose
    result is in `folder` has.
    """
    from studies.paper_figures import study as training

    if name in BENCH:
        return _bench_study(name, chosen, folder)
    same = (chosen.learning_rate, chosen.orthogonality)
    of_all = _of_all(chosen)
    return training.study(name, chosen.scale, parameters=chosen.parameters, same=same, **of_all)


def _of_all(chosen: argparse.Namespace) -> dict[str, Any]:
    """What the runs of every figure are given."""
    return {
        "datasets": None if chosen.datasets is None else list(dict.fromkeys(chosen.datasets)),
        "data_dir": study_command.data_folder(chosen),
        "seeds": chosen.seeds,
        "rules": chosen.rules,
        "device": chosen.device,
    }


def _bench_study(name: str, chosen: argparse.Namespace, folder: Path | None) -> Study:
    """The same for a figure of `BENCH`."""
    from studies.paper_figures import every_rule
    from studies.paper_figures.every_rule_findings import best_of_bench_grid

    best, of_grid = {}, None if folder is None else folder / "bench_grid.nc"
    if of_grid is not None and of_grid.is_file():
        data = study_command.result(of_grid, "figure", "bench_grid", every_rule.VERSION)
        if study_command.has_holes(data):
            words = "has runs missing: bench takes the best of those that are there"
            print(f"{PROGRAM}: {of_grid} {words}", file=sys.stderr)
        best = {rule: found[:2] for rule, found in best_of_bench_grid(data).items()}
    file = None if chosen.rule_file is None else str(chosen.rule_file.resolve())
    return every_rule.study(name, chosen.scale, rule_file=file, chosen=best, **_of_all(chosen))


def _check(chosen: argparse.Namespace, studies: dict[str, Study]) -> None:
    """Refuse a bad device, bad data and bad parameters once, and not in every run."""
    from circuit.learning.regulariser import Regulariser
    from circuit.settings.learning import Adam
    from models.run_training import require_device
    from training import images

    require_device(chosen.device)
    cells = [cell for one in studies.values() for cell in one.cells]
    for pair in {(cell["learning_rate"], cell.get("orthogonality", 0)) for cell in cells}:
        rate, strength = (float(str(value)) for value in pair)
        Adam(rate)
        Regulariser(strength)
    for dataset in dict.fromkeys(cell["dataset"] for cell in cells):
        data = images.load(str(dataset), data_dir=chosen.data_dir, dtype="float32")
        if data.remark and not chosen.quiet:
            print(data.remark, file=sys.stderr)


def _statuses(name: str, data: xr.Dataset) -> str:
    """One line: the runs of a figure by status; and what failed, by data set and rule."""
    lines = [f"{name}: {data.sizes['cell']} runs, {study_command.by_status(data)}"]
    for place, status in enumerate(data["status"].values):
        if "failed" in str(status):
            run = data.isel(cell=place)
            shape = "".join(
                f"{run[what].item()}, " for what in ("widths", "activation") if what in run
            )
            strength = f"lambda {run['orthogonality'].item():g}, " if "orthogonality" in run else ""
            lines.append(
                f"  {run['rule'].item()} on {run['dataset'].item()}, {shape}learning rate "
                f"{run['learning_rate'].item():g}, {strength}seed {int(run['seed'])}: {status}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
