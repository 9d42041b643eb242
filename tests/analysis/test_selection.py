"""Choosing cells of a joined dataset: by parameters, and by what was measured."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.selection import cells_with, groups, has_value, measured, values_of


def four_cells() -> xr.Dataset:
    """Cells of two depths and two rules, of which the last failed."""
    return xr.Dataset(
        {
            "cosine": (
                ("cell", "layer"),
                [[1.0, np.nan], [0.5, 0.4], [np.nan, np.nan], [np.nan] * 2],
            ),
            "word": ("cell", ["a", "", "b", ""]),
            "status": ("cell", ["converged", "converged", "no equilibrium", "failed: ValueError"]),
        },
        coords={
            "rule": ("cell", ["gait", "bp", "gait", "bp"]),
            "depth": ("cell", [2, 1, 1, 2]),
            "id": ("cell", [10, 11, 12, 13]),
        },
    )


def test_cells_are_chosen_by_every_parameter_that_is_named() -> None:
    """One, two, none, and a value that no cell has."""
    data = four_cells()
    assert cells_with(data, rule="gait")["id"].values.tolist() == [10, 12]
    assert cells_with(data, rule="gait", depth=1)["id"].values.tolist() == [12]
    assert cells_with(data)["id"].values.tolist() == [10, 11, 12, 13]
    assert cells_with(data, depth=3).sizes["cell"] == 0


def test_values_and_groups_come_in_the_order_of_the_cells() -> None:
    """Not sorted; groups are words with masks that share out the cells."""
    data = four_cells()
    assert values_of(data, "rule") == ["gait", "bp"]
    assert values_of(data, "depth") == [2, 1]
    found = groups(data, ("rule", "depth"))
    assert [key for key, _ in found] == [("gait", "2"), ("bp", "1"), ("gait", "1"), ("bp", "2")]
    assert np.array_equal(np.sum([mask for _, mask in found], axis=0), np.ones(4))
    assert [data["id"].values[mask].tolist() for _, mask in groups(data, ("depth",))] == [
        [10, 13],
        [11, 12],
    ]


def test_a_cell_is_measured_where_every_variable_has_some_value() -> None:
    """One finite number or one word does; a variable that is not there has none anywhere."""
    data = four_cells()
    assert measured(data, "cosine")["id"].values.tolist() == [10, 11]
    assert measured(data, "word")["id"].values.tolist() == [10, 12]
    assert measured(data, "cosine", "word")["id"].values.tolist() == [10]
    assert measured(data, "cosine", "gain").sizes["cell"] == 0
    assert measured(data).sizes["cell"] == 4
    assert measured(data.isel(cell=[]), "cosine").sizes["cell"] == 0


def test_infinity_is_no_value() -> None:
    """As in the means over repetitions, which leave it out."""
    found = has_value(xr.DataArray([np.inf, np.nan, 0.0, -1.0], dims="cell"))
    assert found.tolist() == [False, False, True, True]
