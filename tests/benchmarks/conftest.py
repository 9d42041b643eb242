"""No pause before a turn: nothing here looks at how long anything took."""

from __future__ import annotations

import pytest

from benchmarks import timing


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes take their turns at once."""
    monkeypatch.setattr(timing, "PAUSE", 0.0)
