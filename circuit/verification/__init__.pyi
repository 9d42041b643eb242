"""What `from circuit.verification import ...` offers."""

from .bounds import error_bounds, relative_error_bounds
from .judgement import Judgement, Status, judge

__all__ = [
    "Judgement",
    "Status",
    "error_bounds",
    "judge",
    "relative_error_bounds",
]
