"""What models need beside their layers."""

from .data_preprocessor import MultiViewDataPreprocessor

__all__ = ['MultiViewDataPreprocessor']
