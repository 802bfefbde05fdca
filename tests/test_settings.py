"""Every setting out of range is refused, by the name of its owner and argument."""

import inspect
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import Registry
from torch import nn

import ecl.registry
from ecl.errors import UserError
from ecl.registry import DATASETS, MODELS
from ecl.settings import SettingError, check_choice, check_numbers, check_whole


class Owner:
    pass


@given(st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.text(), st.binary()))
def test_a_number_within_bounds_passes_and_nothing_else(value):
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    good = plain and math.isfinite(value) and 0 < value <= 5
    try:
        check_numbers(Owner(), above=0, at_most=5, size=value)
    except SettingError as error:
        assert not good
        assert str(error) == f'Owner.size must be a number above 0 and at most 5, not {value!r}'
    else:
        assert good


@given(st.one_of(st.floats(), st.integers(-9, 9), st.booleans(), st.none(), st.text()))
def test_a_whole_number_within_bounds_passes_and_nothing_else(value):
    good = type(value) is int and -2 <= value <= 3
    try:
        check_whole(Owner(), at_least=-2, at_most=3, size=value)
    except SettingError as error:
        assert not good
        assert 'a whole number of at least -2 and at most 3' in str(error)
    else:
        assert good


def test_numbers_of_numpy_pass():
    check_numbers(Owner(), at_least=0, below=1, a=np.float32(0.5), b=np.int64(0))
    check_whole(Owner(), at_least=1, a=np.int64(3))


def test_choices_are_listed():
    check_choice(Owner(), {'a': 1, 'b': 2}, kind='b')
    with pytest.raises(SettingError, match=r"Owner\.kind must be 'a' or 'b', not \['a'\]"):
        check_choice(Owner(), {'a': 1, 'b': 2}, kind=['a'])


DIGITS = dict(type='Digits')
EXPERTS = dict(num_classes=5, num_experts=2)
ENCODER = dict(encoder=nn.Identity(), in_channels=4, num_experts=2)
LABELS = DATASETS.build(dict(DIGITS, split='test'))
SAMPLER = type('Sampler', (), dict(dataset=LABELS, world_size=1))()
#: For each class of the package, arguments that suit it, and for each of its arguments with bounds
#: values beyond them.
CASES = {
    'MultiExpertBackbone': (
        dict(backbone=dict(type='ResNetCIFAR', depth=8)),
        dict(num_experts=[0, 1.5, None], shared_stages=[-1, 3]),
    ),
    'ResNetCIFAR': (dict(depth=8), dict(depth=[9, '8'], base_channels=[0])),
    'ECLHead': (
        dict(EXPERTS, in_channels=4),
        dict(
            num_classes=[1, 0, 'ten'],
            num_experts=[0, -1],
            in_channels=[None, 0],
            expert=[-1, 2],
            predict_with=['peers'],
            labels_teach=['distill'],
        ),
    ),
    'CosineLinear': (dict(in_features=4, out_features=5), dict(scale=[0, -1, math.nan])),
    'ContrastiveNeck': (
        dict(in_channels=4, num_experts=2),
        dict(num_experts=[0], hid_channels=[0], out_channels=[0]),
    ),
    'MomentumContrast': (
        ENCODER,
        dict(
            momentum=[-0.1, 1.1, math.nan],
            temperature=[0, -1, '0.1'],
            queue_size=[0, 1.5],
            loss_weight=[-1, math.inf],
        ),
    ),
    'BalancedSoftmaxLoss': ({}, dict(tau=[-1], loss_weight=[-1])),
    'FeatureDistillLoss': (
        dict(in_channels=4, num_experts=2),
        dict(in_channels=[0], num_experts=[1], loss_weight=[-1]),
    ),
    'RelationDistillLoss': ({}, dict(loss_weight=[-1])),
    'LDAMLoss': (
        {},
        dict(
            scale=[0],
            max_margin=[-1],
            reweight_from=[-0.1, 1.1],
            beta=[1, -0.1],
            loss_weight=[-1],
        ),
    ),
    'NCLLoss': (
        dict(num_classes=5, num_hard=3),
        dict(num_hard=[1, 6], kl_weight=[-1], hard_kl_weight=[-1], loss_weight=[-1]),
    ),
    'ReweightedDistillLoss': (
        EXPERTS,
        dict(
            num_experts=[1],
            student=['peer'],
            teacher=['peer'],
            comparison=['rtio'],
            temperature=[0],
            loss_weight=[-1],
            granularity=['image'],
            gamma=[-1],
            eps=[0],
            w_max=[0.9],
            class_momentum=[1, -0.1],
        ),
    ),
    'Digits': ({}, dict(split=['val'], test_per_class=[0, 174])),
    'CIFAR10': (dict(data_root='nowhere', lazy_init=True), dict(split=['val'])),
    'CIFAR100': (dict(data_root='nowhere', lazy_init=True), dict(split=['val'])),
    'LongTailDataset': (
        dict(dataset=DIGITS, imbalance_factor=2, max_per_class=50),
        dict(
            imbalance_factor=[0.5, math.nan],
            max_per_class=[0],
            subset=['best'],
            profile=['linear'],
            order=['up'],
            seed=[-1],
        ),
    ),
    'ClassAwareSampler': (
        dict(dataset=LABELS),
        dict(exponent=[-0.1, 1.1], num_samples=[0], seed=[-1, 0.5]),
    ),
    'ProgressivelyBalancedSampler': (
        dict(dataset=LABELS, max_epochs=3),
        dict(max_epochs=[0], num_samples=[0], seed=[-1]),
    ),
    'RepeatFactorSampler': (
        dict(dataset=LABELS, threshold=0.1),
        dict(threshold=[0, 1.1], seed=[-1]),
    ),
    'BalancedBatchSampler': (
        dict(sampler=SAMPLER, batch_size=6, images_per_class=2),
        dict(images_per_class=[0, 4]),
    ),
    'LoadImage': ({}, dict(bad=['skip'])),
    'CIFARAutoAugment': ({}, dict(fill=[-1, 256])),
    'BatchCIFARAutoAugment': ({}, dict(fill=[-1, 256])),
    'BatchGaussianBlur': (
        {},
        dict(magnitude_range=[(2, 1), (0, 1), 3, 'ab'], prob=[-0.1, 1.1]),
    ),
    'BatchColorJitter': (
        {},
        dict(brightness=[-1], contrast=[-1], saturation=[-1], hue=[-0.1, 0.6], prob=[1.1]),
    ),
    'BatchRandomGrayscale': ({}, dict(prob=[-1])),
    'BatchRandomCrop': (
        dict(crop_size=8),
        dict(crop_size=[0], padding=[-1], pad_val=[-1, 256]),
    ),
    'BatchRandomFlip': ({}, dict(prob=[2])),
    'BatchCutout': (dict(shape=4), dict(shape=[0], prob=[2], pad_val=[-1])),
    'BatchRandomResizedCrop': (
        dict(scale=8),
        dict(scale=[0], crop_ratio_range=[(0, 1), (0.5, 1.5)], aspect_ratio_range=[(0, 1)]),
    ),
    'ClassCountsHook': ({}, dict(thresholds=[(100, 20), (-1, 5), 20, (1, 2, 3)])),
    'DistillWeightHook': ({}, dict(interval=[0], thresholds=[(100, 20)])),
    'ShotAccuracy': ({}, dict(thresholds=[(100, 20), 'ab'])),
}
#: Constructors of the engine, which checks what it does.
INHERITED = ('Bfloat16OptimWrapper', 'LoggerHook', 'ResumableTrainLoop')
BAD = [
    pytest.param(name, argument, value, id=f'{name}-{argument}-{value}')
    for name, (_, arguments) in CASES.items()
    for argument, values in arguments.items()
    for value in values
]


