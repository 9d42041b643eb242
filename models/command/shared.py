"""Options that several commands have, each with the same words in all of them.

Owns those words. Standard library only, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from models.command.parsing import Distinct, OneLineParser, at_least, fail, path, refuse_idle
from training.declarations import DATASETS

Options = OneLineParser | argparse._ArgumentGroup
OWN = "own"  # one's own images, as `training.images` calls them
SHIPPED = "digits"  # needs no --data-dir
MOST_WORKERS = max(8, 4 * (os.cpu_count() or 1))  # each computes on one core


def one_line(program: str, work: Callable[[], int]) -> int:
    """What `work` gives; bad input and too little memory leave in one line with status 2, and an
    interruption is said.
    """
    from circuit.errors import CircuitError
    from training.images import ImageError

    try:
        return work()
    except (CircuitError, ImageError) as error:
        fail(program, str(error))
    except MemoryError as error:
        fail(program, f"{error}; use a smaller --batch or narrower --widths")
    except KeyboardInterrupt:
        print(f"{program}: interrupted; no file was left half written", file=sys.stderr)
        return 130


def add_dataset(parser: OneLineParser) -> None:
    """--dataset of images to clamp."""
    parser.add_argument(
        "--dataset",
        choices=DATASETS,
        default="digits",
        help="images to clamp; digits (8x8) ship with scikit-learn (default: digits)",
    )


def add_images(parser: Options) -> None:
    """--images of one's own, in place of a data set that has a name, and their --targets."""
    parser.add_argument(
        "--targets",
        type=path,
        metavar="FILE",
        help="what the outputs are to be for the images of --images: an .npy file (images, outputs)"
        ", or an .npz file with an array targets; in place of their labels",
    )
    parser.add_argument(
        "--images",
        type=path,
        metavar="PATH",
        help="images of your own, in place of a data set: an .npz file with images and labels or "
        "targets, an .npy file, or a folder of pictures with one folder for each class; see "
        "docs/your_images.md",
    )


def take_own_images(program: str, chosen: argparse.Namespace) -> None:
    """Put --images, if given, with --targets in the place of --dataset and --data-dir.

    Leaves with status 2 where those are given too.
    """
    if chosen.images is not None:
        refuse_idle(program, chosen, {"dataset", "datasets", "data_dir"}, "--images")
        chosen.dataset, chosen.data_dir = OWN, chosen.images
        if chosen.targets is not None:
            from training.own_images import together

            chosen.data_dir = together(chosen.images, chosen.targets)
    else:
        refuse_idle(program, chosen, {"targets"}, "a data set, which has labels")


def add_data_dir(parser: Options) -> None:
    """--data-dir, which holds what is not shipped."""
    parser.add_argument(
        "--data-dir",
        type=path,
        metavar="DIR",
        help="folder with mnist.npz, fashion_mnist.npz, kmnist.npz; without it, the folder in "
        "GAIT_CIRCUIT_DATA, or a download from openml.org",
    )


def add_seeds(parser: OneLineParser, of: str) -> None:
    """--seeds in place of those of the scale; `of` says what they are seeds of."""
    parser.add_argument(
        "--seeds",
        type=at_least(0),
        nargs="+",
        action=Distinct,
        metavar="N",
        help=f"of {of}; replaces those of the scale",
    )


def add_processes(parser: OneLineParser) -> None:
    """--workers and --scheduler: where cells are run."""
    add = parser.add_argument
    add(
        "--workers",
        type=at_least(0, most=MOST_WORKERS),
        default=2,
        metavar="N",
        help="processes on this machine, each with one thread; 0 for none beside this one "
        "(default: 2)",
    )
    add("--retry", action="store_true", help="measure again what has failed in earlier runs")
    add(
        "--scheduler",
        metavar="ADDRESS",
        help="address of a Dask scheduler, such as tcp://10.0.0.1:8786, whose workers share the "
        "output folder; it and all who can reach it are trusted to run code as you; replaces "
        "--workers",
    )


def add_results(
    parser: Options,
    folder: Path,
    content: str,
    *,
    quiet: str,
    figures_only: str | None = None,
) -> None:
    """What is left of a run and said of it, and --config: the last options of every command.

    Parameters
    ----------
    folder : of --output by default
    content : what that folder is for
    quiet : what --quiet means
    figures_only : what --figures-only means; without it there is --no-figures in its place
    """
    add = parser.add_argument
    add(
        "--output",
        type=path,
        default=folder,
        metavar="DIR",
        help=f"folder for {content} (default: {folder.as_posix()})",
    )
    if figures_only is None:
        add("--no-figures", action="store_true", help="leave out the figures")
    else:
        add("--figures-only", action="store_true", help=figures_only)
    add("--pdf", action="store_true", help="save figures as PDF too")
    add("--quiet", action="store_true", help=quiet)
    add(
        "--config",
        type=path,
        metavar="FILE.toml",
        help="TOML file with any of the options that begin with --",
    )


def refuse_what_idles(program: str, chosen: argparse.Namespace, datasets: Iterable[str]) -> None:
    """Leave with status 2 for an option that does nothing with the others that were given.

    Parameters
    ----------
    datasets : those that the command will read
    """
    if getattr(chosen, "figures_only", False):
        drawing = {"figures", "studies", "figures_only", "output", "pdf", "quiet", "config"}
        refuse_idle(program, chosen, chosen.given - drawing, "--figures-only")
    if getattr(chosen, "no_figures", False):
        refuse_idle(program, chosen, {"pdf"}, "--no-figures")
    if getattr(chosen, "scheduler", None) is not None:
        refuse_idle(program, chosen, {"workers"}, "--scheduler")
    if set(datasets) == {SHIPPED}:
        refuse_idle(program, chosen, {"data_dir"}, f"data set {SHIPPED}")
