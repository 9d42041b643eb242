"""The options of `run_bench`, and the lessons that they describe.

Owns the words of those options that no other command has. Only the standard library until lessons
are made, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuit.peers.table import TABLE, own_settings, with_option
from circuit.settings.circuits import WEAK
from circuit.settings.declaration import Declaration
from circuit.settings.losses import LOSSES, QUADRATIC
from circuit.settings.peers.of_lesson import FEEDBACK_STRENGTH, INCREMENTS, PATHWAY, READOUT
from models.command.declared_options import add_setting
from models.command.network_options import add_images_and_network
from models.command.parsing import Distinct, OneLineParser, at_least, refuse_idle
from models.command.rule_files import add_rule_file
from models.command.shared import add_results

if TYPE_CHECKING:
    from circuit.learning.lesson import Lesson

PROGRAM = "run_bench"
# what the rules of the paper, and the circuit, share with a lesson: option -> its declaration
SHARED: dict[str, Declaration] = {
    one.option: one
    for one in (
        FEEDBACK_STRENGTH,
        replace(PATHWAY, option="pathway"),
        replace(READOUT, option="readout"),
        replace(INCREMENTS, option="increments"),
    )
}
FIELDS = {  # of a lesson
    "feedback_strength": SHARED["gamma"],
    **{name: SHARED[name] for name in ("pathway", "readout", "increments")},
}
DEFAULTS: dict[str, Any] = {name: one.default for name, one in SHARED.items()} | {"gamma": WEAK}


def options() -> OneLineParser:
    """All options of the command, each explained in words."""
    parser = OneLineParser(
        prog=PROGRAM,
        description="Ask every theory of credit assignment what each layer should learn from the "
        "same images, in the same network, and compare the weight changes with those of "
        "back-propagation. Writes bench.nc, summary.json and figures.",
        epilog="Exit status: 0 every rule that was asked for gave an answer for some image; 1 one "
        "did not; 2 bad input.",
    )
    add = parser.add_argument
    called = "; ".join(f"{name}: {line.called}" for name, line in TABLE.items())
    add(
        "--rules",
        nargs="+",
        choices=tuple(TABLE),
        action=Distinct,
        metavar="RULE",
        help=f"which to ask (default: all). {called}",
    )
    add_rule_file(parser)
    add_images_and_network(parser)
    add(
        "--loss",
        choices=LOSSES,
        default=QUADRATIC,
        help=f"loss whose gradient back-propagation follows (default: {QUADRATIC})",
    )
    add(
        "--practice",
        type=at_least(0),
        default=100,
        metavar="N",
        help="steps that feedback which learns has made on the same images before it is asked "
        "(default: 100)",
    )
    add(
        "--precision",
        choices=("float64", "float32"),
        default="float64",
        help="of all numbers (default: float64)",
    )
    add(
        "--seed",
        type=at_least(0),
        default=1,
        help="of images, weights and random feedback (default: 1)",
    )
    for name, one in SHARED.items():
        default = DEFAULTS[name]
        add_setting(parser, one, f"{one.words} (default: {_word(default)})", default=default)
    for rule, line in TABLE.items():
        own = own_settings(rule)
        group = parser.add_argument_group(f"rule {rule}", line.words) if own else None
        for one in own.values() if group else ():
            assert group is not None
            add_setting(group, one, f"{one.words} (default: {_word(one.spelt(one.default))})")
    add_results(
        parser, Path("results/bench"), "figures, bench.nc and summary.json", quiet="print nothing"
    )
    return parser


def refuse_what_idles_on_the_bench(chosen: argparse.Namespace) -> None:
    """Leave with status 2 for a setting of a rule that is not asked."""
    asked = chosen.rules or list(TABLE)
    words = f"--rules {' '.join(asked)}"
    for name in SHARED:
        if not set(with_option(name)) & set(asked):
            refuse_idle(PROGRAM, chosen, {name}, words)
    for rule in TABLE:
        if rule not in asked:
            refuse_idle(PROGRAM, chosen, {one.option for one in own_settings(rule).values()}, words)


def lessons(chosen: argparse.Namespace) -> Mapping[str, Lesson]:
    """The lesson of every rule that is asked, with what it is set to. Raises `CircuitError`."""
    from circuit.learned_inverse.companions import PseudoInverse
    from circuit.learning.lesson import Lesson

    found = {}
    for rule in chosen.rules or TABLE:
        line = TABLE[rule]
        record = line.settings()
        if line.is_paper:
            own = {one.name for one in fields(record)} & set(FIELDS)  # type: ignore[arg-type]
            values = {field: getattr(chosen, FIELDS[field].option) for field in own}
            through = chosen.feedback != "exact" and line.through_inverse
            inverse = PseudoInverse() if through else None
            found[rule] = Lesson(rule=rule, loss=chosen.loss, inverse=inverse, **values)
            continue
        given = {
            field: one.meant(getattr(chosen, one.option))
            for field, one in own_settings(rule).items()
            if getattr(chosen, one.option) is not None
        }
        found[rule] = Lesson(rule=rule, loss=chosen.loss, settings=record(**given))
    return found


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
