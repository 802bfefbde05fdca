"""Test-time augmentation: one prediction from several views of an image."""

from .average_scores import AverageScoresTTA

__all__ = ['AverageScoresTTA']
