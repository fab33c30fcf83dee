"""Reports: each one HTML page that needs nothing but itself."""

from boneseg.report.compare import write_compare_report
from boneseg.report.crossval import write_crossval_report
from boneseg.report.page import write_report

__all__ = ["write_compare_report", "write_crossval_report", "write_report"]
