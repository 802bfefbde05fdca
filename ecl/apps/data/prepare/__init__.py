"""Data made ready for training: one's own, and the public benchmarks."""

from ecl.apps.data.prepare.folder import Prepared, prepare_folder
from ecl.apps.data.prepare.public import prepare_public
from ecl.apps.data.prepare.summary import print_summary

__all__ = ['Prepared', 'prepare_folder', 'prepare_public', 'print_summary']
