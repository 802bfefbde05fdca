"""Time the loop of the runner in turns with other loops."""

import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import harmonic_mean, median
from typing import NamedTuple
from unittest.mock import patch

import torch
from mmengine.dist import barrier
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner


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


class Enough(Exception):
    """Ends a training whose steps have been timed."""


def alone() -> AbstractContextManager:
    """A context in which this process knows of no others, so that losses exchange nothing."""
    return patch('mmengine.dist.utils.is_distributed', lambda: False)


class InterleaveHook(Hook):
    """Take turns: a window of the runner's steps, then one of each other loop, and so on.

    Machines have fast and slow minutes; loops that take turns share them, so the ratios of
    neighbouring windows stay true. The first window only warms up. Steps whose data the loader's
    workers prepared while another loop had its turn are not counted. Of several processes each
    runs the other loops for itself, and all begin a turn together.

    Args:
        build: ``build(runner, batch)``, called after the warm-up: the other loops by name, each a
            function that does one step.
        steps: Steps in a window.
        repeats: Windows of each loop.
    """

    def __init__(
        self, build: Callable[[Runner, dict], dict[str, Callable]], steps: int, repeats: int
    ) -> None:
        self.build = build
        self.steps = steps
        self.repeats = repeats
        self.readings: dict[str, list[Reading]] = {'runner': []}
        self.waiting: list[float] = []
        self.begun = time.perf_counter()
        self.start_up: float | None = None
        self.peak_memory = 0.0

    def before_train(self, runner: Runner) -> None:
        """Find out how many batches lie ready when the runner's turn begins."""
        loader = runner.train_dataloader
        self._ready = loader.num_workers * (loader.prefetch_factor or 0)
        self._device = next(runner.model.parameters()).device
        self._watch = Stopwatch(self._device)
        self._done = 0
        self._waited = 0.0
        self._loops: dict[str, Callable] | None = None

    def before_train_epoch(self, runner: Runner) -> None:
        """Start to wait for the first batch."""
        self._idle_since = time.perf_counter()

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Count the time since the last step as waiting."""
        self._waited += time.perf_counter() - self._idle_since

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Close the window when it is full and give the others their turn."""
        if self.start_up is None:
            self.start_up = time.perf_counter() - self.begun
        self._done += 1
        if self._done == self._ready + 1:
            self._waited = 0.0
            self._watch.restart()
        elif self._done == self._ready + 1 + self.steps:
            self._take_turns(runner, data_batch)
            self._done = 0
        self._idle_since = time.perf_counter()

    def _take_turns(self, runner: Runner, batch: dict) -> None:
        reading = self._watch.reading(self.steps)
        if self._loops is None:
            self.peak_memory = peak_memory_mb(self._device)
            self._loops = self.build(runner, batch)
            self.readings |= {name: [] for name in self._loops}
            with alone():
                for step in self._loops.values():
                    step()
            barrier()
            return
        self.readings['runner'].append(reading)
        self.waiting.append(self._waited / (reading.wall * self.steps))
        for name, step in self._loops.items():
            barrier()
            with alone():
                self.readings[name].append(self._watch.measure(step, self.steps))
        barrier()
        if len(self.waiting) == self.repeats:
            raise Enough
