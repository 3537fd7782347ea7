"""Reports: from the tables of a run folder to one HTML page; no science is computed here."""

from striate.report.build import build
from striate.report.scorecard.page import write_scorecard

__all__ = ["build", "write_scorecard"]
