"""The number of epochs and the learning rate schedule."""

from copy import deepcopy

import pytest
from mmengine.config import Config

from ecl.apis import load_config
from ecl.apis.config import shipped_configs
from ecl.apis.schedule import schedule_fault, set_epochs
from ecl.errors import UserError

WARM_UP = dict(type='LinearLR', start_factor=0.1, end=5)


def config(schedule, epochs=8, **more):
    loop = dict(by_epoch=True, max_epochs=epochs, val_interval=4)
    return Config(dict(train_cfg=loop, param_scheduler=schedule, **more))


@pytest.mark.parametrize(
    ('schedule', 'epochs', 'fault'),
    [
        (dict(type='CosineAnnealingLR', T_max=8), 8, None),
        (dict(type='CosineAnnealingLR', T_max=8), 10, 'param_scheduler.T_max ends in epoch 8'),
        (dict(type='CosineAnnealingLR', T_max=8), 4, 'param_scheduler.T_max ends in epoch 8'),
        (dict(type='CosineAnnealingLR', T_max=8, by_epoch=False), 4, None),
        (dict(type='PolyLR', end=8), 10, 'param_scheduler.end ends in epoch 8'),
        ([dict(WARM_UP)], 10, None),
        ([dict(WARM_UP), dict(type='MultiStepLR', milestones=[6, 7])], 10, None),
        (
            [dict(WARM_UP), dict(type='MultiStepLR', milestones=[6, 9])],
            8,
            'param_scheduler.1.milestones ends in epoch 9',
        ),
        (
            [dict(WARM_UP), dict(type='CosineAnnealingLR', T_max=7, begin=5, end=12)],
            20,
            'param_scheduler.1.T_max ends in epoch 12',
        ),
        ([], 3, None),
    ],
)
def test_a_schedule_of_other_epochs_is_found(schedule, epochs, fault):
    found = schedule_fault(config(schedule, epochs))
    expected = fault and f'{fault}, but train_cfg.max_epochs is {epochs}'
    assert found == expected


@pytest.mark.parametrize(('begin', 'T_max'), [(0.75, 6), (0.75, 8), (0.0, 50)])
def test_a_schedule_may_end_with_the_first_stage(begin, T_max):
    hooks = dict(second_stage=dict(type='SecondStageHook', begin=begin))
    cfg = config(dict(type='CosineAnnealingLR', T_max=T_max), default_hooks=hooks)
    assert schedule_fault(cfg) is None


@pytest.mark.parametrize('path', shipped_configs(), ids=lambda path: path.stem)
def test_the_schedules_of_the_package_end_with_the_training_of_any_length(path):
    shipped = Config.fromfile(path)
    assert schedule_fault(shipped) is None
    if 'max_epochs' not in shipped.train_cfg:
        with pytest.raises(UserError, match=r'train_cfg has no max_epochs'):
            set_epochs(shipped, 3, 'a.py')
        return
    for epochs in (1, 60):
        cfg = deepcopy(shipped)
        set_epochs(cfg, epochs, 'a.py')
        assert cfg.train_cfg.max_epochs == epochs
        assert cfg.train_cfg.val_interval <= epochs
        assert schedule_fault(cfg) is None


def test_each_part_of_a_schedule_keeps_its_share():
    schedule = [
        dict(type='LinearLR', end=5),
        dict(type='CosineAnnealingLR', T_max=95, begin=5, end=100),
        dict(type='MultiStepLR', milestones=[60, 80]),
        dict(type='CosineAnnealingLR', T_max=900, by_epoch=False),
    ]
    sampler = dict(type='ProgressivelyBalancedSampler', max_epochs=100)
    hooks = dict(checkpoint=dict(type='CheckpointHook', interval=50))
    more = dict(train_dataloader=dict(sampler=sampler), default_hooks=hooks)
    cfg = config(schedule, epochs=100, **more)
    set_epochs(cfg, 40, 'a.py')
    assert [dict(part) for part in cfg.param_scheduler] == [
        dict(type='LinearLR', end=2),
        dict(type='CosineAnnealingLR', T_max=38, begin=2, end=40),
        dict(type='MultiStepLR', milestones=[24, 32]),
        dict(type='CosineAnnealingLR', T_max=900, by_epoch=False),
    ]
    assert cfg.train_dataloader.sampler.max_epochs == 40
    assert cfg.default_hooks.checkpoint.interval == 40
    assert cfg.train_cfg.val_interval == 4


def test_a_warm_up_without_an_epoch_is_left_out():
    schedule = [
        dict(type='LinearLR', end=1),
        dict(type='CosineAnnealingLR', T_max=7, begin=1, end=8),
    ]
    cfg = config(schedule)
    set_epochs(cfg, 2, 'a.py')
    assert [dict(part) for part in cfg.param_scheduler] == [
        dict(type='CosineAnnealingLR', T_max=2, begin=0, end=2)
    ]


@pytest.mark.parametrize('epochs', [0, -1, 1.5])
def test_epochs_out_of_range_are_named(epochs):
    with pytest.raises(UserError, match=rf'^a\.py: --epochs: got {epochs}, expected a whole'):
        set_epochs(load_config('ecl_r8_digits-lt'), epochs, 'a.py')
