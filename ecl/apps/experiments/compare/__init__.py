"""Trainings side by side: differences, and whether they are more than chance."""

from ecl.apps.experiments.compare.run import compare

__all__ = ['compare']
