"""What `from circuit.report import ...` offers."""

from .alignment import Agreement, agreement
from .comparison import LayerReport, Report, report
from .deviation import Deviation, deviations, shift_bounds, update_bound
from .labelled import as_dataset
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
