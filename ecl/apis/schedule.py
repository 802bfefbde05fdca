"""Set the number of epochs and check the learning rate schedule."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from ecl.apis.config_check import walk
from ecl.engine.methods.second_stage import first_epoch
from ecl.errors import UserError
from ecl.registry import type_name
from ecl.settings import Whole

#: Schedulers of a warm-up, after which the learning rate may stay as it is.
_WARM_UP = ('LinearLR', 'ConstantLR')


def set_epochs(cfg: Config, epochs: int, source: str) -> None:
    """Set the epochs of a training and scale its schedule to them; ``cfg`` is changed in place.

    ``begin``, ``end``, ``T_max`` and ``milestones`` of the schedulers that count epochs are scaled
    and rounded. A scheduler that would be shorter than half an epoch is removed. Intervals of
    validation and checkpoints are at most ``epochs``, and ``max_epochs`` of a sampler is set to
    ``epochs``.

    Args:
        cfg: A training configuration.
        epochs: New value of ``train_cfg.max_epochs``.
        source: File name of the configuration, for the error.

    Raises:
        UserError: If ``epochs`` is out of range, or the training does not count epochs.
    """
    loop = cfg.train_cfg
    before = loop.get('max_epochs')
    if before is None:
        raise UserError(f'{source}: --epochs: got {epochs}, but train_cfg has no max_epochs')
    allowed = Whole(at_least=1)
    if not allowed.admits(epochs):
        raise UserError(f'{source}: --epochs: got {epochs!r}, expected {allowed}.')

    def scaled(epoch: int) -> int:
        return round(epoch * epochs / before)

    schedulers = []
    for scheduler in _schedulers(cfg):
        if scheduler.get('by_epoch', True):
            begin = scheduler.get('begin', 0)
            if scheduler.get('T_max') is not None:
                scheduler['T_max'] = scaled(begin + scheduler['T_max']) - scaled(begin)
            if 'milestones' in scheduler:
                later = [scaled(begin + m) - scaled(begin) for m in scheduler['milestones']]
                scheduler['milestones'] = later
            scheduler.update({k: scaled(scheduler[k]) for k in ('begin', 'end') if k in scheduler})
            if scheduler.get('T_max') == 0 or scheduler.get('end') == scheduler.get('begin', 0):
                continue
        schedulers.append(scheduler)
    if schedulers or cfg.get('param_scheduler'):
        cfg.param_scheduler = schedulers
    loop.max_epochs = epochs
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    for owner, key in ((loop, 'val_interval'), (loop, 'val_begin'), (checkpoint, 'interval')):
        if key in owner and checkpoint.get('by_epoch', True):
            owner[key] = min(owner[key], epochs)
    for _, node in walk(cfg.get('train_dataloader')):
        if 'max_epochs' in node:
            node['max_epochs'] = epochs


def schedule_fault(cfg: Config) -> str | None:
    """Return where the learning rate schedule and the number of epochs disagree, or None.

    The schedule may also end where :class:`~ecl.engine.SecondStageHook` begins the second stage.

    Args:
        cfg: A training configuration.
    """
    epochs = cfg.train_cfg.get('max_epochs')
    if epochs is None:
        return None
    ends = {epochs}
    if stage := (cfg.get('default_hooks') or {}).get('second_stage'):
        ends.add(first_epoch(stage['begin'], epochs))
    places = list(_places(cfg))
    if 0 in ends or not places:  # a second stage has its own schedule
        return None
    place, key, _ = max(places)
    if place <= epochs:
        closing = [one for one in places if one[2]]
        if not closing or max(closing)[0] in ends:
            return None
        place, key, _ = max(closing)
    return f'{key} ends in epoch {place}, but train_cfg.max_epochs is {epochs}'


def _schedulers(cfg: Config) -> list[dict[str, Any]]:
    given = cfg.get('param_scheduler') or []
    return [given] if isinstance(given, dict) else list(given)


def _places(cfg: Config) -> Iterator[tuple[int, str, bool]]:
    """Yield the epochs that end or change the learning rate, with their keys.

    The third value is whether the learning rate has reached its end there.
    """
    for index, scheduler in enumerate(_schedulers(cfg)):
        if not scheduler.get('by_epoch', True):
            continue
        listed = isinstance(cfg.param_scheduler, list | tuple)
        key = f'param_scheduler.{index}' if listed else 'param_scheduler'
        begin = scheduler.get('begin', 0)
        closes = type_name(scheduler) not in _WARM_UP
        if scheduler.get('T_max') is not None:
            yield begin + scheduler['T_max'], f'{key}.T_max', closes
        elif scheduler.get('milestones'):
            yield begin + max(scheduler['milestones']), f'{key}.milestones', False
        elif 'end' in scheduler:
            yield scheduler['end'], f'{key}.end', closes
