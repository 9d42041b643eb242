"""What `from circuit.report import ...` offers."""

from .alignment import Agreement, agreement
from .comparison import LayerReport, Report, as_dataset, report
from .deviation import Deviation, deviations, shift_bounds, update_bound
from .tables import tables

__all__ = [
    "Agreement",
    "Deviation",
    "LayerReport",
    "Report",
    "agreement",
    "as_dataset",
    "deviations",
    "report",
    "shift_bounds",
    "tables",
    "update_bound",
]
