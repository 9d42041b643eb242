"""What is told of a few repetitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t, ttest_1samp

from analysis.comparison import paired_difference
from analysis.statistics import told


def test_two_seeds_are_told_as_they_are():
    """Student's factor for one degree of freedom is 12.7: 0.29 and -0.03 would be 0.130 +- 2."""
    assert t.ppf(0.975, 1) * abs(0.29 + 0.03) / 2 == pytest.approx(2.03, abs=0.01)
    assert told([0.29, -0.03]) == "0.290, -0.030"
    assert told(np.array([0.5])) == "0.500"
    assert told([np.nan, 0.25, np.nan, 0.5], ".2g") == "0.25, 0.5"
    assert told([]) == told([np.nan]) == "-"


def test_three_have_the_interval_of_students_t():
    values = np.array([0.1, 0.2, 0.6])
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert told(values, ".4f", ".6g") == f"{values.mean():.4f} +- {(high - low) / 2:.6g}"
    assert told([*values, np.nan], ".4f", ".6g") == told(values, ".4f", ".6g")
    assert told([1.0, 1.0, 1.0], "+.1f") == "+1.0 +- 0"


def test_paired_differences_keep_each():
    found = paired_difference(np.array([3.0, 5.0, np.nan]), np.array([1.0, 1.0, 1.0]))
    assert found.each == (2.0, 4.0)
    assert told(found.each, "+.0f") == "+2, +4"
