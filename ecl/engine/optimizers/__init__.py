"""Optimizer wrappers."""

from .bfloat16 import Bfloat16OptimWrapper

__all__ = ['Bfloat16OptimWrapper']
