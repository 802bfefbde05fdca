"""Data examined before the first step of training."""

from ecl.apps.data.verify.data import check_data
from ecl.apps.data.verify.report import KINDS, Report, print_report

__all__ = ['KINDS', 'Report', 'check_data', 'print_report']
