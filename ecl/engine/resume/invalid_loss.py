"""Stop at a loss that is no number, before it reaches the weights."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_gather_object, all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ecl.engine.resume.atomic_file import atomic_write, warn_on_write_error
from ecl.engine.resume.checkpoint_hook import CheckpointHook
from ecl.errors import UserError
from ecl.registry import HOOKS

REPORT = 'invalid_loss.json'
NAMED_IMAGES = 3


class _Losses(NamedTuple):
    """What one forward pass gave, on its way from the device to the processor."""

    names: list[str]
    values: Tensor  # (2, L): the losses of this process, and whether those of all are finite
    arrived: torch.cuda.Event | None
    images: list[str]


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """End the training at the first loss that is NaN or infinite, in any process.

    The message names the losses, epoch, iteration and images; ``invalid_loss.json`` in the work
    dir has all images of the batch. The optimizer does not take the step, and
    :class:`~ecl.engine.resume.CheckpointHook` saves the training as it was before it, which
    ``--resume`` goes on from: weights, optimizer, and the buffers and momentum copy that the
    forward pass had changed already. Gradients accumulated over earlier iterations are dropped.

    A step hardly waits for it. The losses leave the device while the backward pass runs, and are
    looked at when the optimizer is about to step: by then the device has the backward pass to work
    on. What a forward pass changes is copied on the device before it.

    Raises:
        UserError: During training, at such a loss.

    Example:
        >>> custom_hooks = [dict(type='InvalidLossHook')]
    """

    # Before the hooks that read the losses.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []
        self._pending: list[_Losses] = []

    def before_train(self, runner: Runner) -> None:
        """Watch the model and the optimizer."""
        model = runner.model.get_submodule('module') if is_model_wrapper(runner.model) else None
        self._model: nn.Module = model or runner.model
        self._runner = runner
        self._buffers = [
            (module, name)
            for module in self._model.modules()
            for name, buffer in module.named_buffers(recurse=False)
        ]
        self._frozen = [p.detach() for p in self._model.parameters() if not p.requires_grad]
        self._kept: list[Tensor] = []
        optimizer = runner.optim_wrapper.optimizer
        self._handles = [
            self._model.register_forward_hook(self._watch, with_kwargs=True),
            optimizer.register_step_pre_hook(lambda *_: self._check()),
        ]

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Keep what the forward pass will change."""
        state = self._changing()
        if not self._kept:
            self._kept = [tensor.clone() for tensor in state]
        for kind in {tensor.dtype for tensor in state}:  # one kernel copies many of one kind
            kept, now = ([t for t in tensors if t.dtype == kind] for tensors in (self._kept, state))
            torch._foreach_copy_(kept, now)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Look at the losses of an iteration that took no step."""
        self._check()

    def after_train(self, runner: Runner) -> None:
        """Leave the model and the optimizer alone."""
        for handle in self._handles:
            handle.remove()

    def _changing(self) -> list[Tensor]:
        return [*(getattr(module, name) for module, name in self._buffers), *self._frozen]

    @torch.compiler.disable
    @torch.no_grad()
    def _watch(self, module: nn.Module, args: tuple, kwargs: dict, losses: Any) -> None:
        if not (module.training and isinstance(losses, dict)):
            return
        names = [name for name in losses if 'loss' in name]
        values = torch.stack([_mean(losses[name]) for name in names])
        finite = values.isfinite().to(values.dtype)
        all_reduce(finite, 'min')
        both = torch.stack([values, finite]).to('cpu', non_blocking=True)
        arrived = None
        if finite.is_cuda:
            arrived = torch.cuda.Event()
            arrived.record()
        samples = kwargs.get('data_samples') or next(iter(args[1:2]), None) or []
        images = [str(s.get('img_path', f'image {s.get("sample_idx")}')) for s in samples]
        self._pending.append(_Losses(names, both, arrived, images))

    @torch.compiler.disable
    def _check(self) -> None:
        pending, self._pending = self._pending, []
        for losses in pending:
            if losses.arrived is not None:
                losses.arrived.synchronize()
            if not losses.values[1].all():
                self._stop(losses)

    def _stop(self, losses: _Losses) -> None:
        """Save the training as it was before the step, tell of the losses, and end it."""
        runner = self._runner
        sound = all(p.isfinite().all() for p in self._model.parameters())
        for tensor, kept in zip(self._changing(), self._kept, strict=True):
            tensor.copy_(kept)
        runner.optim_wrapper.zero_grad()
        values = dict(zip(losses.names, losses.values[0].tolist(), strict=True))
        own = {name: str(value) for name, value in values.items() if not math.isfinite(value)}
        everywhere = all_gather_object((own, losses.images if own else []))
        bad = {name: value for part, _ in everywhere for name, value in part.items()}
        images = [image for _, part in everywhere for image in part]
        place = dict(epoch=runner.epoch + 1, iteration=runner.iter + 1)
        if is_main_process():
            report = dict(losses=bad, **place, images=images)
            path = Path(runner.work_dir, REPORT)
            with warn_on_write_error(runner.logger, REPORT), atomic_write(path) as file:
                file.write(json.dumps(report, indent=1).encode() + b'\n')
        hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)][:1]
        saved = [hook for hook in hooks if hook.save_interim(runner, runner.epoch, runner.iter)]
        raise UserError(
            f'{" and ".join(f"{name} is {value}" for name, value in bad.items())} in epoch '
            f'{place["epoch"]}, iteration {place["iteration"]}, on {_named(images)} (see '
            f'{Path(runner.work_dir, REPORT)}); '
            + ('' if sound else 'the weights had ceased to be finite before; ')
            + ('the training is saved as before this step; ' if saved else '')
            + 'limit gradients by optim_wrapper.clip_grad and resume an earlier checkpoint, or '
            'begin anew with a lower learning rate'
        )


def _mean(loss: Tensor | list[Tensor]) -> Tensor:
    """As the engine reduces a loss before it sums them up."""
    parts = loss if isinstance(loss, list | tuple) else [loss]
    return torch.stack([part.detach().float().mean() for part in parts]).sum()


def _named(images: list[str]) -> str:
    more = len(images) - NAMED_IMAGES
    return ', '.join(images[:NAMED_IMAGES]) + (f' and {more} more images' if more > 0 else '')
