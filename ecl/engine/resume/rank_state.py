"""What each process of a training has for itself, beside the weights that all share."""

from typing import Any

import torch
from mmengine.dist import gather_object
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def gather_states(runner: Runner) -> list[dict[str, Any]]:
    """Collect the state of every process; all of them have to call.

    Args:
        runner: In training.

    Returns:
        In the first process one dict for each, else an empty list, of plain data and tensors on
        the CPU:

        - ``buffers``: those that differ from the first process's, such as the statistics of norm
          layers during an epoch.
        - ``gradients``: accumulated and not applied yet.
        - ``hooks``: ``state_dict()`` of the hooks that have one, by class name.
    """
    model = _model(runner)
    own = {
        'buffers': {name: buffer.cpu() for name, buffer in model.named_buffers()},
        'gradients': {
            name: parameter.grad.cpu()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        },
        'hooks': {type(hook).__name__: hook.state_dict() for hook in _hooks(runner)},
    }
    states = gather_object(own) or []
    for state in reversed(states):
        state['buffers'] = {
            name: buffer
            for name, buffer in state['buffers'].items()
            if not torch.equal(buffer, states[0]['buffers'][name])
        }
    return states


def restore_state(runner: Runner, states: list[dict[str, Any]]) -> None:
    """Give this process back what :func:`gather_states` collected from it.

    Args:
        runner: In training, its model with the weights of the same checkpoint.
        states: One for each process.
    """
    state = states[runner.rank]
    model = _model(runner)
    buffers, parameters = dict(model.named_buffers()), dict(model.named_parameters())
    for name, value in state['buffers'].items():
        buffers[name].copy_(value)
    for name, value in state['gradients'].items():
        parameters[name].grad = value.to(parameters[name].device)
    for hook in _hooks(runner):
        if type(hook).__name__ in state['hooks']:
            hook.load_state_dict(state['hooks'][type(hook).__name__])


def _model(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _hooks(runner: Runner) -> list[Any]:
    return [hook for hook in runner.hooks if hasattr(hook, 'load_state_dict')]
