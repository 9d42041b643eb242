"""Two one-sided tests and their power: against SciPy, statsmodels, tables and limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, ttest_1samp

from analysis import equivalence
from analysis.equivalence import (
    power_of_difference,
    power_of_equivalence,
    repetitions_needed,
    two_one_sided,
)
from circuit.errors import CircuitError

SAMPLES = [
    (3, 0.1, 0.2),
    (5, -0.25, 0.1),
    (8, 0.5, 0.3),
    (12, 0.0, 0.05),
]


@pytest.mark.parametrize(("count", "mean", "spread"), SAMPLES)
def test_against_two_t_tests_of_scipy(count, mean, spread, rng):
    values = mean + spread * rng.standard_normal(count)
    above = ttest_1samp(values, -0.3, alternative="greater").pvalue
    below = ttest_1samp(values, 0.3, alternative="less").pvalue
    found = two_one_sided([*values, np.nan], 0.3)
    assert found == pytest.approx(max(above, below), rel=1e-12)
    assert found != pytest.approx(min(above, below), rel=1e-3)


@pytest.mark.parametrize(("count", "mean", "spread"), SAMPLES)
def test_against_statsmodels(count, mean, spread, rng):
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    ours, theirs = rng.standard_normal((2, count))
    ours = theirs + mean + spread * ours
    expected = weightstats.ttost_paired(ours, theirs, -0.3, 0.3)[0]
    assert two_one_sided(ours - theirs, 0.3) == pytest.approx(expected, rel=1e-9)


def test_few_and_equal_differences():
    assert math.isnan(two_one_sided([0.1], 0.3)) and math.isnan(two_one_sided([], 0.3))
    assert two_one_sided([0.1, 0.1], 0.3) == 0 and two_one_sided([0.4, 0.4], 0.3) == 1
    for margin in (0, -1, np.nan, np.inf):
        with pytest.raises(CircuitError, match="margin"):
            two_one_sided([0.1, 0.2], margin)


def test_power_is_how_often_both_tests_refuse(rng):
    """20000 samples of 6, by SciPy's tests."""
    mean, spread, count = 0.1, 0.2, 6
    samples = mean + spread * rng.standard_normal((20000, count))
    above = ttest_1samp(samples, -0.3, axis=1, alternative="greater").pvalue
    below = ttest_1samp(samples, 0.3, axis=1, alternative="less").pvalue
    often = np.mean(np.maximum(above, below) < 0.05)
    found = power_of_equivalence(mean, spread, count, 0.3)
    assert abs(found - often) < 4 * math.sqrt(found * (1 - found) / 20000)
    assert abs(power_of_equivalence(0.0, spread, count, 0.3) - often) > 0.1


def test_power_of_a_bioequivalence_study():
    """A crossover design with a coefficient of variation of 0.3, a ratio of 0.95 and limits of 0.8
    and 1.25 needs 40 subjects, which gives 0.8158 (R package PowerTOST, sampleN.TOST).
    """
    error = math.sqrt(math.log(1 + 0.3**2)) * math.sqrt(2 / 40)
    found = equivalence._power_of_both(math.log(0.95) / error, math.log(1.25) / error, 38, 0.05)
    assert found == pytest.approx(0.815845, abs=5e-6)


def test_power_with_many_repetitions_is_that_of_the_normal_distribution():
    count, spread, mean, margin = 4000, 5.0, 0.02, 0.3
    error = spread / math.sqrt(count)
    reach = margin - norm.ppf(0.95) * error
    expected = norm.cdf((reach - mean) / error) - norm.cdf((-reach - mean) / error)
    found = power_of_equivalence(mean, spread, count, margin)
    assert found == pytest.approx(expected, abs=2e-3) and 0.5 < found < 0.99


def test_at_the_margin_it_is_said_wrongly_as_often_as_the_size_allows():
    assert power_of_equivalence(0.3, 0.05, 10, 0.3) == pytest.approx(0.05, abs=1e-6)


def test_power_of_the_t_test_is_statsmodels():
    power = pytest.importorskip("statsmodels.stats.power")
    for mean, spread, count in ((0.5, 1.0, 10), (-2.0, 1.5, 4)):
        expected = power.TTestPower().power(abs(mean) / spread, count, 0.05, alternative="larger")
        one_sided = power_of_difference(mean, spread, count, size=0.1)
        assert one_sided == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("mean", "spread"), [(0.0, 0.2), (0.2, 0.1), (-0.6, 0.4), (0.29, 0.02)])
def test_as_few_repetitions_as_decide(mean, spread):
    count = repetitions_needed(mean, spread, 0.3)
    within = abs(mean) < 0.3

    def power(repetitions):
        if within:
            return power_of_equivalence(mean, spread, repetitions, 0.3)
        return power_of_difference(mean, spread, repetitions)

    assert power(count) >= 0.8 and (count == 2 or power(count - 1) < 0.8)


def test_what_cannot_be_decided_or_is_not_known():
    assert repetitions_needed(0.2999, 1.0, 0.3) is None
    assert repetitions_needed(np.nan, 1.0, 0.3) is None
    assert repetitions_needed(0.1, np.nan, 0.3) is None
    assert repetitions_needed(0.1, 0.0, 0.3) == 2
