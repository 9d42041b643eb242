"""A command that sweeps studies: from options to result files, findings and figures.

Owns what the commands of studies have in common. Does not own the studies (`models.studies`), the
running of cells (`analysis.sweep`), the tables (`analysis.findings`) nor the pictures
(`analysis.figures`). Exit status: 0 if every cell is recorded, whatever its status; 1 if some are
missing; 2 for bad input; 130 if interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.options import OneLineParser, at_least, fail

if TYPE_CHECKING:
    import xarray as xr

    from analysis.sweep import Study

Special = Callable[[str, argparse.Namespace], dict[str, Any]]


EPILOG = (
    "What is done is kept: run the same command again to go on. Exit status: 0 every cell is "
    "recorded, whatever its status; 1 some are missing; 2 bad input; 130 interrupted."
)


def add_options(parser: OneLineParser, output: Path) -> None:
    """The options that all such commands have; `output` is the folder by default."""
    add = parser.add_argument
    add(
        "--scale",
        choices=("smoke", "laptop", "full"),
        default="laptop",
        help="how many cells: smoke takes seconds, laptop minutes, full hours (default: laptop)",
    )
    add(
        "--dataset",
        choices=("digits", "mnist", "fashion_mnist", "kmnist"),
        default="digits",
        help="images to clamp; digits (8x8) ship with scikit-learn (default: digits)",
    )
    add(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="folder with mnist.npz, fashion_mnist.npz, kmnist.npz; without it, the folder in "
        "GAIT_CIRCUIT_DATA, or a download from openml.org",
    )
    add(
        "--seeds",
        type=at_least(0),
        nargs="+",
        metavar="N",
        help="of images and weights; replaces those of the scale",
    )
    add(
        "--workers",
        type=at_least(0),
        default=2,
        metavar="N",
        help="processes on this machine, each with one thread; 0 for none beside this one "
        "(default: 2)",
    )
    add(
        "--scheduler",
        metavar="ADDRESS",
        help="address of a Dask scheduler, such as tcp://10.0.0.1:8786, whose workers share the "
        "output folder; replaces --workers",
    )
    add(
        "--output",
        type=Path,
        default=output,
        metavar="DIR",
        help=f"folder for NAME.nc of every study, its cells and the figures (default: {output})",
    )
    add(
        "--figures-only",
        action="store_true",
        help="measure nothing: draw the figures from the NAME.nc in --output",
    )
    add("--pdf", action="store_true", help="save figures as PDF too")
    add("--quiet", action="store_true", help="no progress and no findings, only the statuses")
    add("--config", metavar="FILE.toml", help="TOML file with any of these options")


def main(program: str, chosen: argparse.Namespace, special: Special) -> int:
    """Run the studies in `chosen.studies`; returns the exit status.

    Parameters
    ----------
    special : what a study is given beside dataset, data_dir and seeds, from its name and `chosen`
    """
    began = time.perf_counter()
    from circuit.errors import CircuitError
    from models.images import ImageError

    try:
        return run(chosen, special, began)
    except (CircuitError, ImageError) as error:
        fail(program, str(error))
    except KeyboardInterrupt:
        print(
            f"{program}: interrupted; what is done is kept: run the same command again to go on",
            file=sys.stderr,
        )
        return 130


def run(chosen: argparse.Namespace, special: Special, began: float) -> int:
    """Everything between the options and the exit status."""
    from analysis import records
    from analysis.figures import canvas
    from analysis.findings import findings

    names = list(dict.fromkeys(chosen.studies))
    folder = records.output_folder(chosen.output)
    if chosen.figures_only:
        results = {name: _read(folder / f"{name}.nc", name) for name in names}
    else:
        results = _sweep(chosen, special, names, folder)
    print(_statuses(results))
    n_figures = 0
    for name, data in results.items():
        if not chosen.quiet:
            print("", *findings(name, data), sep="\n")
        drawings = getattr(importlib.import_module(f"analysis.figures.{name}"), name.upper())
        n_figures += len(canvas.draw(drawings, data, folder, pdf=chosen.pdf))
    if not chosen.quiet:
        seconds = time.perf_counter() - began
        print(f"\n{n_figures} figures and {len(results)} results in {folder}, {seconds:.0f} s.")
    missing = any("missing" in data["status"].values for data in results.values())
    return 1 if missing else 0


def _sweep(
    chosen: argparse.Namespace, special: Special, names: list[str], folder: Path
) -> dict[str, xr.Dataset]:
    """Run the studies one after another, on the same processes; writes NAME.nc of each."""
    from analysis import records
    from analysis import sweep as engine
    from models import images

    # bad data are to be refused once, and not by every cell
    images.load(chosen.dataset, data_dir=chosen.data_dir)
    studies = [study_of(name, chosen, special) for name in names]
    results = {}
    with _processes(chosen, studies, folder) as address:
        for study in studies:
            data = engine.run(
                study, folder, workers=chosen.workers, scheduler=address, quiet=chosen.quiet
            )
            data.attrs |= {
                "config": str(_config(chosen)),
                "scale": chosen.scale,
                "seeds": sorted(set(data["seed"].values.tolist())),
            }
            records.write_dataset(folder / f"{study.name}.nc", data)
            results[study.name] = data
    return results


def study_of(name: str, chosen: argparse.Namespace, special: Special) -> Study:
    """The study called `name` with what was chosen for it."""
    module = importlib.import_module(f"models.studies.{name}")
    given: dict[str, Any] = {
        "dataset": chosen.dataset,
        "data_dir": None if chosen.data_dir is None else str(chosen.data_dir.resolve()),
        "seeds": None if chosen.seeds is None else tuple(chosen.seeds),
    }
    study: Study = module.study(chosen.scale, **given, **special(name, chosen))
    return study


@contextmanager
def _processes(
    chosen: argparse.Namespace, studies: Sequence[Study], folder: Path
) -> Iterator[str | None]:
    """Address of the scheduler for all studies; None where there is nothing to run, or here."""
    from analysis.sweep import local_cluster

    if chosen.scheduler is not None:
        yield chosen.scheduler
        return
    waiting = any(
        not study.path(cell, folder).exists() for study in studies for cell in study.cells
    )
    if chosen.workers and waiting:
        with local_cluster(chosen.workers) as address:
            yield address
    else:
        yield None


def _read(path: Path, name: str) -> xr.Dataset:
    """The result of a study, checked to be one."""
    from analysis.records import read_dataset
    from circuit.errors import CircuitError

    if not path.exists():
        raise CircuitError(f"{path}: no such file; run the study first, without --figures-only")
    data = read_dataset(path)
    if data.attrs.get("study") != name:
        raise CircuitError(f"{path} is no result of study {name}; run the study again")
    return data


def _statuses(results: dict[str, xr.Dataset]) -> str:
    """One line a study: its cells by status."""
    from analysis.cells import summary

    lines = [f"{'study':<14}{'cells':>6}  by status"]
    for name, data in results.items():
        words = [summary(str(status)) for status in data["status"].values]
        counts = {word: words.count(word) for word in sorted(set(words), key=words.count)[::-1]}
        listed = ", ".join(f"{count} {word}" for word, count in counts.items())
        lines.append(f"{name:<14}{len(words):>6}  {listed}")
        failed = [str(status) for status in data["status"].values if "failed" in str(status)]
        lines += [f"{'':<22}{status}" for status in dict.fromkeys(failed)][:3]
    return "\n".join(lines)


def _config(chosen: argparse.Namespace) -> dict[str, Any]:
    return {
        key: str(value) if isinstance(value, Path) else value for key, value in vars(chosen).items()
    }
