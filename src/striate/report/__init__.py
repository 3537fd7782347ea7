"""Reports: from the tables of a run folder to one HTML page; no science is computed here."""

from striate.report.build import build

__all__ = ["build"]
