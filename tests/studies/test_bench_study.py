"""studies.bench: what a cell measures, and what tables and pictures take from it."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from circuit.peers.table import TABLE
from studies.bench.figures import FIGURES
from studies.bench.findings import findings
from studies.bench.study import AT_STRENGTH, IN_SETTINGS, SCALES, lessons_at, measure, study

AT = {"dataset": "digits", "data_dir": None, "seed": 3, "activation": "tanh", "layers": 3}
EXACT = {"bp": 1e-9, "pc_fixed": 1e-9, "gait": 1e-4, "grait": 1e-4}  # of increments gamma = 0.01


@pytest.fixture(scope="module")
def cells() -> xr.Dataset:
    """Two seeds at two strengths and with noise, joined as a study joins them.

    Of feedback that learns, which practises little here, nothing is expected.
    """
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studies.bench.study.PRACTICE", 10)
        for seed in (3, 4):
            for axis, strength, noise in (
                ("layers", 0.0, 0.0),
                ("strength", 0.3, 0.0),
                ("strength", 1e-3, 0.0),
                ("noise", 0.0, 1e-3),
            ):
                at = AT | {"seed": seed, "axis": axis, "strength": strength, "noise": noise}
                one = measure(**at, init="orthogonal")
                found.append(one.assign({"init": "orthogonal"} | at))
    return xr.concat(found, "cell")


def test_one_thing_is_changed_at_a_time() -> None:
    for scale, size in SCALES.items():
        cells = study(scale).cells
        assert len(cells) == len(size.seeds) * len(size.units) * len(size.inits) * (
            len(size.layers) + len(size.strengths) + len(size.noises)
        )
        for cell in cells:
            changed = [
                cell["layers"] != size.standard and cell["axis"] == "layers",
                cell["strength"] != 0,
                cell["noise"] != 0,
            ]
            assert sum(changed) <= 1


def test_a_strength_reaches_the_setting_that_it_stands_for() -> None:
    lessons = lessons_at(0.123, 0.0)
    assert set(lessons) == {name for name, line in TABLE.items() if line.given is None}
    for name in AT_STRENGTH:
        lesson = lessons[name]
        at = lesson.settings if name in IN_SETTINGS else lesson
        field = IN_SETTINGS.get(name, "feedback_strength")
        assert getattr(at, field) == pytest.approx(0.123)
    assert lessons["bp"].rate_noise == 0


def test_what_theory_says_of_orthogonal_weights_is_measured(cells: xr.Dataset) -> None:
    """Exact rules are exact; weak strengths bring the others nearer; random feedback is not BP."""
    at = cells["bp_cosine"].sel(layer=1)
    default = at.isel(cell=cells["axis"].values == "layers")
    for rule, error in EXACT.items():
        np.testing.assert_allclose(default.sel(rule=rule), 1, atol=error)
    for rule in ("circuit", "chl", "ep", "pc", "dual"):
        strong = 1 - at.isel(cell=cells["strength"].values == 0.3).sel(rule=rule).values
        weak = 1 - at.isel(cell=cells["strength"].values == 1e-3).sel(rule=rule).values
        assert (weak < strong).all()
    assert (default.sel(rule="fa") < 0.7).all()


def test_noise_drowns_what_is_weak(cells: xr.Dataset) -> None:
    """A shift of 1e-6 of the rates under noise of 1e-3: nothing is left; random feedback, whose
    shifts are as large as the error, does not feel it.
    """
    at = cells["bp_cosine"].sel(layer=1)
    noisy, default = (at.isel(cell=cells["axis"].values == name) for name in ("noise", "layers"))
    assert (abs(noisy.sel(rule="circuit")) < 0.5).all()
    np.testing.assert_allclose(noisy.sel(rule="dfa"), default.sel(rule="dfa"), atol=0.05)
    np.testing.assert_allclose(noisy.sel(rule="bp"), 1, atol=1e-12)


def test_tables_and_pictures_hold_the_means(cells: xr.Dataset) -> None:
    lines = findings(cells)
    values = cells["bp_cosine"].sel(layer=1, rule="fa").values[cells["axis"].values == "layers"]
    (line,) = [one for one in lines[:30] if one.startswith("fa ")]
    assert ", ".join(f"{value:.3f}" for value in values) in line
    for needed, draw in FIGURES.values():
        assert all(name in cells for name in needed)
        assert draw(cells).axes
