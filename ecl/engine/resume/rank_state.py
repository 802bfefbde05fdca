"""State of each rank that the shared weights do not hold."""

from typing import Any

import torch
from mmengine.dist import all_gather, all_reduce, gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase

from ecl.registry import HOOKS
from ecl.weights import bare_model

#: Elements that one step of a checksum works on: it limits the memory of the positions.
_CHUNK = 1 << 20


def gather_states(runner: Runner) -> list[dict[str, Any]]:
    """Collect the state of every rank. All ranks must call it.

    Buffers are compared by checksums first. Only those that differ between ranks are sent, so a
    queue that all ranks share costs nothing.

    Args:
        runner: In training.

    Returns:
        On rank 0 one dict for each rank, else an empty list. Plain data and CPU tensors:

        - ``buffers``: those that differ between the ranks, such as statistics of norm layers.
        - ``gradients``: accumulated and not applied yet.
        - ``hooks``: ``state_dict()`` of the hooks that have one, by class name.
    """
    model = bare_model(runner.model)
    buffers = dict(model.named_buffers())
    own = {
        'buffers': {name: buffers[name].cpu() for name in _differing(buffers)},
        'gradients': {
            name: parameter.grad.cpu()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        },
        'hooks': {type(hook).__name__: hook.state_dict() for hook in _hooks(runner)},
    }
    return gather_object(own) or []


def restore_state(runner: Runner, states: list[dict[str, Any]]) -> None:
    """Restore what :func:`gather_states` collected from this rank.

    Args:
        runner: In training, its model with the weights of the same checkpoint.
        states: One for each rank.
    """
    state = states[runner.rank]
    model = bare_model(runner.model)
    buffers, parameters = dict(model.named_buffers()), dict(model.named_parameters())
    for name, value in state['buffers'].items():
        buffers[name].copy_(value)
    for name, value in state['gradients'].items():
        parameters[name].grad = value.to(parameters[name].device)
    for hook in _hooks(runner):
        if type(hook).__name__ in state['hooks']:
            hook.load_state_dict(state['hooks'][type(hook).__name__])


@HOOKS.register_module()
class SyncNormHook(Hook):
    """Average the running statistics of norm layers over all ranks after each epoch.

    Each rank computes statistics of its own images, and a checkpoint keeps one set. Other buffers,
    such as a queue, are equal on all ranks already. MMEngine's ``SyncBuffersHook`` averages those
    too, which costs memory and can round them.

    Example:
        >>> default_hooks = dict(sync_norm=dict(type='SyncNormHook'))
    """

    # Before a checkpoint is saved and before a validation.
    priority = 'NORMAL'

    def after_train_epoch(self, runner: Runner) -> None:
        """Average the statistics."""
        if get_world_size() == 1:
            return
        statistics = [
            statistic
            for module in bare_model(runner.model).modules()
            if isinstance(module, _NormBase)
            for statistic in (module.running_mean, module.running_var)
            if statistic is not None
        ]
        if not statistics:
            return
        flat = torch.cat(statistics)
        all_reduce(flat, 'mean')
        means = flat.split([statistic.numel() for statistic in statistics])
        for statistic, mean in zip(statistics, means, strict=True):
            statistic.copy_(mean)


def _differing(buffers: dict[str, Tensor]) -> list[str]:
    """Return the names of the buffers that are not equal on all ranks."""
    if get_world_size() == 1 or not buffers:
        return []
    sums = torch.stack([_checksum(buffer) for buffer in buffers.values()])
    everywhere = torch.stack(all_gather(sums))
    equal = (everywhere == everywhere[:1]).all(0).all(-1).tolist()
    return [name for name, same in zip(buffers, equal, strict=True) if not same]


def _checksum(tensor: Tensor) -> Tensor:
    """Return two 64-bit sums (2,) over the bits of a tensor, computed on its device."""
    data = tensor.detach().contiguous().view(-1)
    if data.dtype in (torch.bool, torch.uint8):
        data = data.to(torch.int64)
    else:
        data = data.view(_INTEGERS[data.element_size()]).to(torch.int64)
    total = data.new_zeros(2)
    for start, part in enumerate(data.split(_CHUNK)):
        places = torch.arange(1, len(part) + 1, device=part.device)
        mixed = part * 2654435761 + (part >> 17)
        total += torch.stack([part.sum(), (mixed * (places + start * _CHUNK)).sum()])
    return total


_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _hooks(runner: Runner) -> list[Any]:
    return [hook for hook in runner.hooks if hasattr(hook, 'load_state_dict')]
