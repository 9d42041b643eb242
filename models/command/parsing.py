"""Command lines: options with their words, TOML files that hold the same, and errors in one line.

Owns how every command of this project is told what to do. Standard library only, so that `--help`
answers at once.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

from circuit.checks.words import shortened

MOST = 2**31 - 1  # the largest whole number that a result file (NetCDF 3) holds
MOST_CONFIG = 2**20  # bytes of a TOML file
MOST_WORD, MOST_MESSAGE = 300, 3000  # characters of what is quoted, and of a line
NEGATIVE = re.compile(r"-(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(e[+-]?\d+)?$|-(inf|infinity|nan)$", re.I)
_UNSAID = object()


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaints are one line, with exit status 2.

    What begins with `-` and is a number in any spelling is a value and no option: -1e-5, -inf.
    `tables` tells of each table that a TOML file may hold what its keys are as options; it raises
    `ValueError`, whose message follows the table's name.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._negative_number_matcher = NEGATIVE  # argparse's own lacks exponents
        self.tables: dict[str, Callable[[Mapping[str, Any]], list[tuple[str, str, Any]]]] = {}

    def error(self, message: str) -> NoReturn:
        """Print `message` on one line and leave with status 2."""
        fail(self.prog, f"{message}; see --help")


def fail(program: str, message: str) -> NoReturn:
    """Print one line on standard error, of bounded length, and leave with status 2."""
    words = " ".join(shortened(word, MOST_WORD) for word in str(message).split())
    print(f"{program}: error: {shortened(words, MOST_MESSAGE)}", file=sys.stderr)
    sys.exit(2)


def path(text: str) -> Path:
    """The type of an option that names a file or folder, where `~` is a home folder, as in a shell.

    A shell does not see to it in --output=~/x, nor in a TOML file.
    """
    full = os.path.expanduser(text)  # not Path.expanduser, to which ./~ is ~ too
    if full.startswith("~"):  # no such user
        raise argparse.ArgumentTypeError(
            f"{text!r}: no such home folder; write ./{text} for a name that begins with ~"
        )
    return Path(full)


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
            digits = text.strip().lstrip("+-").isdecimal()  # more of them than Python converts
            word = "whole number" if kind is int else "number"
            fault = f"of {len(text)} digits is out of range" if digits else f"is no {word}"
            raise argparse.ArgumentTypeError(f"{shortened(text, 40)!r} {fault}") from None
        text = shortened(text, 40)
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
    first = OneLineParser(prog=parser.prog, add_help=False, allow_abbrev=False)
    first.add_argument(f"--{config_option}", type=path, action="append", default=[])
    files: list[Path] = getattr(first.parse_known_args(arguments)[0], config_option)
    if len(files) > 1:
        fail(parser.prog, f"--{config_option} is there {len(files)} times; put all into one file")
    for file in files:
        # positional words stay in front, or a list in the file would swallow them
        words = list(takewhile(lambda word: not word.startswith("-"), arguments))
        of_file = _arguments_from(parser, file, config_option)
        arguments = [*words, *of_file, *arguments[len(words) :]]
    chosen = parser.parse_args(arguments)
    if getattr(chosen, config_option, None) is not None and not files:
        fail(parser.prog, f"--{config_option} is abbreviated; write it in full")
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
    """The options in the file, as they would stand on the command line."""
    actions = {
        option.lstrip("-").replace("-", "_"): action
        for action in parser._actions
        if action.option_strings and action.dest not in ("help", config_option)
        for option in action.option_strings
    }
    arguments: list[str] = []
    seen: dict[str, str] = {}
    for where, key, value in _flat(parser, path):
        name = key.replace("-", "_")
        if name not in actions:
            nor, options = "", ", ".join(name.replace("_", "-") for name in actions)
            if isinstance(value, dict) and parser.tables:
                tables = ", ".join(f"[{table}]" for table in parser.tables)
                nor = f", nor a table of any; tables are {tables}"
            fail(parser.prog, f"config {path}: {key!r} is no option{nor}; choose from {options}")
        if name in seen:
            fail(parser.prog, f"config {path}: {seen[name]} and {where} are one option; give one")
        seen[name] = where
        try:
            arguments += _words(actions[name], value)
        except ValueError as error:
            fail(parser.prog, f"config {path}: {key} {error}")
    return arguments


def _flat(parser: OneLineParser, path: Path) -> Iterator[tuple[str, str, Any]]:
    """Where each value of a TOML file stands, in words, and the option that it is of; tables as the
    options that they stand for.
    """
    for key, value in read_toml(parser.prog, path).items():
        if isinstance(value, dict) and key in parser.tables:
            try:
                yield from parser.tables[key](value)
            except ValueError as error:
                fail(parser.prog, f"config {path}: [{key}] {error}")
        else:
            yield key, key, value


def read_toml(program: str, path: Path) -> dict[str, Any]:
    """What stands in a TOML file; leaves with status 2 where that cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_CONFIG + 1)
        if len(content) > MOST_CONFIG:
            fail(program, f"config {path} has more than {MOST_CONFIG} bytes; give a TOML file")
        return tomllib.loads(content.decode("utf-8-sig"))  # Windows begins files with a mark
    except OSError as error:
        fail(program, f"config {path}: {error.strerror}; give a TOML file that can be read")
    except RecursionError:
        fail(program, f"config {path} is nested too deeply; give numbers, texts and lists of them")
    except ValueError as error:  # of TOML, of its encoding, or of a name that no file can have
        example = "see the example in docs/main_command.md"
        fail(program, f"config {path} is not TOML ({error}); {example}")


def _words(action: argparse.Action, value: Any) -> list[str]:
    """An option and its value as words. Raises `ValueError`, whose message follows the key."""
    option = action.option_strings[-1]
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ValueError("is no truth value; give true or false")
        return [option] if value else []
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        if isinstance(entry, dict | list | bool):
            raise ValueError("holds what is no number or text; give a number, text or a list")
    if not isinstance(value, list):
        return [f"{option}={_word(value)}"]  # even if it begins with -
    if not entries:
        raise ValueError("is an empty list; give one value or more")
    if action.nargs is None and len(entries) > 1:
        raise ValueError(f"is a list of {len(entries)}; give one value")
    for entry in entries:
        if isinstance(entry, str) and entry.startswith("-"):  # it would be read as another option
            raise ValueError(f"holds {entry!r}, which begins with -; leave it out")
    return [option, *map(_word, entries)]


def _word(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # a number in hexadecimal digits, of more than Python writes in decimal ones
        raise ValueError("is too large; give a smaller number") from None
