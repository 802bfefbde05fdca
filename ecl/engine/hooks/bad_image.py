"""Count the images that could not be read."""

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ecl.datasets.protocol import leaves
from ecl.datasets.transforms import LoadImage
from ecl.registry import HOOKS


@HOOKS.register_module()
class BadImageHook(Hook):
    """Warn after each epoch in which :class:`LoadImage` replaced images it could not read.

    The total is the scalar ``replaced_images`` in the log. Each rank reports its own share of the
    data. Without ``bad='replace'`` in a pipeline the hook does nothing.

    Example:
        >>> default_hooks = dict(bad_image=dict(type='BadImageHook'))
    """

    def before_train(self, runner: Runner) -> None:
        """Find the transforms that count."""
        found = _transforms(leaves(runner.train_dataloader.dataset))
        self._counters = [t.replaced for t in found if isinstance(t, LoadImage)]
        self._replaced = 0  # by the training before it was resumed
        self._before = 0

    def state_dict(self) -> dict[str, int]:
        """Return the numbers of this rank, up to now and up to the last epoch."""
        return {'total': self._total(), 'before': self._before}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from the numbers of :meth:`state_dict`."""
        self._replaced, self._before = state['total'], state['before']

    def after_train_epoch(self, runner: Runner) -> None:
        """Report what was replaced since the last epoch."""
        total = self._total()
        if total > self._before:
            runner.message_hub.update_scalar('train/replaced_images', total)
            runner.logger.warning(
                'Images of this epoch that could not be read and were replaced by others: '
                f'{total - self._before}; tools/dataset/check.py lists the files'
            )
        self._before = total

    def _total(self) -> int:
        return self._replaced + sum(counter.value for counter in self._counters)


def _transforms(holders: Any) -> Iterator[Any]:
    """Yield all transforms of datasets, also those inside other transforms."""
    for holder in holders:
        inner = getattr(getattr(holder, 'pipeline', holder), 'transforms', None)
        if isinstance(inner, list | tuple):
            yield from inner
            yield from _transforms(inner)
