"""Processes of this machine that the tests of a file share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from analysis.sweep.run import local_cluster


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Two processes of this machine, for all tests that need some."""
    with local_cluster(2) as address:
        yield address
