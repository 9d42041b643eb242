"""The settings of a training run: what its options say, and the rest from a preset.

Owns what is said of options that exclude each other or would do nothing with others. Standard
library only, as the options are. Does not own which these are (`training.declarations`), the words
of the options, nor the presets' values.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from circuit.peers.table import TABLE, with_option
from training.declarations import SETTINGS, settings_now
from training.settings import resolve

PLAIN = ("data_dir", *(name for name, one in SETTINGS.items() if one.fixed))  # in no preset


def resolved(chosen: argparse.Namespace) -> dict[str, Any]:
    """All settings by name: what was given, and the rest from the preset.

    Raises `CircuitError` for options that exclude each other, or that would do nothing.
    """
    from circuit.errors import CircuitError

    known = settings_now()
    given = {
        name: value
        for name, value in vars(chosen).items()
        if name in known and not known[name].fixed and value is not None
    }
    if chosen.widths is not None and "depth" in given:
        raise CircuitError("--depth and --widths both say how many layers there are; give one")
    settings: dict[str, Any] = resolve(chosen.preset, chosen.rule, given)
    widths = chosen.widths if "depth" in given else chosen.widths or settings.get("widths")
    settings |= {name: getattr(chosen, name) for name in PLAIN} | {"widths": widths}
    if chosen.rule_file is not None:
        settings["rule_file"] = chosen.rule_file
    narrow = widths is not None and len({*widths}) > 1
    if not TABLE[chosen.rule].through_inverse and narrow and "auxiliary" not in given:
        settings["auxiliary"] = "no"  # no inverse is needed: every layer reads all units below
    for name, value in given.items():
        others = {other: given[other] for other in given if other != name}
        if (name, value) in resolve(chosen.preset, chosen.rule, others).items():
            continue  # what it would be anyway
        complaint = _needed(name, settings) or _idle(name, settings)
        if complaint:
            raise CircuitError(f"{_option(name)} would do nothing with {complaint}")
    return settings


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _needed(name: str, settings: dict[str, Any]) -> str:
    """What keeps the option `name` from doing anything for want of another, and the remedy."""
    for other, values in _needs(name).items():
        if settings[other] not in values:
            option = _option(other)
            alternatives = " or ".join(values)
            return f"{option} {settings[other]}; leave it out, or give {option} {alternatives}"
    return ""


def _needs(name: str) -> Mapping[str, tuple[str, ...]]:
    """Options with their values, without which the option `name` does nothing."""
    rules = with_option(name)
    return {"rule": rules} if rules else settings_now()[name].needs or {}


def _idle(name: str, settings: dict[str, Any]) -> str:
    """What else does, and the remedy. An option that itself does nothing keeps no other from it."""
    widths = settings["widths"]
    values = settings if widths is None else settings | {"depth": len(widths) - 2}
    for together in settings_now()[name].idle:
        so = (values[one] == value and not _needed(one, values) for one, value in together.items())
        if all(so):
            words = " and ".join(f"{_option(one)} {value}" for one, value in together.items())
            others = " or ".join(map(_option, together))
            return f"{words}; leave it out, or give another {others}"
    return ""
