"""A page about trainings."""

from ecl.apis.report.page import report

__all__ = ['report']
