"""Parameters of cells: what a study accepts comes back from its file, and tells its cells apart."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from analysis import records
from analysis.sweep.kept import collect
from analysis.sweep.study import Study
from circuit.errors import CircuitError
from tests import toy_cells

VALUES = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-3, 3),
    some.integers(),
    some.sampled_from([0.0, -0.0, 1.0, 0.5, 1e300, math.nan, math.inf, 2**53, 2**53 + 1]),
    some.text(some.characters(), max_size=3),
    some.sampled_from(["a\0", "\0", "1", "", "None", "\ud800", "é", " a "]),
    some.sampled_from([[1], {}, (), b"a", 1j]),
)


def study(*values: Any, name: str = "x") -> Study:
    return Study("any", tuple({name: value} for value in values), toy_cells.fragile)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(some.lists(VALUES, min_size=1, max_size=4))
def test_what_is_accepted_comes_back(tmp_path, values: list[Any]) -> None:
    """Numbers as numbers, words as words, None as NaN or ""; no two cells read alike."""
    try:
        cells = collect(study(*values), tmp_path)
    except CircuitError as error:
        assert "\n" not in str(error)
        return
    path = tmp_path / "cells.nc"
    records.write_dataset(path, cells, remedy="none")
    found = records.read_dataset(path)["x"].values.tolist()
    wordy = any(isinstance(value, str) for value in values) or set(values) == {None}
    for value, read in zip(values, found, strict=True):
        if wordy:
            assert read == ("" if value is None else str(value))
        else:
            assert math.isnan(read) if value is None else read == value
    assert len({repr(read + 0 if not wordy else read) for read in found}) == len(found)


@pytest.mark.parametrize(
    "values",
    [
        (1, 1.0),
        (True, 1),
        (0.0, -0.0),
        (0, False),
        (None, "", "a"),
        ("1", 1),
        ("None", None, "", "b"),
        (2**53, 2**53 + 0.0),
    ],
    ids=repr,
)
def test_cells_that_read_alike_are_refused(values: tuple[Any, ...]) -> None:
    """By hand: what NetCDF has for both is one number, or one word."""
    with pytest.raises(
        CircuitError, match="the same once they are stored|twice|None, and"
    ) as error:
        study(*values)
    assert "\n" not in str(error.value)
    for value in values:
        study(value, 7 if not isinstance(value, str) else "7")  # each by itself can be stored


def test_cells_that_differ_only_elsewhere_are_accepted(tmp_path) -> None:
    cells = ({"a": 1, "b": "x"}, {"a": 1.0, "b": "y"}, {"a": 2, "b": "x"})
    found = collect(Study("any", cells, toy_cells.fragile), tmp_path)
    assert found["a"].values.tolist() == [1.0, 1.0, 2.0]
    with pytest.raises(CircuitError, match="the same once they are stored"):
        Study("any", (*cells, {"a": 2.0, "b": "x"}), toy_cells.fragile)


@pytest.mark.parametrize(
    "value",
    [[1], {"a": 1}, (1,), b"a", 1j, math.inf, 2**53 + 1, 10**400, "a\0", "\ud800", object()],
    ids=lambda value: type(value).__name__,
)
def test_values_that_no_file_holds(value: Any) -> None:
    with pytest.raises(CircuitError, match="neither a word, a finite number") as error:
        study(0.5, value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize("name", ["a/b", "int", "two words", "", "1st", 3, None])
def test_names_that_no_file_holds(name: Any) -> None:
    with pytest.raises(CircuitError, match="named .* call it something else"):
        study(1, 2, name=name)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cells": {"x": 1}}, "cells of study any are"),
        ({"cells": ([1], [2])}, "cells of study any are"),
        ({"cells": 3}, "cells of study any are"),
        ({"group_by": "x"}, "group_by of study any are 'x'; give a tuple of str"),
        ({"version": "2"}, "version of study any = '2' is not a count"),
        ({"version": 2**40}, "version of study any"),
        ({"name": 3}, "study name 3"),
    ],
)
def test_studies_of_the_wrong_kinds(changes: dict[str, Any], words: str) -> None:
    fields = {"name": "any", "cells": ({"x": 1},), "measure": toy_cells.fragile} | changes
    with pytest.raises(CircuitError, match=words):
        Study(**fields)
