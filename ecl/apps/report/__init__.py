"""Write a page about trainings."""

from ecl.apps.report.page import report

__all__ = ['report']
