"""Time the runner's own loop, and between its windows whatever it is to be compared with."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from unittest.mock import patch

from mmengine.dist import barrier
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner

from ecl.apis.benchmark.readings import Reading, Stopwatch, peak_memory_mb


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
