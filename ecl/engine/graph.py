"""Capture the training step of one GPU as a CUDA graph, and replay it.

A step of several small networks has thousands of kernels, and launching them one by one takes
longer than running them. A graph launches all of them at once.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.runner import Runner
from mmpretrain.models.losses import LabelSmoothLoss, SeesawLoss
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ecl.datasets import InMemoryDataset
from ecl.engine.at_once import cast_at_once, count_at_once
from ecl.engine.hooks.faults import InvalidLossHook, loss_values
from ecl.errors import UserError
from ecl.weights import bare_model

#: Single steps before the capture; they create the tensors that are kept between steps.
WARM_UP = 3


def capture(function: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Record the work of a function on the current stream, without running it.

    Args:
        function: A function without arguments. It must not read a value from the GPU.

    Returns:
        A function that repeats the work and returns the same tensor, with its new content.
    """
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.current_stream()
    # Another thread may pin memory for the next batch at the same time.
    with torch.cuda.graph(graph, stream=stream, capture_error_mode='thread_local'):
        result = function()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


@contextmanager
def own_stream() -> Iterator[None]:
    """Train on a separate stream, because the default stream cannot be captured."""
    default, stream = torch.cuda.current_stream(), torch.cuda.Stream()
    stream.wait_stream(default)
    with torch.cuda.stream(stream):
        yield
    default.wait_stream(stream)


def obstacle(runner: Runner) -> str | None:
    """Return why the steps of a training cannot be captured; None if they can."""
    wrapper: Any = runner.optim_wrapper
    optimizer = getattr(wrapper, 'optimizer', None)
    if next(runner.model.parameters()).device.type != 'cuda':
        return 'the device is no GPU'
    if get_world_size() > 1:
        return 'there are several processes'
    if optimizer is None or not optimizer.defaults.get('fused'):
        return 'optim_wrapper.optimizer.fused is not True'
    if optimizer.defaults.get('capturable') is False:
        return 'optim_wrapper.optimizer.capturable is not True'
    if wrapper._accumulative_counts > 1:
        return 'optim_wrapper.accumulative_counts is above 1'
    if wrapper.clip_grad_kwargs:
        return 'optim_wrapper.clip_grad is set'
    if hasattr(wrapper, 'loss_scaler'):
        return f'{type(wrapper).__name__} scales the loss'
    return reads_values(runner.model)


def reads_values(model: nn.Module) -> str | None:
    """Return which loss of MMPretrain reads values from the GPU; None if there is none."""
    for module in model.modules():
        weighted = getattr(module, 'class_weight', None) is not None
        if isinstance(module, SeesawLoss | LabelSmoothLoss) or weighted:
            return f'{type(module).__name__} reads values from the GPU'
    return None


