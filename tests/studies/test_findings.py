"""The tables that the command of the studies prints, from datasets whose content is known."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
import pytest
import xarray as xr

from models.command.studies import findings, so_far
from studies.catalogue import STUDIES


def _row(lines: list[str], start: str) -> list[str]:
    """The words of the row of the table that begins with `start`."""
    (row,) = [line for line in lines[1].splitlines() if line.strip().startswith(start)]
    return row.split()


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_of_which_no_cell_has_a_result_says_so(name, tmp_path):
    study, path = STUDIES[name].door("study").study("smoke"), tmp_path / f"{name}.nc"
    data = so_far(study, Namespace(scale="smoke"), None, path)
    assert set(data["status"].values) == {"missing"}
    assert findings(name, data) == [f"{name}: no cell has a result"]


def test_critical_strength_is_the_lower_median_with_infinity_for_what_is_never_lost():
    """Of 0.1, 0.4, never, never the lower median is 0.4, a value that occurs; of 0.3, never, never
    it is infinite."""
    values = [0.1, 0.4, np.nan, np.nan, 0.3, np.nan, np.nan]
    depths = [1, 1, 1, 1, 2, 2, 2]
    words = {"pathway": "itp", "init": "gaussian", "activation": "tanh"}
    data = xr.Dataset(
        {"critical_gamma": ("cell", values)},
        coords={"depth": ("cell", depths)}
        | {name: ("cell", np.array([word] * 7)) for name, word in words.items()},
    )
    assert _row(findings("strong", data), "itp")[-2:] == ["0.4", "inf"]


def test_alignment_is_a_mean_over_seeds_with_student_s_interval():
    """Three seeds 0.1, 0.2, 0.3: 0.2 +- 4.303 * 0.1 / sqrt(3) (t table, two degrees of freedom).
    Networks of smaller width, of other units and of the other pathway stay out of it."""
    cells = [(seed, "gait", "leaky_relu", 64, value) for seed, value in enumerate((0.1, 0.2, 0.3))]
    cells += [(0, "itp", "leaky_relu", 64, 0.9), (0, "gait", "asinh", 64, 0.9)]
    cells += [(0, "gait", "leaky_relu", 32, 0.9)]
    seed, pathway, activation, width, cosine = map(np.array, zip(*cells, strict=True))
    n = len(cells)
    data = xr.Dataset(
        {
            "cosine": (
                ("cell", "readout", "rule", "layer"),
                np.reshape(cosine, (n, 1, 1, 1)),
            ),
            "settled_fraction": ("cell", np.full(n, 0.5)),
        },
        coords={
            "readout": ["shift"],
            "rule": ["bp"],
            "layer": [1],
            "seed": ("cell", seed),
            "pathway": ("cell", pathway),
            "activation": ("cell", activation),
            "width": ("cell", width),
            "init": ("cell", np.array(["orthogonal"] * n)),
            "depth": ("cell", np.full(n, 3)),
            "gamma": ("cell", np.full(n, 0.1)),
        },
    )
    assert _row(findings("strength", data), "orthogonal")[2:] == [
        "0.200",
        "+-",
        "0.25",
        "|",
        "0.50",
    ]
