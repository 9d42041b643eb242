"""What a record offers although it stands on floors above it, found by name when it is asked for.

Owns the way there. A settled circuit can `report`, `plot` and `save` itself; the files that do so
are made of settled circuits, so that importing them here would close a circle.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def reached(name: str) -> Any:
    """What stands in a file, by its full name, such as circuit.report.picture.picture."""
    file, _, thing = name.rpartition(".")
    return getattr(import_module(file), thing)
