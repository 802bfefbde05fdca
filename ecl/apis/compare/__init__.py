"""Trainings side by side: differences, and whether they are more than chance."""

from ecl.apis.compare.run import compare

__all__ = ['compare']
