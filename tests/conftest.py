"""Shared fixtures: a seeded generator, and the array libraries one after the other.

Expectations in these tests come from theorems, from literal transcriptions of the paper's
equations, and from other libraries; never from what the code was seen to return.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# a twelfth of the time went into searches for garbage, of which so large a process has little
gc.set_threshold(20_000, 20, 50)

settings.register_profile(
    "circuit", deadline=None, derandomize=True, database=None, max_examples=60
)
settings.load_profile("circuit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `posix` are left out on Windows."""
    for item in items if sys.platform == "win32" else ():
        if item.get_closest_marker("posix"):
            item.add_marker(pytest.mark.skip(reason="needs POSIX"))


def pytest_runtest_setup() -> None:
    """Searches for garbage, of which Brian2 begins one before every run, are of what a test made.

    Those of all that is loaded took a fourteenth of the time of all tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def rough_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are small, not laid out and without minor ticks where a test sees which there are;
    all else is as a user has it. Every picture is written as a user has it in a test of its
    command.
    """
    from circuit.report.canvas import Figure

    as_a_user_has_it = Figure.write_png

    def rough(figure: Figure, file: Any) -> None:
        figure.set_dpi(20)
        figure.set_layout_engine("none")
        for axes in figure.axes:
            axes.minorticks_off()
        as_a_user_has_it(figure, file)

    monkeypatch.setattr(Figure, "write_png", rough)


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int, Path], None]:
    """Put the cells of a study at scale smoke, of digits and one seed, into an output folder.

    They are measured once, when they are first asked for: for all tests, and on POSIX for all
    processes of pytest-xdist.
    """
    folder = tmp_path_factory.getbasetemp()
    if fcntl is not None and "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def put(name: str, seed: int, output: Path) -> None:
        from analysis.sweep.run import run
        from studies.catalogue import STUDIES

        here = folder / f"{name}-{seed}"
        with (folder / f"{name}-{seed}.lock").open("w") as lock:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not (here / f"{name}.nc").exists():
                study = STUDIES[name].door("study").study("smoke", seeds=(seed,))
                run(study, here, workers=0, quiet=True)
        shutil.copytree(here / name, output / name)

    return put


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
