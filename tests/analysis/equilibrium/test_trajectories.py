"""Trajectories that are shown: those of the units that move most, from where they start to rest."""

import numpy as np
import pytest

from analysis.equilibrium.trajectories import integrate
from circuit.equilibrium import settle
from tests.circuit.test_dynamics import make_trial


@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_eight_units_of_the_first_image_that_move_most_are_shown(pathway, rng):
    """Ranked one by one; units without feedback move more here, and are not among them."""
    trial = make_trial(rng, pathway, "asinh", 0.1, widths=(14, 13, 11, 10), n_outputs=9, batch=3)
    record = settle(trial)
    data = integrate(record).labelled()
    for layer, projecting in ((1, 11), (2, 10), (3, 9)):
        moves = [abs(record.shifts.absolute(layer)[0, unit]) for unit in range(projecting)]
        beaten = [sum(other > move for other in moves) for move in moves]
        wanted = [unit for unit in range(projecting) if beaten[unit] < 8]
        assert data[f"shown_{layer}"].values.tolist() == wanted
        rest = trial.activity.rates[layer][0, wanted]
        np.testing.assert_array_equal(data[f"rest_rate_{layer}"].values, rest)
        free, nudged = (data[f"{phase}_rate_{layer}"].values for phase in ("free", "nudged"))
        assert free.shape == nudged.shape == (200, 8)
        gap = np.abs(record.shifts.absolute(layer)[0, wanted]).max()
        np.testing.assert_allclose(
            nudged[-1], record.activities[layer - 1][0, wanted], atol=0.01 * gap
        )


def test_time_runs_in_milliseconds_over_twenty_of_the_slowest_time_constants(rng):
    """Layer 1 decays alone to its rest as 1 - exp(-t / tau) from silence, its input being clamped,
    and the nudged output of a network of weak feedback as its nudge does.
    """
    tau = (0.01, 0.02, 0.005)
    trial = make_trial(rng, "itp", "linear", 1e-7, widths=(5, 5, 4, 3), time_constant=tau)
    data = integrate(settle(trial)).labelled()
    times = data["free_time"].values
    assert data["free_time"].attrs["units"] == "ms"
    assert times[[0, -1]] == pytest.approx([0.05 * 20, 20 * 20])
    np.testing.assert_array_equal(data["nudged_time"].values, times)
    decayed = 1 - np.exp(-times / 10)
    wanted = decayed[:, None] * data["rest_rate_1"].values
    np.testing.assert_allclose(data["free_rate_1"].values, wanted, rtol=1e-4, atol=1e-7)
    rest, nudged = data["rest_rate_3"].values, data["nudged_rate_3"].values
    risen = (1 - np.exp(-times / 5))[:, None]
    away = 1e-7 * trial.error[0, : rest.shape[0]] * risen
    np.testing.assert_allclose(nudged - rest, away, rtol=2e-3, atol=1e-12)
