"""Brian2's steps of a circuit whose units rest at their kink, which `settle` finds without any step
(`tests/circuit/methods/test_sliding.py`)."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

from circuit.outcome import Equilibrium
from tests.circuit.brian.conftest import DEPRECATED
from tests.circuit.methods.test_sliding import _some_sliding
from tests.commands import ROOT

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", DEPRECATED, DeprecationWarning)
    from circuit import brian

pytestmark = pytest.mark.filterwarnings(f"ignore:{DEPRECATED}:DeprecationWarning")


def test_brian2_comes_to_the_sliding_state_as_its_step_shrinks() -> None:
    """Filippov's state is where the steps' chattering shrinks to: a fifth of the step, a fifth of
    the distance. The shift itself, which is what the distance is counted in, is not that small.
    """
    for record, sample in _some_sliding(2, widths=(3, 3, 3, 3)):
        trial = record.trial.samples([sample])
        assert any((slopes[sample] > 0).any() for slopes in record.sliding_slopes)
        ends = record.activities[0][sample]
        distances = [_distance(record, sample, part, 30) for part in (0.1, 0.02)]
        size = np.linalg.norm(record.shifts.absolute(1)[sample])
        assert distances[1] < 0.1 * size
        assert distances[1] == pytest.approx(distances[0] / 5, rel=0.5)
        assert np.linalg.norm(ends - trial.activity.rates[1]) == pytest.approx(size)


def _distance(record: Equilibrium, sample: int, part: float, time: float) -> float:
    """How far layer 1 is from the state of the record after so many time constants of steps, each
    a part of one, from the forward pass.
    """
    trial = record.trial.samples([sample])
    built = brian.build(trial, step=part * min(trial.circuit.time_constants), record=0)
    brian.set_rates(built.pieces, trial.activity.rates[1:])
    brian.set_nudge(built.pieces, True)
    brian.advance(built, round(time / part))
    off = brian.read_rates(built.pieces)[0][0] - record.activities[0][sample]
    return float(np.linalg.norm(off))


def test_the_table_of_the_page_is_what_brian2_does() -> None:
    """docs/brian2.md, to half of its last digits; without the steps of 0.01, which take long."""
    page = (ROOT / "docs" / "brian2.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (one|two) units? slides? \| (.+) \| (.+) \| (.+) \|$", page, re.MULTILINE
    )
    cases = _some_sliding(3, widths=(3, 3, 3, 3))
    for (count, *printed), (record, sample) in zip(rows, cases, strict=True):
        sliding = sum((slopes[sample] > 0).sum() for slopes in record.sliding_slopes)
        assert sliding == {"one": 1, "two": 2}[count]
        size = np.linalg.norm(record.shifts.absolute(1)[sample])
        for part, words in zip((0.1, 0.03), printed, strict=False):
            found = _distance(record, sample, part, 40) / size
            assert abs(found - float(words)) < 0.51 * 10.0 ** -len(words.partition(".")[2])
