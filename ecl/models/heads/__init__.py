"""Heads: from the experts' features to losses and predictions."""

from .ecl_head import ECLHead
from .linear import CosineLinear

__all__ = ['CosineLinear', 'ECLHead']
