"""The options of `run_training`, with their values by preset.

Owns how a setting becomes an option, and a table of a TOML file several. Standard library only, so
that `--help` answers at once. Does not own the settings (`training.declarations`), the presets'
values, nor how what was given and a preset become one set of settings (`training_settings`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from circuit.peers.table import TABLE, own_settings
from circuit.settings.declaration import Declaration, Flag
from circuit.settings.learned_inverse import LEARNED
from models.command.declared_options import add_setting
from models.command.parsing import OneLineParser
from models.command.rule_files import add_rule_file
from models.command.shared import Options, add_data_dir, add_images, add_results
from training.declarations import HEADINGS, PRESETS, SETTINGS, settings_now, tables_now
from training.settings import PROGRAM, Value, preset

Presets = Mapping[str, Sequence[Mapping[str, Value]]]  # all values by rule, of each preset


def options() -> OneLineParser:
    """All options of the command, each explained in words, the everyday ones first."""
    parser = OneLineParser(
        prog=PROGRAM,
        description="Train networks on images by back-propagation (bp), target "
        "propagation (tp), its incremental form (itp), GAIT-prop (gait), GAIT-prop adjusted to the "
        "lengths of the rows of weights as well (grait), the equilibrium of a circuit that "
        "settles for every batch (circuit), or a rule of another theory, each of which has a group "
        "of options below. Writes history.nc, history.csv, weights_*.npz, "
        "summary.json, figures, and checkpoints to go on from.",
        epilog="What an option has by preset stands behind it; an option that is given wins. Exit "
        "status: 0 all epochs completed; 1 weights became singular or not finite; 2 bad input; "
        "130 interrupted.",
    )
    presets = {one: [preset(one, rule) for rule in TABLE] for one in PRESETS}
    groups = {heading: parser.add_argument_group(heading) for heading in HEADINGS}
    for heading, group in groups.items():
        for name in HEADINGS[heading]:
            one = _with_rules(SETTINGS[name]) if name == "rule" else SETTINGS[name]
            _add(group, one, presets)
    for rule, line in TABLE.items():
        own = own_settings(rule).values()
        if own:
            of_rule = parser.add_argument_group(f"--rule {rule}", line.words)
            for one in own:
                _add(of_rule, one, presets)
    everyday, *_ = groups.values()
    add_data_dir(everyday)
    add_images(everyday)
    add_rule_file(everyday)
    everyday.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint in --output, if any"
    )
    add_results(
        everyday,
        Path("results/training"),
        "all files",
        quiet="no progress, only the outcome",
    )
    parser.tables = {table: partial(_of_table, table) for table in tables_now()}
    return parser


def _with_rules(setting: Declaration) -> Declaration:
    """The option of the rule, with what each is called."""
    called = "; ".join(f"{name}: {line.called}" for name, line in TABLE.items())
    return replace(setting, words=f"{setting.words}; {called}")


def _add(group: Options, setting: Declaration, presets: Presets) -> None:
    """The option of a setting, with its words and its values by preset."""
    words, more = setting.words, dict[str, Any]()
    if setting.fixed:
        default = setting.default
        more["default"] = list(default) if isinstance(default, tuple) else default
    elif "(default: " not in words:
        words = f"{words} {_shown(setting.option, presets)}".strip()
    add_setting(group, setting, words, **more)


def _of_table(table: str, content: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    """What a table of a TOML file says: where, in words, of which option, and its value.

    Raises `ValueError` for a key that the table does not have.
    """
    names, known = tables_now()[table], settings_now()
    found: dict[str, tuple[str, str, Any]] = {}
    if table == "inverse":
        found["inverse"] = f"[{table}]", "inverse", LEARNED
    for key, value in content.items():
        name = names.get(key.replace("-", "_"))
        if name is None:
            raise ValueError(f"has no {key!r}; choose from {', '.join(names)}")
        if name in found:
            raise ValueError(f"says twice what --{name.replace('_', '-')} says; give it once")
        setting = known[name]
        is_flag = isinstance(setting, Flag) and isinstance(value, bool)
        found[name] = f"{key} of [{table}]", name, setting.spelt(value) if is_flag else value
    return list(found.values())


def _shown(name: str, presets: Presets) -> str:
    """The values of an option by preset, for its help."""
    words = {}
    for one, found in presets.items():
        values = dict.fromkeys(_word(each[name]) for each in found if name in each)
        words[one] = ("by rule " if len(values) > 1 else "") + " or ".join(values)
    if len(set(words.values())) == 1:
        return f"(default: {words['quick']})"
    return "(" + "; ".join(f"{one}: {values}" for one, values in words.items()) + ")"


def _word(value: object) -> str:
    return "all" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
