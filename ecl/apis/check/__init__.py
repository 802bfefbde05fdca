"""Data examined before the first step of training."""

from ecl.apis.check.data import check_data
from ecl.apis.check.report import KINDS, Report, print_report

__all__ = ['KINDS', 'Report', 'check_data', 'print_report']
