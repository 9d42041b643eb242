"""--rule-file: rules of one's own, known before the options are, which they add to.

Owns how such files are found among the words of a command line or of its TOML file. Standard
library only, as long as there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from models.command.parsing import OneLineParser, fail, path, read_toml

if TYPE_CHECKING:
    import argparse

    from models.command.shared import Options

WORDS = (
    "a rule of your own, as docs/extending.md has one: a file of Python, which is run with all "
    "that you may do, so give none that you have not read; its rule is then one of the others"
)


def add_rule_file(parser: Options) -> None:
    """--rule-file."""
    parser.add_argument("--rule-file", type=path, metavar="FILE.py", help=WORDS)


def use_rule_files(program: str, arguments: Sequence[str]) -> ExitStack:
    """The rule of a --rule-file among `arguments`, or in the TOML file among them, registered as
    long as the stack is open. Leaves with status 2, in one line, where the file holds none.
    """
    first = OneLineParser(prog=program, add_help=False, allow_abbrev=False)
    first.add_argument("--rule-file", type=path)
    first.add_argument("--config", type=path)
    chosen, _ = first.parse_known_args(list(arguments))
    file: Path | None = chosen.rule_file
    if file is None and chosen.config is not None:
        content = read_toml(program, chosen.config)
        said = content.get("rule_file", content.get("rule-file"))
        file = None if said is None else path(str(said))
    if file is None:
        return ExitStack()
    from circuit.errors import CircuitError
    from circuit.peers.own import use_rule_file

    try:
        return use_rule_file(file)
    except CircuitError as error:
        fail(program, str(error))


def require_known(program: str, chosen: argparse.Namespace) -> None:
    """Leave with status 2 where --rule-file was abbreviated, and so seen too late."""
    from circuit.peers.table import TABLE

    if chosen.rule_file is not None and not any(
        line.source == str(chosen.rule_file.resolve()) for line in TABLE.values()
    ):
        fail(program, "--rule-file is abbreviated; write it in full")
