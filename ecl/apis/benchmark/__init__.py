"""How fast training is, and what stands between it and the hardware."""

from ecl.apis.benchmark.step import benchmark_step

__all__ = ['benchmark_step']
