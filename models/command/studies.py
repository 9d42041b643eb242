"""A command that sweeps studies: from options to result files, findings and figures.

Owns what the commands of studies have in common, and what the command of the paper's figures shares
with them: processes, result files, statuses, exit. Exit status: 0 if every cell is recorded,
whatever its status; 1 if some are missing, or a picture could not be drawn; 2 for bad input; 130 if
interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.command.parsing import OneLineParser, fail, plain
from models.command.shared import (
    add_data_dir,
    add_dataset,
    add_images,
    add_processes,
    add_results,
    add_seeds,
    refuse_what_idles,
    take_own_images,
)
from studies.catalogue import STUDIES

if TYPE_CHECKING:
    import xarray as xr

    from analysis.canvas import Drawings
    from analysis.sweep.run import Study

Special = Callable[[str, argparse.Namespace], dict[str, Any]]


def epilog(unit: str) -> str:
    """What ends the `--help` of such a command; `unit` is what it runs many of."""
    return (
        "What is done is kept: run the same command again to go on, with --retry also what has "
        "failed. Exit status: 0 every "
        f"{unit} is recorded, whatever its status; 1 some are missing, or a picture could not be "
        "drawn; 2 bad input; 130 interrupted."
    )


def add_options(parser: OneLineParser, output: Path) -> None:
    """The options that all such commands have; `output` is the folder by default."""
    parser.add_argument(
        "--scale",
        choices=("smoke", "laptop", "full"),
        default="laptop",
        help="how many cells: smoke takes seconds, laptop minutes, full hours (default: laptop)",
    )
    add_dataset(parser)
    add_data_dir(parser)
    add_images(parser)
    add_seeds(parser, "images and weights")
    add_processes(parser)
    add_results(
        parser,
        output,
        "NAME.nc of every study, its cells and the figures",
        quiet="no progress and no findings, only the statuses",
        figures_only="measure nothing: draw the figures from the NAME.nc in --output",
    )


def main(program: str, chosen: argparse.Namespace, special: Special) -> int:
    """Run the studies in `chosen.studies`; returns the exit status.

    Parameters
    ----------
    special : what a study is given beside dataset, data_dir and seeds, from its name and `chosen`
    """
    began = time.perf_counter()
    take_own_images(program, chosen)
    refuse_what_idles(program, chosen, datasets_of(chosen))
    return exit_status(program, lambda leaving: run(program, chosen, special, began, leaving))


def datasets_of(chosen: argparse.Namespace) -> set[str]:
    """The data sets that the studies will read: the one that was chosen, or a study's own."""
    if "data_dir" not in chosen.given:
        return {chosen.dataset}  # nobody asks which, and nothing need be imported
    doors = [STUDIES[name].door("study") for name in chosen.studies]
    return {
        name
        for door in doors
        for name in getattr(door, "datasets_of", _chosen_alone)(chosen.scale, chosen.dataset)
    }


def _chosen_alone(scale: str, dataset: str) -> tuple[str, ...]:
    return (dataset,)


def exit_status(program: str, work: Callable[[ExitStack], int]) -> int:
    """That of `work`; bad input and an interruption are told in one line.

    `work` is given a stack, for what it holds until it ends.
    """
    from circuit.errors import CircuitError
    from training.images import ImageError

    try:
        with ExitStack() as leaving:
            return work(leaving)
    except (CircuitError, ImageError) as error:
        fail(program, str(error))
    except KeyboardInterrupt:
        print(
            f"{program}: interrupted; what is done is kept: run the same command again to go on",
            file=sys.stderr,
        )
        return 130


def run(
    program: str, chosen: argparse.Namespace, special: Special, began: float, leaving: ExitStack
) -> int:
    """Everything between the options and the exit status."""
    from analysis import pictures
    from analysis.lock import locked
    from circuit.storage.owner import remove_leftovers

    names = list(dict.fromkeys(chosen.studies))
    folder = leaving.enter_context(locked(chosen.output))
    if chosen.figures_only:
        results = {
            name: result(folder / f"{name}.nc", "study", name, version_of(name)) for name in names
        }
    else:
        results = _sweep(chosen, special, names, folder)
    remove_leftovers(folder)
    print(_statuses(results))
    drawn = []
    for name, data in results.items():
        if not chosen.quiet:
            print("", *findings(name, data), sep="\n")
        drawings = partial(_drawings, name)
        drawn.append(pictures.draw(program, drawings, data, folder, pdf=chosen.pdf))
    if not chosen.quiet:
        seconds = time.perf_counter() - began
        n_figures = sum(len(one.files) for one in drawn)
        print(f"\n{n_figures} figures and {len(results)} results in {folder}, {seconds:.0f} s.")
    failed = any(one.failed for one in drawn)
    return 1 if failed or any(map(has_holes, results.values())) else 0


def _drawings(name: str) -> Drawings:
    """The pictures of study `name`."""
    found: Drawings = STUDIES[name].door("figures").FIGURES
    return found


def findings(name: str, data: xr.Dataset) -> list[str]:
    """The lines to print for the study called `name`."""
    if nothing_measured(data):
        return [f"{name}: no cell has a result"]
    lines: list[str] = STUDIES[name].door("findings").findings(data)
    return lines


