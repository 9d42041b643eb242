"""Shared fixtures: a seeded generator, and the array libraries one after the other.

Expectations in these tests come from theorems, from literal transcriptions of the paper's
equations, and from other libraries; never from what the code was seen to return.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile(
    "circuit", deadline=None, derandomize=True, database=None, max_examples=60
)
settings.load_profile("circuit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `posix` are left out on Windows."""
    for item in items if sys.platform == "win32" else ():
        if item.get_closest_marker("posix"):
            item.add_marker(pytest.mark.skip(reason="needs POSIX"))


@dataclass(frozen=True)
class Backend:
    """An array library: its own namespace, and NumPy arrays carried over to it."""

    name: str
    library: ModuleType

    def asarray(self, array: Any) -> Any:
        """A copy of `array` in this library, in the same dtype."""
        return self.library.asarray(np.array(array))

    @property
    def array_type(self) -> type:
        """The type of this library's arrays."""
        return type(self.asarray([0.0]))


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed, fresh for every test."""
    return np.random.default_rng(20240611)


@pytest.fixture(params=["numpy", "array_api_strict", "torch"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every array library that is installed, one after the other."""
    name = request.param
    return Backend(name, pytest.importorskip(name, reason=f"{name} is not installed"))
