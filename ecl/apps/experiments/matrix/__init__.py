"""Configurations by seeds: trained in sequence, shown in one table."""

from ecl.apps.experiments.matrix.run import run_matrix

__all__ = ['run_matrix']
