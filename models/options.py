"""Command lines: options with their words, TOML files that hold the same, and errors in one line.

Owns how every command of this project is told what to do. Standard library only, so that `--help`
answers at once. Does not own what the options mean.
"""

from __future__ import annotations

import argparse
import math
import sys
import tomllib
from collections.abc import Callable, Collection, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

MOST = 2**31 - 1  # the largest whole number that a result file (NetCDF 3) holds
_UNSAID = object()


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaints are one line, with exit status 2."""

    def error(self, message: str) -> NoReturn:
        """Print `message` on one line and leave with status 2."""
        fail(self.prog, f"{message}; see --help")


def fail(program: str, message: str) -> NoReturn:
    """Print one line on standard error and leave with status 2."""
    print(f"{program}: error: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(2)


class Distinct(argparse.Action):
    """The action of an option that takes several values, none of them twice."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Keep the values. Raises `argparse.ArgumentError` for one that is there twice."""
        for place, value in enumerate(values):
            if value in values[:place]:
                raise argparse.ArgumentError(self, f"{value} is there twice; give each once")
        setattr(namespace, self.dest, values)


def at_least(least: float | None, kind: type = int, *, most: int = MOST) -> Callable[[str], Any]:
    """The type of an option that is a finite number (`int` or `float`), `least` or more, and if it
    is whole, `most` or less.
    """

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            word = "whole number" if kind is int else "number"
            raise argparse.ArgumentTypeError(f"{text!r} is no {word}") from None
        if kind is float and not math.isfinite(value):
            raise argparse.ArgumentTypeError(f"{text} is not finite; give a finite number")
        if least is not None and value < least:
            raise argparse.ArgumentTypeError(f"{text} is too small; give {least:g} or more")
        if kind is int and value > most:
            raise argparse.ArgumentTypeError(f"{text} is too large; give {most} or less")
        return value

    return convert


def parse(
    parser: OneLineParser, arguments: Sequence[str] | None, *, config_option: str = "config"
) -> argparse.Namespace:
    """Parse the command line, with a TOML file of the same options underneath it.

    What stands in the file goes through the same checks as what stands on the command line; the
    command line wins. A key that is no option leaves with status 2. What was given, in either of
    them, is told by `given`.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument(f"--{config_option}")
    chosen, _ = first.parse_known_args(arguments)
    path = getattr(chosen, config_option)
    if path is not None:
        # positional words stay in front, or a list in the file would swallow them
        words = list(takewhile(lambda word: not word.startswith("-"), arguments))
        of_file = _arguments_from(parser, Path(path), config_option)
        arguments = [*words, *of_file, *arguments[len(words) :]]
    chosen = parser.parse_args(arguments)
    unsaid = argparse.Namespace(**dict.fromkeys(vars(chosen), _UNSAID))
    said = vars(parser.parse_args(arguments, unsaid))
    chosen.given = frozenset(name for name, value in said.items() if value is not _UNSAID)
    return chosen


def plain(chosen: argparse.Namespace) -> dict[str, Any]:
    """What was chosen, by option, with paths as text: for files that keep it."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(chosen).items()
        if name != "given"
    }


def refuse_idle(
    program: str, chosen: argparse.Namespace, names: Collection[str], beside: str
) -> None:
    """Leave with status 2 if an option in `names` was given, which does nothing with `beside`."""
    for name in sorted(chosen.given.intersection(names)):
        option = f"--{name.replace('_', '-')}"
        fail(program, f"{option} does nothing with {beside}; leave out one of them")


def _arguments_from(parser: OneLineParser, path: Path, config_option: str) -> list[str]:
    try:
        settings: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        fail(parser.prog, f"config {path}: {error.strerror}; give a TOML file that can be read")
    except ValueError as error:  # of TOML, of its encoding, or of a name that no file can have
        fail(parser.prog, f"config {path} is not TOML ({error}); see the example in README.md")
    actions = {
        option.lstrip("-").replace("-", "_"): action
        for action in parser._actions
        if action.option_strings and action.dest not in ("help", config_option)
        for option in action.option_strings
    }
    arguments: list[str] = []
    for key, value in settings.items():
        action = actions.get(key.replace("-", "_"))
        if action is None:
            fail(
                parser.prog,
                f"config {path}: {key!r} is no option; choose from "
                + ", ".join(name.replace("_", "-") for name in actions),
            )
        option = action.option_strings[-1]
        if action.nargs == 0:
            if not isinstance(value, bool):
                fail(parser.prog, f"config {path}: {key} = {value!r}; give true or false")
            arguments += [option] if value else []
        elif isinstance(value, list):
            arguments += [option, *map(str, value)]
        elif isinstance(value, dict | bool):
            fail(parser.prog, f"config {path}: {key} = {value!r}; give a number, text or a list")
        else:
            arguments += [option, str(value)]
    return arguments
