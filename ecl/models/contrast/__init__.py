"""The contrastive branch."""

from .momentum_contrast import MomentumContrast

__all__ = ['MomentumContrast']
