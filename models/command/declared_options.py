"""How a declared setting becomes an option of a command. Standard library only."""

from __future__ import annotations

from typing import Any

from circuit.settings.declaration import Choice, Count, Declaration, Flag, Number
from models.command.parsing import MOST, Distinct, at_least
from models.command.shared import Options


def add_setting(group: Options, setting: Declaration, words: str, **more: Any) -> None:
    """The option of a setting.

    Parameters
    ----------
    words : for `--help`
    more : of `add_argument`
    """
    names = [f"--{name.replace('_', '-')}" for name in (setting.option, setting.also) if name]
    more = {"metavar": setting.metavar} | more
    match setting:
        case Number():
            more["type"] = at_least(setting.least, float)
        case Count():
            more["type"] = at_least(setting.least, most=setting.most or MOST)
        case Choice():
            more["choices"] = setting.known
        case Flag():
            more["choices"] = setting.words_of
    if setting.many:
        more["nargs"] = "+"
    if setting.distinct:
        more["action"] = Distinct
    group.add_argument(*names, help=words, **more)
