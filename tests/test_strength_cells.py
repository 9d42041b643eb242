"""The numbers behind the front page's slider: measured by its script, and what theory says."""

from __future__ import annotations

import math
import runpy
from itertools import product
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "drawings" / "strength_cells.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def data(script: dict[str, Any]) -> dict[str, Any]:
    return script["read"]()


def row(data: dict[str, Any], *circuit: object) -> list[dict[str, Any]]:
    return data["cells"][" ".join(map(str, circuit))]


def test_the_file_holds_every_cell_that_the_page_offers(data: dict[str, Any]) -> None:
    """It is small, says where it comes from, and what has no value says why."""
    assert (SCRIPT.parents[1] / "_static" / "strength_cells.js").stat().st_size < 80_000
    assert data["command"] == "python docs/drawings/strength_cells.py"
    assert data["date"] and data["machine"]
    offered = list(product(*(data[name] for name in ("depths", "pathways", "weights", "units"))))
    assert list(data["cells"]) == [" ".join(map(str, one)) for one in offered]
    for depth, *rest in offered:
        for cell in row(data, depth, *rest):
            assert 0 <= cell["settled"] <= data["batch"]
            assert ("shift" in cell) is (cell["settled"] > 0)
            if cell["settled"]:
                assert len(cell["shift"]) == len(cell["cosine"]) == depth + 1
                assert all(-1 <= one <= 1 for one in cell["cosine"])
                assert cell["smooth"] <= min(cell["settled"], data["noisy"])
                assert cell["snr"] is None or len(cell["snr"]) == depth + 1
                assert cell["snr"] is None or cell["smooth"] > 0


@pytest.mark.parametrize(("depth", "pathway"), list(product([1, 3, 5], ["gait", "itp"])))
def test_weak_feedback_costs_a_factor_gamma_a_layer(
    data: dict[str, Any], depth: int, pathway: str
) -> None:
    """Shift and signal to noise of layer l go as gamma^(L + 1 - l) (docs/noise.md)."""
    weak, stronger, *_ = row(data, depth, pathway, "orthogonal", "asinh")
    ratio = math.log(data["gammas"][1] / data["gammas"][0])
    for name in ("shift", "snr"):
        for layer, pair in enumerate(zip(weak[name], stronger[name], strict=True), 1):
            found = math.log(pair[1] / pair[0]) / ratio
            assert found == pytest.approx(depth + 2 - layer, abs=0.03), (name, layer)


def test_weak_gait_feedback_is_back_propagation_s_and_nothing_else_is(
    data: dict[str, Any],
) -> None:
    """With orthogonal weights (Eq. 21), in every layer; the plain inverse and Gaussian weights are
    the controls.
    """
    place = data["gammas"].index(0.01)
    for depth, units in product(data["depths"], data["units"]):
        assert min(row(data, depth, "gait", "orthogonal", units)[place]["cosine"]) > 0.999
    for circuit in ((3, "itp", "orthogonal", "leaky_relu"), (3, "gait", "gaussian", "leaky_relu")):
        assert row(data, *circuit)[place]["cosine"][0] < 0.8


def test_a_cell_measured_anew_is_the_one_in_the_file(
    script: dict[str, Any], data: dict[str, Any]
) -> None:
    """To the last digit that is stored, give or take one; another strength is another cell."""
    stored = row(data, 1, "gait", "orthogonal", "leaky_relu")
    place = data["gammas"].index(0.1)
    anew = script["cell"](0.1, 1, "gait", "orthogonal", "leaky_relu")
    assert anew["settled"] == stored[place]["settled"]
    for name in ("shift", "snr", "cosine"):
        assert anew[name] == pytest.approx(stored[place][name], rel=0.01)
    assert anew["shift"] != pytest.approx(stored[place + 1]["shift"], rel=0.1)