class GraphedStep:
    """Step of a training: data preprocessor, losses, backward pass and update in one graph.

    The first steps, and steps with another batch size, run without the graph. Results equal those
    of single steps except for rounding: the learning rate is in float32. A loss that is NaN or
    infinite changes no weight, and :class:`~ecl.engine.InvalidLossHook` ends the training.

    Args:
        runner: In training, in :func:`own_stream`.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._model: Any = bare_model(runner.model)
        self._device = next(self._model.parameters()).device
        self._setup: tuple[list[bool], list[dict[str, Any]]] | None = None
        self._progress: list[dict[str, Any]] = []
        self._eager_steps = 0
        self._replay: Callable[[], Tensor] | None = None
        self._inputs: list[Tensor] = []
        self._names: list[str] = []
        self._groups = runner.optim_wrapper.optimizer.param_groups
        self._rates = [torch.zeros((), device=self._device) for _ in self._groups]

    def begin_epoch(self) -> None:
        """Drop the graph if trained parameters or options have changed, as in a second stage."""
        optimizer = self._runner.optim_wrapper.optimizer
        options = [
            {key: value for key, value in group.items() if key not in ('params', 'lr')}
            for group in self._groups
        ]
        setup = [p.requires_grad for p in self._model.parameters()], options
        if setup != self._setup or not optimizer.state:
            self._setup, self._eager_steps, self._replay = setup, 0, None
        # Python numbers that change during the training are constants in a graph; buffers are not.
        progress = [
            {key: value for key, value in vars(module).items() if isinstance(value, int | float)}
            for module in self._model.modules()
            if callable(getattr(module, 'set_progress', None))
        ]
        if progress != self._progress:
            self._progress, self._replay = progress, None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Take a step.

        Args:
            batch: ``inputs``, images (N, 3, H, W) or a list of views of that shape, and
                ``data_samples``, or ``labels`` (N,) as :class:`DeviceBatches` gives them.

        Returns:
            ``loss`` and its parts, as for the log.

        Raises:
            UserError: If the step draws random numbers on the CPU.
        """
        inputs, labels = batch['inputs'], batch.get('labels')
        if labels is None:
            labels = torch.cat([sample.gt_label for sample in batch['data_samples']])
        tensors = [*(inputs if isinstance(inputs, list) else [inputs]), labels]
        known = [tensor.shape for tensor in self._inputs]
        full = getattr(self._runner.train_dataloader.batch_sampler, 'batch_size', len(labels))
        if (
            self._eager_steps < WARM_UP
            or len(labels) != full
            or (known and known != [tensor.shape for tensor in tensors])
        ):
            samples = batch.get('data_samples') or _samples(labels)
            return self._one_by_one({'inputs': inputs, 'data_samples': samples})
        if not known:
            self._inputs = [tensor.to(self._device, copy=True) for tensor in tensors]
        for own, new in zip(self._inputs, tensors, strict=True):
            own.copy_(new, non_blocking=True)
        return self._repeat(batch.get('data_samples', []))

    def _one_by_one(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        before = _host_numbers(self._device)
        with self._rates_on_device():
            log = self._model.train_step(batch, self._runner.optim_wrapper)
        if before != _host_numbers(self._device):
            raise UserError(
                'train_cfg.graph: got True, expected False: the step draws random numbers on the '
                'CPU, as Mixup and CutMix do, and a graph would repeat them'
            )
        self._eager_steps += 1
        return log

    def _repeat(self, samples: list[DataSample]) -> dict[str, Tensor]:
        if self._replay is None:
            with self._rates_on_device():
                self._replay = capture(self._step)
        self._fill_rates()
        total, *values = self._replay().unbind()
        for hook in self._runner.hooks:
            if isinstance(hook, InvalidLossHook):
                hook.watch(self._names, torch.stack(values), samples)
        return dict(zip(['loss', *self._names], [total, *values], strict=True))

    def _step(self) -> Tensor:
        """Take the step on the kept inputs; return the loss and its parts (1 + L,)."""
        *inputs, labels = self._inputs
        wrapper = self._runner.optim_wrapper
        batch = {
            'inputs': inputs if len(inputs) > 1 else inputs[0],
            'data_samples': _samples(labels),
        }
        with wrapper.optim_context(self._model):
            data = self._model.data_preprocessor(batch, True)
            with cast_at_once(self._model) as cast, count_at_once(self._model):
                # Not through the hooks of the module, which would run only during the capture.
                losses = self._model.forward(**data, mode='loss')
        self._names, values = loss_values(losses)
        total = values.sum()
        # A fused optimizer changes nothing if this is 1.
        wrapper.optimizer.found_inf = (~total.isfinite()).float()
        try:
            wrapper.backward(total)
            wrapper.optimizer.step()
        finally:
            del wrapper.optimizer.found_inf
        # Kept, so that the graph writes nothing else to their memory.
        self._kept = [*cast, *(parameter.grad for parameter in self._model.parameters())]
        wrapper.zero_grad()
        return torch.cat([total.view(1), values]).detach()

    def _fill_rates(self) -> None:
        for rate, group in zip(self._rates, self._groups, strict=True):
            rate.fill_(group['lr'])

    @contextmanager
    def _rates_on_device(self) -> Iterator[None]:
        """Give the optimizer its learning rates as tensors, which a graph reads at each replay."""
        self._fill_rates()
        numbers = [group['lr'] for group in self._groups]
        try:
            for group, rate in zip(self._groups, self._rates, strict=True):
                group['lr'] = rate
            yield
        finally:
            for group, number in zip(self._groups, numbers, strict=True):
                group['lr'] = number


def _host_numbers(device: torch.device) -> list[Any]:
    """Return the state of the random number generators of the host."""
    states: list[Any] = [random.getstate(), str(np.random.get_state())]
    return states if device.type == 'cpu' else [*states, torch.get_rng_state().tolist()]


def _samples(labels: Tensor) -> list[DataSample]:
    return [DataSample().set_gt_label(label) for label in labels.split(1)]


class DeviceBatches:
    """Batches of a dataset with its images on the GPU: no workers, copies or sample objects.

    Args:
        dataset: Images and labels.
        batch_sampler: Yields the indices of each batch.
        device: Where the images go.
    """

    def __init__(self, dataset: InMemoryDataset, batch_sampler: Any, device: torch.device) -> None:
        self.dataset = dataset
        self.batch_sampler = batch_sampler
        self._images = dataset.images.to(device)
        self._labels = torch.from_numpy(dataset.get_gt_labels()).to(device)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield ``inputs`` (N, 3, H, W) and ``labels`` (N,) of each batch."""
        batches = [list(batch) for batch in self.batch_sampler]
        order = torch.tensor([index for batch in batches for index in batch])
        for chosen in order.to(self._images.device).split([len(batch) for batch in batches]):
            yield {'inputs': self._images[chosen], 'labels': self._labels[chosen]}
