"""Data made ready for training: one's own, and the public benchmarks."""

from ecl.apis.prepare.folder import Prepared, prepare_folder
from ecl.apis.prepare.public import prepare_public
from ecl.apis.prepare.summary import print_summary

__all__ = ['Prepared', 'prepare_folder', 'prepare_public', 'print_summary']
