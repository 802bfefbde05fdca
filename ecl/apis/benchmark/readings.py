"""Clock readings over windows of steps, and their medians."""

import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import harmonic_mean, median
from typing import NamedTuple

import torch


class Reading(NamedTuple):
    """Seconds a step: by the clock on the wall, and of this process's threads on the processor."""

    wall: float
    cpu: float


class Stopwatch:
    """Reads both clocks; on a GPU, once its work is done.

    Args:
        device: Where the work runs.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.restart()

    def restart(self) -> None:
        """Begin anew."""
        self._start = self._now()

    def reading(self, steps: int) -> Reading:
        """Seconds a step since the start, which lasted ``steps`` steps."""
        start, now = self._start, self._now()
        return Reading(
            *((after - before) / steps for before, after in zip(start, now, strict=True))
        )

    def measure(self, step: Callable[[], object], steps: int) -> Reading:
        """Run a step ``steps`` times."""
        self.restart()
        for _ in range(steps):
            step()
        return self.reading(steps)

    def _now(self) -> Reading:
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        return Reading(time.perf_counter(), time.process_time())


def of_all_processes(readings: Sequence[list[Reading]]) -> list[Reading]:
    """Readings of a loop in several processes as one list, so that their rates add up.

    Args:
        readings: Of each process the same number of readings.

    Returns:
        Seconds in which all processes together do one step each: harmonic means.
    """
    return [
        Reading(*(harmonic_mean(times) for times in zip(*window, strict=True)))
        for window in zip(*readings, strict=True)
    ]


def median_ratio(above: list[Reading], below: list[Reading], clock: str) -> float:
    """Median over windows of the ratio of two loops' times, each pair taken side by side."""
    pairs = zip(above, below, strict=True)
    return median(getattr(a, clock) / getattr(b, clock) for a, b in pairs)


def median_rate(readings: list[Reading], images: int, clock: str) -> float:
    """Median images a second of a loop whose step sees ``images`` images."""
    return images / median(getattr(reading, clock) for reading in readings)


def peak_memory_mb(device: torch.device) -> float:
    """Most memory held so far: of the GPU, or without one of this process, in MB."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == 'darwin' else 1e3)


def machine(device: torch.device) -> dict[str, str | int]:
    """What the numbers were taken on."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    gpu = torch.cuda.get_device_name(device) if device.type == 'cuda' else None
    return {
        'device': gpu or 'CPU',
        'processor': names[0] if names else platform.processor(),
        'cores': os.cpu_count() or 1,
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
    }
