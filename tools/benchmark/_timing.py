"""Time the loop of the runner and simpler loops in turn."""

import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from functools import partial
from statistics import harmonic_mean, median
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from mmengine.dist import barrier
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torchvision import transforms as T

from ecl.models.folded import FoldedNorms


class Reading(NamedTuple):
    """Seconds per step: elapsed time, and processor time of this process."""

    wall: float
    cpu: float


class Stopwatch:
    """Measure elapsed time and processor time. On a GPU, wait for its work first.

    Args:
        device: Device of the work.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.restart()

    def restart(self) -> None:
        """Set both clocks to zero."""
        self._start = self._now()

    def reading(self, steps: int) -> Reading:
        """Return the seconds per step since the start, after ``steps`` steps."""
        start, now = self._start, self._now()
        return Reading(
            *((after - before) / steps for before, after in zip(start, now, strict=True))
        )

    def measure(self, step: Callable[[], object], steps: int) -> Reading:
        """Run a step ``steps`` times and return the seconds per step."""
        self.restart()
        for _ in range(steps):
            step()
        return self.reading(steps)

    def _now(self) -> Reading:
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        return Reading(time.perf_counter(), time.process_time())


def of_all_processes(readings: Sequence[list[Reading]]) -> list[Reading]:
    """Merge the readings of a loop in several processes. Their rates add up.

    Args:
        readings: One list per process, all of the same length.

    Returns:
        Harmonic means: the seconds in which each process does one step.
    """
    return [
        Reading(*(harmonic_mean(times) for times in zip(*window, strict=True)))
        for window in zip(*readings, strict=True)
    ]


def median_ratio(above: list[Reading], below: list[Reading], clock: str) -> float:
    """Return the median ratio of the times of two loops, over pairs of neighbouring windows."""
    pairs = zip(above, below, strict=True)
    return median(getattr(a, clock) / getattr(b, clock) for a, b in pairs)


def median_rate(readings: list[Reading], images: int, clock: str) -> float:
    """Return the median images per second of a loop with ``images`` images per step."""
    return images / median(getattr(reading, clock) for reading in readings)


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory in MB: of the GPU, or of this process without a GPU."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == 'darwin' else 1e3)


class Enough(Exception):
    """Exception that ends a training after the last timed step."""


def alone() -> AbstractContextManager:
    """Return a context without communication between processes."""
    return patch('mmengine.dist.utils.is_distributed', lambda: False)


class InterleaveHook(Hook):
    """Time windows of the training and of other loops in turn.

    The speed of a machine changes over minutes. Neighbouring windows share the change, so their
    ratios hold. The first window is for warm-up. Steps whose data the workers prepared during the
    turn of another loop are not counted. Each process runs the other loops alone, and all
    processes begin a turn together.

    Args:
        build: Called as ``build(runner, batch)`` after the warm-up. It returns the other loops by
            name, each a function that does one step.
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
        """Count the batches that are ready when the turn of the training begins."""
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
        """End the window after its last step, and run the other loops."""
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


def _blur(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))


class PILViews:
    """Views of NCL's recipe for CIFAR-LT by torchvision, scaled to the size of the images.

    The images are in memory, like those of CIFAR. Reading and decoding are not timed.

    Args:
        images: A batch (N, 3, H, W) of uint8.
        num_views: 1 for the first view; each further one is a view of the momentum encoder.
    """

    def __init__(self, images: Tensor, num_views: int) -> None:
        self.images = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
        size = min(images.shape[-2:])
        to_tensor = [T.ToTensor(), T.Normalize([0.5] * 3, [0.25] * 3)]
        strong = T.Compose(
            [
                T.RandomCrop(size, padding=size // 8),
                T.RandomHorizontalFlip(),
                T.AutoAugment(T.AutoAugmentPolicy.CIFAR10),
                *to_tensor,
                T.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0)),
            ]
        )
        key = T.Compose(
            [
                T.RandomResizedCrop(size, scale=(0.2, 1.0)),
                T.RandomHorizontalFlip(),
                T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
                T.RandomGrayscale(p=0.2),
                T.RandomApply([T.Lambda(_blur)], p=0.5),
                *to_tensor,
            ]
        )
        self.transforms = [strong, *[key] * (num_views - 1)]

    def __call__(self) -> list[Tensor]:
        """Draw the views, each a tensor (N, 3, S, S) in float32."""
        return [torch.stack([view(image) for image in self.images]) for view in self.transforms]


