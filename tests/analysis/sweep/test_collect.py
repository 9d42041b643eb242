"""Cells that are joined to one dataset: padded, labelled, their parameters as coordinates."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from analysis import records
from analysis.sweep.run import Study, collect, run
from tests import toy_cells


def test_cells_of_different_sizes_are_padded(tmp_path):
    cells = (
        {"depth": 3, "rules": "GAIT TP", "flag": True},
        {"depth": 1, "rules": None, "flag": False},
        {"depth": 2, "rules": "BP", "flag": True},
    )
    study = Study("uneven", cells, toy_cells.uneven)
    dataset = run(study, tmp_path, workers=0, quiet=True)
    assert dict(dataset.sizes) == {"cell": 3, "layer": 3, "rule": 3}
    assert dataset["layer"].values.tolist() == [1, 2, 3]
    assert dataset["rule"].values.tolist() == ["GAIT", "TP", "BP"]
    nan = np.nan
    np.testing.assert_array_equal(
        dataset["value"].transpose("cell", "layer", "rule").values,
        [
            [[10, 11, nan], [20, 21, nan], [30, 31, nan]],
            [[nan, 10, nan], [nan] * 3, [nan] * 3],
            [[nan, nan, 10], [nan, nan, 20], [nan] * 3],
        ],
    )
    assert dataset["name"].values.tolist() == [["gait", "tp", ""], ["", "tp", ""], ["", "", "bp"]]
    assert dataset["holds"].values.tolist() == [1, 0, 1]
    assert dataset["big"].values.tolist() == [2**40 + 3, 2**40 + 1, 2**40 + 2]
    assert dataset["depth"].values.tolist() == [3, 1, 2] and dataset["depth"].dtype == np.int32
    assert dataset["rules"].values.tolist() == ["GAIT TP", "", "BP"]
    written = records.read_dataset(tmp_path / "uneven.nc")
    xr.testing.assert_equal(written, dataset)
    assert {**written.attrs} == dataset.attrs
    assert dataset.attrs["version_numpy"] == np.__version__


def test_labels_that_are_numbers_ascend_whatever_the_order_of_the_cells(tmp_path):
    """Cells of fewer layers come first, and one has layers that lie between those of another."""
    cells = tuple({"labels": labels} for labels in ("2 10", "9 1 3", "4"))
    dataset = run(Study("labelled", cells, toy_cells.labelled), tmp_path, workers=0, quiet=True)
    assert dataset["layer"].values.tolist() == [1, 2, 3, 4, 9, 10]
    nan = np.nan
    np.testing.assert_array_equal(
        dataset["value"].transpose("cell", "layer").values,
        [[nan, 20, nan, nan, nan, 100], [10, nan, 30, nan, 90, nan], [nan, nan, nan, 40, nan, nan]],
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1, 2), np.array([1, 2], "i4")),
        ((1, 2**40), np.array([1, 2**40], "f8")),
        ((None, 0.5), np.array([np.nan, 0.5])),
        ((None, 3), np.array([np.nan, 3.0])),
        ((None, "a"), np.array(["", "a"])),
        ((None, None), np.array(["", ""])),
        (("a", 1), np.array(["a", "1"])),
    ],
)
def test_parameters_as_coordinates(tmp_path, values, expected):
    study = Study(
        "any", tuple({"what": str(i), "x": x} for i, x in enumerate(values)), toy_cells.fragile
    )
    found = collect(study, tmp_path)[
        "x"
    ].values  # nothing is on disk: the cells are known all the same
    np.testing.assert_array_equal(found, expected)
    assert found.dtype.kind == expected.dtype.kind