def _sweep(
    chosen: argparse.Namespace, special: Special, names: list[str], folder: Path
) -> dict[str, xr.Dataset]:
    """Run the studies one after another, on the same processes; writes NAME.nc of each."""
    from training import images

    # bad data are to be refused once, and not by every cell
    data = images.load(chosen.dataset, data_dir=chosen.data_dir)
    remark = data.name if chosen.images is not None else data.remark
    if remark and not chosen.quiet:
        print(remark, file=sys.stderr)
    studies = [study_of(name, chosen, special) for name in names]
    with processes(chosen, studies, folder) as address:
        return {
            study.name: swept(study, chosen, address, folder / f"{study.name}.nc")
            for study in studies
        }


def study_of(name: str, chosen: argparse.Namespace, special: Special) -> Study:
    """The study called `name` with what was chosen for it."""
    given: dict[str, Any] = {
        "dataset": chosen.dataset,
        "data_dir": data_folder(chosen),
        "seeds": None if chosen.seeds is None else tuple(chosen.seeds),
    }
    study: Study = STUDIES[name].door("study").study(chosen.scale, **given, **special(name, chosen))
    return study


def data_folder(chosen: argparse.Namespace) -> str | None:
    """--data-dir as other processes, in other folders, find it."""
    return None if chosen.data_dir is None else str(chosen.data_dir.resolve())


@contextmanager
def processes(
    chosen: argparse.Namespace, studies: Sequence[Study], folder: Path
) -> Iterator[str | None]:
    """Address of the scheduler for all studies; None where there is nothing to run, or here."""
    from analysis.sweep.run import forget_failed, local_cluster

    if chosen.retry:
        again = sum(forget_failed(study, folder) for study in studies)
        if not chosen.quiet:
            print(f"{again} that had failed are tried again", file=sys.stderr)
    if chosen.scheduler is not None and studies:
        yield chosen.scheduler
        return
    waiting = [
        len(study.groups(cell for cell in study.cells if not study.path(cell, folder).exists()))
        for study in studies
    ]
    if chosen.workers and any(waiting):
        with local_cluster(min(chosen.workers, max(waiting))) as address:
            yield address
    else:
        yield None


def swept(
    study: Study, chosen: argparse.Namespace, address: str | None, path: Path, **labels: str
) -> xr.Dataset:
    """The cells of `study`, those measured that are not there yet; written to `path`.

    Parameters
    ----------
    address : of the scheduler; None to measure in this process
    labels : attributes of the result, beside scale, seeds and all that was chosen
    """
    from analysis.sweep import run as sweep

    data = sweep.run(
        study, path.parent, workers=chosen.workers, scheduler=address, quiet=chosen.quiet
    )
    return _labelled(data, chosen, path, **labels)


def so_far(
    study: Study, chosen: argparse.Namespace, address: str | None, path: Path, **labels: str
) -> xr.Dataset:
    """As `swept`, of the cells that are there; none is measured."""
    from analysis.sweep.kept import collect

    return _labelled(collect(study, path.parent), chosen, path, **labels)


def _labelled(
    data: xr.Dataset, chosen: argparse.Namespace, path: Path, **labels: str
) -> xr.Dataset:
    """A result with what was chosen for it, written to `path`."""
    from analysis import records

    data.attrs |= labels | {"config": str(plain(chosen)), "scale": chosen.scale}
    if "seed" in data.coords:  # of cells with several, known only of those that are measured
        data.attrs["seeds"] = sorted(set(data["seed"].values.tolist()))
    records.write_dataset(path, data)
    return data


def version_of(name: str) -> int:
    """The version of what the cells of study `name` mean."""
    return int(STUDIES[name].door("study").VERSION)


def result(path: Path, kind: str, name: str, version: int) -> xr.Dataset:
    """What an earlier run has left, checked to be of the `kind` ("study", "figure") called `name`,
    and of the `version` that is known here.

    Raises `CircuitError`.
    """
    from analysis.records import read_dataset
    from circuit.errors import CircuitError

    if not path.is_file():
        raise CircuitError(f"{path}: no such file; run the {kind} first, without --figures-only")
    data = read_dataset(path)
    if data.attrs.get(kind) != name or "cell" not in data.dims or "status" not in data:
        raise CircuitError(f"{path} is no result of {kind} {name}; run the {kind} again")
    if data.attrs.get("study_version") != version:
        raise CircuitError(
            f"{path} is of version {data.attrs.get('study_version')} of {kind} {name}, and this is "
            f"version {version}; run the {kind} again"
        )
    return data


def has_holes(data: xr.Dataset) -> bool:
    """Whether cells are missing."""
    from analysis.sweep.kept import MISSING

    return bool((data["status"] == MISSING).any())


def nothing_measured(data: xr.Dataset) -> bool:
    """Whether no cell has anything but its status: all of them are missing or failed."""
    return set(data.data_vars) == {"status"}


def by_status(data: xr.Dataset) -> str:
    """How many cells have which status, the most frequent first."""
    from analysis.sweep.kept import summary

    counts = Counter(sorted(summary(str(status)) for status in data["status"].values))
    return ", ".join(f"{count} {word}" for word, count in counts.most_common())


def _statuses(results: dict[str, xr.Dataset]) -> str:
    """One line a study: its cells by status."""
    lines = [f"{'study':<14}{'cells':>6}  by status"]
    for name, data in results.items():
        statuses = [str(status) for status in data["status"].values]
        lines.append(f"{name:<14}{len(statuses):>6}  {by_status(data)}")
        failed = [status for status in statuses if "failed" in status]
        lines += [f"{'':<22}{status}" for status in dict.fromkeys(failed)][:3]
    return "\n".join(lines)