Step = Callable[[], object]


def views_of(inputs: Tensor | list[Tensor]) -> list[Tensor]:
    """Return the views of a batch as a list."""
    return [inputs] if isinstance(inputs, Tensor) else list(inputs)


def build_loops(
    model: ImageClassifier,
    wrapper: OptimWrapper,
    batch: dict,
    build_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
) -> dict[str, Step]:
    """Build the loops to compare with, each with a copy of the model.

    Args:
        model: The model in training.
        wrapper: Its optimizer, with the precision of the forward pass.
        batch: A batch of the data loader.
        build_optimizer: Builds the optimizer of a copy of the model.

    Returns:
        One step by name. ``bare``: losses, gradients and update on tensors in memory.
        ``experts``: forward and backward of the backbone. ``momentum``: forward of the momentum
        encoder, for a model that has one. ``reference``: float32 in contiguous layout, with PIL
        transforms image by image.
    """
    precision = partial(wrapper.optim_context, model)
    packed = model.data_preprocessor(batch, training=True)
    views, samples = views_of(packed['inputs']), packed['data_samples']
    bare = _copy(model)
    loops: dict[str, Step] = {
        'bare': partial(
            train_step, bare, build_optimizer(bare), packed['inputs'], samples, precision
        ),
        'experts': partial(experts_step, deepcopy(model.backbone), views[0], precision),
    }
    momentum_encoder = getattr(getattr(model, 'contrast', None), 'momentum_encoder', None)
    if momentum_encoder is not None:
        encoder = FoldedNorms(deepcopy(momentum_encoder))
        loops['momentum'] = partial(forward_step, encoder, views[1], precision)
    plain = _copy(model).to(memory_format=torch.contiguous_format)
    pixels = views_of(batch['inputs'])[0]
    transform = PILViews(pixels, len(views))
    loops['reference'] = partial(reference_step, plain, build_optimizer(plain), transform, samples)
    return loops


def _copy(model: ImageClassifier) -> ImageClassifier:
    """Copy a model without its hooks."""
    hooks = [module._forward_hooks for module in model.modules()]
    return deepcopy(model, {id(each): type(each)() for each in hooks})


def train_step(
    model: ImageClassifier,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor | list[Tensor],
    samples: list[DataSample],
    precision: Callable[[], AbstractContextManager],
) -> None:
    """Compute losses and gradients, and update the weights."""
    with precision():
        losses = model.loss(inputs, samples)
    optimizer.zero_grad()
    sum(losses.values()).backward()
    optimizer.step()


def experts_step(
    backbone: nn.Module, images: Tensor, precision: Callable[[], AbstractContextManager]
) -> None:
    """Run the experts forward and backward."""
    with precision():
        maps = backbone(images)
    backbone.zero_grad()
    torch.autograd.backward(maps, [torch.ones_like(each) for each in maps])


@torch.no_grad()
def forward_step(
    encoder: Callable[[Tensor], Any],
    images: Tensor,
    precision: Callable[[], AbstractContextManager],
) -> None:
    """Run an encoder forward without gradients."""
    with precision():
        encoder(images)


def reference_step(
    model: ImageClassifier,
    optimizer: torch.optim.Optimizer,
    transform: PILViews,
    samples: list[DataSample],
) -> None:
    """Run a step as common research code does, with its transforms."""
    device = next(model.parameters()).device
    views = [view.to(device) for view in transform()]
    inputs = views[0] if len(views) == 1 else views
    losses = model.loss(inputs, samples)
    optimizer.zero_grad()
    sum(losses.values()).backward()
    optimizer.step()
