"""Classifiers: the data flow of one step, nothing else."""

from .ecl_classifier import ECLClassifier

__all__ = ['ECLClassifier']
