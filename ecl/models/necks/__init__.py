"""Necks: what lies between the experts' features and their use."""

from .contrastive_neck import ContrastiveNeck

__all__ = ['ContrastiveNeck']
