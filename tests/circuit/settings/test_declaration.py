"""Settings that are declared once: kinds, ranges, option names, and the words of the library."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest

from circuit.errors import CircuitError
from circuit.feedback import PATHWAYS
from circuit.initialisation.weights import INITIALISERS
from circuit.lateral_inhibition import teaching
from circuit.lateral_inhibition.companions import Decorrelation, Inhibition
from circuit.learned_inverse.companions import LearnedInverse
from circuit.learning.lesson import Lesson
from circuit.learning.regulariser import Regulariser
from circuit.losses import LOSSES
from circuit.peers.table import TABLE
from circuit.rules import RULES
from circuit.settings import pull
from circuit.settings.declaration import (
    Choice,
    Count,
    Flag,
    Interval,
    Number,
    Record,
    declared,
    meant,
)
from circuit.settings.learning import CIRCUIT, Adam
from circuit.shifts import READOUTS
from circuit.units.table import ACTIVATIONS
from training import declarations
from training.plan import Plan

ROOT = Path(__file__).resolve().parents[3]
RECORDS = (Adam, Regulariser, Inhibition, Decorrelation, LearnedInverse)


@dataclass(frozen=True)
class Oven(Record):
    """One setting of every kind."""

    heat: float = Number(
        180.0, "", option="oven_heat", within=Interval(0, 300, "[)", "200", ", of an oven")
    ).field()
    trays: int = Count(1, "", least=1).field()
    door: str = Choice("shut", "", known=("shut", "open")).field()
    light: bool = Flag(True, "", words_of=("on", "off")).field()
    timers: tuple[int, ...] = Count((5, 10), "", many=True).field()


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        (Interval(0, 1, "()", ""), (1e-300, 0.5, 1 - 1e-16), (0.0, 1.0, -1.0, 2.0)),
        (Interval(0, 1, "[)", ""), (0.0, -0.0, 0.5), (1.0, -1e-300)),
        (Interval(0, 1, "(]", ""), (1.0, 1e-300), (0.0, 1.0000001)),
        (Interval(0, 1, "[]", ""), (0.0, 1.0), (-1e-9, 1.1)),
        (Interval(0, np.inf, "[)", ""), (0.0, 1e300), (np.inf, -1.0)),
        (Interval(0, np.inf, "()", ""), (1e-300, 1e300), (np.inf, 0.0)),
    ],
)
def test_intervals_are_those_of_mathematics(interval, inside, outside):
    assert [interval.fault(value) for value in inside] == [""] * len(inside)
    assert all(interval.fault(value) for value in (*outside, np.nan))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"heat": 300}, r"oven heat 300 is outside \[0, 300\), of an oven; use for example 200"),
        ({"heat": float("nan")}, "oven heat nan is outside"),
        ({"heat": "hot"}, "oven heat = 'hot' is not a number"),
        ({"trays": 0}, "trays 0 is no count: give a whole number, 1 or more"),
        ({"trays": 2.0}, "trays 2.0 is no count"),
        ({"door": "ajar"}, "door 'ajar' is unknown; choose from shut, open"),
        ({"light": 1}, "light = 1 is not a truth value"),
        ({"timers": (5, 0)}, "timers 0 is no count"),
    ],
)
def test_a_record_refuses_each_value_by_its_name_and_a_remedy(values, words):
    with pytest.raises(CircuitError, match=words) as caught:
        Oven(**values)
    assert "\n" not in str(caught.value)


def test_numbers_of_any_library_are_kept_as_floats_and_several_values_in_a_tuple():
    oven = Oven(np.float32(0.5), timers=[1, 2])
    assert (oven.heat, type(oven.heat), oven.timers) == (0.5, float, (1, 2))


def test_a_record_is_made_of_options_as_they_are_spelt():
    options = {"oven_heat": 20, "trays": 3, "door": "open", "light": "off", "timers": [7]}
    assert Oven(**meant(Oven, options)) == Oven(20.0, 3, "open", False, (7,))
    spelt = {one.option: one.spelt(one.default) for one in declared(Oven).values()}
    assert Oven(**meant(Oven, spelt)) == Oven()


@pytest.mark.parametrize("record", RECORDS)
def test_every_field_of_a_record_is_a_setting(record):
    """So that none is beyond the reach of options, files and checks."""
    assert set(declared(record)) == {one.name for one in fields(record)}
    assert set(declared(Lesson)) == {one.name for one in fields(Lesson)} - {
        "adam",
        "pull",
        "inverse",
        "settings",
    }
    # what layer 1 reads is no option: only cells that were measured before read less than all
    assert set(declared(Plan)) == {one.name for one in fields(Plan)} - {
        "lesson",
        "widths",
        "whole_input",
    }


def test_the_words_of_settings_are_those_of_the_library():
    """Written out where nothing heavy may be loaded."""
    known = {name: getattr(one, "known", ()) for name, one in declarations.SETTINGS.items()}
    assert {*RULES, CIRCUIT} <= set(TABLE)
    assert set(known["pathway"]) == set(PATHWAYS)
    assert known["readout"] == READOUTS
    assert set(known["loss"]) == set(LOSSES)
    assert set(known["activation"]) == set(ACTIVATIONS)
    assert set(known["init"]) <= set(INITIALISERS)
    assert set(pull.MECHANISMS) == set(teaching.MECHANISMS)


def test_one_name_is_one_option_with_one_default():
    """Fields of one option name in several records are declared alike, up to the words known."""
    for records in ((Regulariser, Inhibition), (Inhibition, Decorrelation)):
        one, other = ({s.option: s for s in declared(record).values()} for record in records)
        for name in set(one) & set(other) - {pull.BY}:
            assert one[name] == other[name]


def test_declarations_load_nothing_heavy():
    script = (
        "import sys, training.declarations, training.settings\n"
        "assert not {'numpy', 'scipy', 'xarray', 'torch'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