def _registered() -> dict[str, type]:
    found: dict[str, type] = {}
    for registry in vars(ecl.registry).values():
        if isinstance(registry, Registry):
            registry.import_from_location()
            found |= registry.module_dict
    return found


@pytest.mark.parametrize(('name', 'argument', 'value'), BAD)
def test_a_value_out_of_range_is_refused_by_name(name, argument, value):
    suitable = CASES[name][0]
    with pytest.raises(UserError, match=argument) as caught:
        _registered()[name](**{**suitable, argument: value})
    assert '\n' not in str(caught.value)
    assert str(value) in str(caught.value)


@pytest.mark.parametrize('name', CASES)
def test_suitable_values_pass(name):
    _registered()[name](**CASES[name][0])


def test_every_number_and_choice_of_the_package_has_a_case():
    simple = (int, float, str, 'int', 'float', 'str', 'int | None', 'float | None')
    free = {
        ('ECLHead', 'init_cfg'),
        ('CosineLinear', 'in_features'),
        ('CosineLinear', 'out_features'),
        ('BalancedBatchSampler', 'batch_size'),
        ('ImageFolder', 'split'),
        ('CompileHook', 'backend'),
        ('NCLLoss', 'num_classes'),
        ('ReweightedDistillLoss', 'num_classes'),
        ('ContrastiveNeck', 'in_channels'),
        ('MomentumContrast', 'in_channels'),
        ('MomentumContrast', 'num_experts'),
    }
    unchecked = [
        (name, parameter.name)
        for name, cls in _registered().items()
        if cls.__module__.startswith('ecl.') and name not in INHERITED
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.annotation in simple
        and parameter.name not in CASES.get(name, ({}, {}))[1]
        and parameter.name not in ('data_root', 'ann_file', 'prefix', 'collect_device')
        and (name, parameter.name) not in free
    ]
    assert not unchecked


def test_a_model_is_checked_through_its_config():
    with pytest.raises(UserError, match=r'MultiExpertBackbone\.num_experts'):
        MODELS.build(
            dict(
                type='ECLClassifier',
                backbone=dict(type='MultiExpertBackbone', num_experts=0, backbone=dict(type='X')),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='ECLHead', num_classes=2),
            )
        )
