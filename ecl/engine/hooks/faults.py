"""Report faults of a training: an invalid loss, images that cannot be read."""

import json
import math
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_gather_object, all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ecl.datasets.protocol import leaves
from ecl.datasets.transforms import LoadImage
from ecl.engine.resume.atomic_file import warn_on_write_error, write_text
from ecl.engine.resume.checkpoint_hook import CheckpointHook
from ecl.errors import UserError
from ecl.registry import HOOKS
from ecl.weights import bare_model

REPORT = 'invalid_loss.json'
NAMED_IMAGES = 3


class _Losses(NamedTuple):
    """Losses of one forward pass that are being copied from the device to the CPU."""

    names: list[str]
    values: Tensor  # (2, L): the losses of this rank; whether those of all ranks are finite
    arrived: torch.cuda.Event | None
    samples: Any


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """End the training at the first loss of any rank that is NaN or infinite.

    The error names the losses, epoch, iteration and images. ``invalid_loss.json`` in the work dir
    has all images of the batch. The optimizer step is not executed, and
    :class:`~ecl.engine.CheckpointHook` saves the training as it was before the step, for
    ``--resume``: weights, optimizer, and the buffers and the momentum encoder that the forward pass
    changed. Gradients that were accumulated in earlier iterations are dropped.

    The check costs little time. The losses leave the device during the backward pass and are
    checked before the optimizer steps. Buffers and frozen parameters are copied on the device
    before each forward pass. A module must update its buffers in place; otherwise the training is
    not saved.

    Raises:
        UserError: During training, at such a loss, or if no loss has a gradient.

    Example:
        >>> default_hooks = dict(invalid_loss=dict(type='InvalidLossHook'))
    """

    # Before the hooks that read the losses.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []
        self._pending: list[_Losses] = []

    def before_train(self, runner: Runner) -> None:
        """Watch the model and the optimizer."""
        self._runner = runner
        self._model = bare_model(runner.model)
        frozen = [p.detach() for p in self._model.parameters() if not p.requires_grad]
        self._now = [*self._model.buffers(), *frozen]
        self._kept = [tensor.clone() for tensor in self._now]
        # One kernel copies many tensors of one kind.
        self._by_kind = [
            [[t for t in tensors if t.dtype == kind] for tensors in (self._kept, self._now)]
            for kind in {tensor.dtype for tensor in self._now}
        ]
        optimizer = runner.optim_wrapper.optimizer
        self._handles = [
            self._model.register_forward_hook(self._watch, with_kwargs=True),
            optimizer.register_step_pre_hook(lambda *_: self._check()),
        ]

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Copy what the forward pass may change."""
        for kept, now in self._by_kind:
            torch._foreach_copy_(kept, now)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Check the losses of an iteration without an optimizer step."""
        self._check()

    def after_train(self, runner: Runner) -> None:
        """Remove the hooks from model and optimizer."""
        for handle in self._handles:
            handle.remove()

    @torch.compiler.disable
    @torch.no_grad()
    def _watch(self, module: nn.Module, args: tuple, kwargs: dict, losses: Any) -> None:
        if not (module.training and isinstance(losses, dict)):
            return
        names, values = loss_values(losses)
        if not any(part.requires_grad for name in names for part in _parts(losses[name])):
            raise UserError(
                f'{" and ".join(names)}: no gradient, so that nothing would be trained. Compute '
                'the losses from the outputs of the model, without detach(), item() or no_grad().'
            )
        self.watch(names, values, kwargs.get('data_samples') or next(iter(args[1:2]), None) or [])

    def watch(self, names: list[str], values: Tensor, samples: Any) -> None:
        """Check losses (L,) before the next step of the optimizer, or after the iteration.

        Args:
            names: L names.
            values: On any device.
            samples: Data samples of the batch, for the report.
        """
        finite = values.isfinite().to(values.dtype)
        all_reduce(finite, 'min')
        both = torch.stack([values, finite]).to('cpu', non_blocking=finite.is_cuda)
        arrived = None
        if finite.is_cuda:
            arrived = torch.cuda.Event()
            arrived.record()
        self._pending.append(_Losses(names, both, arrived, samples))

    @torch.compiler.disable
    def _check(self) -> None:
        pending, self._pending = self._pending, []
        for losses in pending:
            if losses.arrived is not None:
                losses.arrived.synchronize()
            if not losses.values[1].all():
                self._stop(losses)

    def _stop(self, losses: _Losses) -> None:
        """Save the training as it was before the step, report the losses, and end it."""
        runner = self._runner
        weights_finite = all(p.isfinite().all() for p in self._model.parameters())
        in_place = all(map(operator.is_, self._model.buffers(), self._now))
        for tensor, kept in zip(self._now, self._kept, strict=True):
            tensor.copy_(kept)
        runner.optim_wrapper.zero_grad()
        values = dict(zip(losses.names, losses.values[0].tolist(), strict=True))
        own = {name: str(value) for name, value in values.items() if not math.isfinite(value)}
        named = [str(s.get('img_path', f'image {s.get("sample_idx")}')) for s in losses.samples]
        everywhere = all_gather_object((own, named if own else []))
        bad = {name: value for part, _ in everywhere for name, value in part.items()}
        images = [image for _, part in everywhere for image in part]
        place = dict(epoch=runner.epoch + 1, iteration=runner.iter + 1)
        path = Path(runner.work_dir, REPORT)
        if is_main_process():
            report = dict(losses=bad, **place, images=images)
            with warn_on_write_error(runner.logger, REPORT):
                write_text(path, json.dumps(report, indent=1) + '\n')
        hooks = [hook for hook in runner.hooks if in_place and isinstance(hook, CheckpointHook)]
        saved = [hook for hook in hooks if hook.save_interim(runner, runner.epoch, runner.iter)]
        raise UserError(
            f'{" and ".join(f"{name} is {value}" for name, value in bad.items())} in epoch '
            f'{place["epoch"]}, iteration {place["iteration"]}{_some(images)} (see {path}); '
            + ('' if weights_finite else 'the weights were not finite before this step; ')
            + ('the training is saved as before this step; ' if saved else '')
            + 'limit gradients by optim_wrapper.clip_grad and resume an earlier checkpoint, or '
            'start again with a lower learning rate'
        )


