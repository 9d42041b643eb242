"""Brian2's steps of a circuit whose units rest at their kink, which `settle` finds without any step
(`tests/circuit/methods/test_sliding.py`)."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from tests.circuit.brian.conftest import DEPRECATED
from tests.circuit.methods.test_sliding import _some_sliding

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
        tau, ends = min(trial.circuit.time_constants), record.activities[0][sample]
        distances = []
        for part in (0.1, 0.02):
            built = brian.build(trial, step=part * tau, record=0)
            brian.set_rates(built.pieces, trial.activity.rates[1:])
            brian.set_nudge(built.pieces, True)
            brian.advance(built, round(30 / part))
            distances.append(np.linalg.norm(brian.read_rates(built.pieces)[0][0] - ends))
        size = np.linalg.norm(record.shifts.absolute(1)[sample])
        assert distances[1] < 0.1 * size
        assert distances[1] == pytest.approx(distances[0] / 5, rel=0.5)
        assert np.linalg.norm(ends - trial.activity.rates[1]) == pytest.approx(size)
