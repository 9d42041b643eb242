"""What `from circuit.checks import ...` offers."""

from .given import (
    generator_of,
    real,
    reals,
    require_choice,
    require_count,
    require_flag,
    require_kind,
)

__all__ = [
    "generator_of",
    "real",
    "reals",
    "require_choice",
    "require_count",
    "require_flag",
    "require_kind",
]
