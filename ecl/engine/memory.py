"""Estimate the memory of a training step before the first one."""

import os
import re
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.func import functional_call

from ecl.errors import UserError
from ecl.weights import bare_model

GIB = 2**30
#: Memory of the process without the model: Python, the libraries, a batch in preparation.
BASE = 1.0 * GIB
#: Peak memory of a step relative to the tensors kept for the backward pass: gradients of feature
#: maps, and fragmentation. Measured on a CPU: 1.1 to 1.6.
PEAK = 1.3
#: Optimizer wrappers with 16 bits, and their names in the log.
PRECISIONS = {'Bfloat16OptimWrapper': 'bfloat16', 'AmpOptimWrapper': 'mixed precision'}
#: Copies of the trained weights: weights, gradients and optimizer state.
COPIES = {'SGD': 3, 'Adam': 4, 'AdamW': 4}
#: Share of the memory left by the model that a proposed batch takes.
USABLE = 0.9


class MemoryHook(Hook):
    """Estimate the memory of a step before the first one; raise an error if it does not fit.

    Args:
        console: Print the line, as well as log it.
    """

    def __init__(self, console: bool = True) -> None:
        self.console = console
        self._checked = False

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Check the first batch.

        Raises:
            UserError: If a step needs more memory than there is.
        """
        if self._checked:
            return
        self._checked = True
        line = check_memory(runner, data_batch)
        if line is not None:
            runner.logger.info(line)
            if self.console and is_main_process():
                print(line, flush=True)


def check_memory(runner: Runner, data_batch: Any) -> str | None:
    """Estimate the memory of a step, and raise an error if the batch does not fit.

    Args:
        runner: A training before its first step.
        data_batch: The first batch, as the data loader gives it.

    Returns:
        A line with parameters and memory; None if the model cannot be run without data, or the
        batch size is not known.

    Raises:
        UserError: If a step needs more memory than the device has available.
    """
    model: Any = bare_model(runner.model)
    batch = getattr(runner.train_dataloader.batch_sampler, 'batch_size', None)
    image = _image_shape(data_batch)
    encoder = getattr(model, 'extract_feat', None)
    if batch is None or image is None or encoder is None:
        return None
    per_image = activation_bytes(model, image)
    if per_image is None:
        return None
    per_image *= PEAK * trained_views(model, data_batch)
    if type(runner.optim_wrapper).__name__ in PRECISIONS:
        per_image /= 2
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    held = sum(t.nbytes for t in model.state_dict().values())
    copies = COPIES.get(type(runner.optim_wrapper.optimizer).__name__, 4)
    fixed = BASE + held + 4 * (copies - 1) * trained
    device = next(model.parameters()).device
    processes = 1 if device.type == 'cuda' else int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    needed, available = fixed + batch * per_image, available_memory(device)
    if available is not None:
        available /= processes  # each has its own copy of the model
    where = '' if available is None else f' of {available / GIB:.1f} GiB available'
    line = (
        f'Model: {trained / 1e6:.1f} M trained parameters; a step of {batch} images takes about '
        f'{needed / GIB:.1f} GiB{where}'
    )
    if available is not None and needed > available:
        fits = max(int(USABLE * (available - fixed) / per_image), 0)
        advice = (
            f'Set train_dataloader.batch_size={power_of_two(fits)}, with '
            'optim_wrapper.accumulative_counts for the same number of images per step, or choose '
            'a smaller network or image.'
            if fits >= 2
            else 'Choose a smaller network or smaller images.'
        )
        raise UserError(f'train_dataloader.batch_size: {line}. {advice}')
    return line


def activation_bytes(model: nn.Module, image: tuple[int, ...]) -> float | None:
    """Count the bytes kept for the backward pass of one image, by a run on the meta device.

    Args:
        model: A classifier with ``extract_feat``; its weights and buffers are not changed.
        image: Shape of an image, such as (3, 224, 224).

    Returns:
        Bytes in float32; None if the network does not run without data.
    """
    seen: dict[int, int] = {}
    network = Features(model)
    weights = {name: _on_meta(p) for name, p in network.named_parameters()}
    buffers = {name: b.to('meta') for name, b in network.named_buffers()}
    own = {id(tensor) for tensor in (*weights.values(), *buffers.values())}

    def keep(tensor: Tensor) -> Tensor:
        if id(tensor) not in own and tensor.numel() not in (0, 1):
            seen[id(tensor.untyped_storage())] = tensor.untyped_storage().nbytes()
            kept.append(tensor)  # keep it alive, so that no other storage gets the same id
        return tensor

    kept: list[Tensor] = []
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            images = torch.empty(2, *image, device='meta')
            functional_call(network, (weights, buffers), (images,))
    except (RuntimeError, NotImplementedError, AssertionError, TypeError, ValueError):
        return None
    return sum(seen.values()) / 2


class Features(nn.Module):
    """The part of a classifier from images to features."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Any:
        """Map images (N, 3, H, W) to K features (N, D)."""
        return self.model.extract_feat(images)


def trained_views(model: Any, data_batch: Any) -> int:
    """Count the views of an image that pass through the trained network in one step.

    Args:
        model: A classifier. A contrastive branch with ``trains_on_views`` trains the network on all
            views; otherwise it is trained only on the first view.
        data_batch: A batch, as the data loader gives it.
    """
    if not getattr(getattr(model, 'contrast', None), 'trains_on_views', False):
        return 1
    made = getattr(model.data_preprocessor, 'views', ())  # of the whole batch
    return len(made) or len(data_batch['inputs'])


def _on_meta(parameter: Tensor) -> Tensor:
    return torch.empty_like(parameter, device='meta').requires_grad_(parameter.requires_grad)


def _image_shape(data_batch: Any) -> tuple[int, ...] | None:
    """Return the shape of an image of a batch, (3, H, W)."""
    first = data_batch.get('inputs') if isinstance(data_batch, dict) else None
    while isinstance(first, list | tuple) and first:
        first = first[0]
    if not isinstance(first, Tensor) or first.ndim not in (3, 4):
        return None
    return tuple(first.shape[-3:])


def available_memory(device: torch.device) -> float | None:
    """Return the bytes that a device has available; None if unknown."""
    if device.type == 'cuda':
        return float(torch.cuda.mem_get_info(device)[0])
    file = Path('/proc/meminfo')
    found = re.search(r'MemAvailable:\s+(\d+) kB', file.read_text()) if file.is_file() else None
    if found is None:
        return None
    return float(min(1024 * int(found.group(1)), _container_limit()))


def _container_limit() -> float:
    """Return the bytes that a container may still allocate; infinity without a limit."""
    folder = Path('/sys/fs/cgroup')
    try:
        limit = int((folder / 'memory.max').read_text())
        used = int((folder / 'memory.current').read_text())
        # Files that were read and can be dropped count as used.
        cached = re.search(r'^inactive_file (\d+)$', (folder / 'memory.stat').read_text(), re.M)
        return limit - used + (int(cached.group(1)) if cached else 0)
    except (OSError, ValueError):
        return float('inf')


def power_of_two(limit: int) -> int:
    """Return the largest power of two that is at most ``limit``, which is at least 1."""
    return 1 << (limit.bit_length() - 1)
