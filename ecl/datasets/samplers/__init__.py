"""Samplers for long-tailed data."""

from ecl.datasets.samplers.class_aware import ClassAwareSampler

__all__ = ['ClassAwareSampler']
