"""What `from circuit.report import ...` offers."""

from .alignment import Agreement, agreement, shift_deviation_bounds, update_deviation_bound
from .comparison import LayerReport, Report, as_dataset, report, tables

__all__ = [
    "Agreement",
    "LayerReport",
    "Report",
    "agreement",
    "as_dataset",
    "report",
    "shift_deviation_bounds",
    "tables",
    "update_deviation_bound",
]