def loss_values(losses: dict[str, Any]) -> tuple[list[str], Tensor]:
    """Return the names of the losses among the outputs of a step, and their values (L,).

    MMEngine trains by their sum.
    """
    names = [name for name in losses if 'loss' in name]
    return names, torch.stack([_mean(losses[name]) for name in names])


def _mean(loss: Tensor | list[Tensor]) -> Tensor:
    if isinstance(loss, Tensor):
        return loss.float().mean() if loss.ndim else loss.float()
    return torch.stack([part.float().mean() for part in loss]).sum()


def _parts(loss: Tensor | list[Tensor]) -> list[Tensor]:
    return [loss] if isinstance(loss, Tensor) else loss


def _some(images: list[str]) -> str:
    more = len(images) - NAMED_IMAGES
    named = ', '.join(images[:NAMED_IMAGES]) + (f' and {more} more images' if more > 0 else '')
    return named and f', on {named}'


@HOOKS.register_module()
class BadImageHook(Hook):
    """Warn after each epoch in which :class:`LoadImage` replaced images it could not read.

    Their number is the scalar ``replaced_images`` in the log. Each rank reports its own share of
    the data. Without ``bad='replace'`` in a pipeline the hook does nothing.

    Example:
        >>> default_hooks = dict(bad_image=dict(type='BadImageHook'))
    """

    def before_train(self, runner: Runner) -> None:
        """Find the transforms that count."""
        found = _transforms(leaves(runner.train_dataloader.dataset))
        self._counters = [t.replaced for t in found if isinstance(t, LoadImage)]
        self._before = self._total()

    def after_train_epoch(self, runner: Runner) -> None:
        """Report what was replaced since the last epoch."""
        replaced = self._total() - self._before
        self._before += replaced
        if replaced:
            runner.message_hub.update_scalar('train/replaced_images', replaced)
            runner.logger.warning(
                'Images of this epoch that could not be read and were replaced by others: '
                f'{replaced}; ecl check CONFIG lists the files'
            )

    def _total(self) -> int:
        return sum(counter.value for counter in self._counters)


def _transforms(holders: Any) -> Iterator[Any]:
    """Yield all transforms of datasets, also those inside other transforms."""
    for holder in holders:
        inner = getattr(getattr(holder, 'pipeline', holder), 'transforms', None)
        if isinstance(inner, list | tuple):
            yield from inner
            yield from _transforms(inner)
