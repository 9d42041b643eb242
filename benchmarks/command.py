"""What the commands of the benchmarks share: options, the machine, results as they come.

Owns --quick and --output, what is said of the machine, and how sections are printed and kept.
Brings no NumPy, whose thread pool looks once at the cores there are.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.tables import Section

PACKAGES = ("numpy", "scipy", "torch", "torchdeq", "jax", "diffrax", "optimistix", "brian2")


def options(
    name: str, description: str | None, quick: str, sections: str = ""
) -> argparse.ArgumentParser:
    """A parser with --quick, whose help ends in `quick`, --output, and --only where there are
    several sections, a letter each.
    """
    parser = argparse.ArgumentParser(prog=f"benchmarks.{name}", description=description)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    if sections:
        parser.add_argument(
            "--only", nargs="+", choices=sections, default=list(sections), help="sections to run"
        )
    parser.add_argument("--quick", action="store_true", help=f"{quick}: does it run at all?")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write the results too")
    return parser


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was chosen, if the results can be written."""
    chosen = parser.parse_args(arguments)
    if chosen.output is not None and not chosen.output.resolve().parent.is_dir():
        parser.error(f"{chosen.output}: its folder does not exist; make it first")
    return chosen


def begun() -> dict[str, Any]:
    """The machine and what takes part, said and kept."""
    results = {"machine": machine(), "versions": versions()}
    print(f"{results['machine']}\n{results['versions']}")
    return results


def show(section: Section) -> None:
    """Print a section as Markdown."""
    from benchmarks.tables import table

    print(f"\n## {section.title}\n", table(section.rows), *section.remarks, sep="\n\n")


def keep(results: Mapping[str, Any], output: Path | None) -> None:
    """Write the results so far, if that was asked for."""
    if output is not None:
        output.write_text(json.dumps(results, indent=1) + "\n")


def run_sections(
    sections: Mapping[str, Callable[[Any], Section]],
    letters: Iterable[str],
    sizes: Any,
    output: Path | None,
) -> None:
    """Run sections in order; each is printed and kept as soon as it is there."""
    results: dict[str, Any] = {**begun(), "sections": {}}
    for letter in sorted(set(letters)):
        began = time.perf_counter()
        section = sections[letter](sizes)
        seconds = time.perf_counter() - began
        show(section)
        print(f"\n(section {letter}: {seconds:.0f} s)", flush=True)
        results["sections"][letter] = {
            "title": section.title,
            "rows": section.rows,
            "remarks": section.remarks,
            "seconds": seconds,
        }
        keep(results, output)  # after every section, should a later one fail


def machine() -> dict[str, Any]:
    """What it ran on, and how busy that was."""
    return {
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "load": list(os.getloadavg()),
    }


def versions() -> dict[str, str]:
    """Versions of what took part."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
