"""Every argument out of range is refused, by the name of its owner and argument."""

import inspect
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import Registry

import ecl.registry
from ecl.errors import UserError
from ecl.registry import MODELS
from ecl.settings import Each, Number, OneOf, Range, SettingError, Whole, validate_params


def owner_with(constraint):
    class Owner:
        @validate_params(size=constraint)
        def __init__(self, size=None):
            self.size = size

    return Owner


def fault(constraint, value):
    """The error for a value, None if it passes."""
    try:
        assert owner_with(constraint)(value).size is value
    except SettingError as error:
        assert (error.owner, error.name, error.value) == ('Owner', 'size', value) or value != value
        return str(error)
    return None


@given(st.one_of(st.floats(), st.integers(), st.booleans(), st.text(), st.binary()))
def test_a_number_within_bounds_passes_and_nothing_else(value):
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    good = plain and math.isfinite(value) and 0 < value <= 5
    expected = f'Owner.size: got {value!r}, expected a number above 0 and at most 5.'
    assert fault(Number(above=0, at_most=5), value) == (None if good else expected)


@given(st.one_of(st.floats(), st.integers(-9, 9), st.booleans(), st.text()))
def test_a_whole_number_within_bounds_passes_and_nothing_else(value):
    found = fault(Whole(at_least=-2, at_most=3), value)
    assert (found is None) == (type(value) is int and -2 <= value <= 3)
    assert found is None or 'a whole number of at least -2 and at most 3' in found


def test_numbers_of_numpy_pass():
    assert fault(Number(at_least=0, below=1), np.float32(0.5)) is None
    assert fault(Number(at_least=0, below=1), np.int64(0)) is None
    assert fault(Whole(at_least=1), np.int64(3)) is None


@pytest.mark.parametrize(
    'value', [(2, 1), (0, 1), (1, 4), 3, 'ab', (1,), (1, 2, 3), None, (1, None)]
)
def test_what_is_no_range_is_refused(value):
    expected = 'expected (low, high) with low <= high, each a number above 0 and at most 3.'
    with pytest.raises(SettingError) as caught:
        validate_params(size=Range(above=0, at_most=3))(lambda size: None)(value)
    assert str(caught.value).endswith(expected)


def test_ranges_pass():
    assert fault(Range(above=0, at_most=3), (1, 3)) is None
    assert fault(Range(above=0, at_most=3), [2, 2]) is None


def test_each_value_of_a_sequence_is_checked():
    assert fault(Each(Number(at_least=1)), [1, 2.5]) is None
    for value in ([], [1, 0], 3, 'ab'):
        expected = f'Owner.size: got {value!r}, expected one or more, each a number of at least 1.'
        assert fault(Each(Number(at_least=1)), value) == expected


def test_choices_are_listed():
    assert fault(OneOf('a', 2), 2) is None
    assert fault(OneOf('a', 2), ['a']) == "Owner.size: got ['a'], expected 'a' or 2."


def test_arguments_are_checked_by_position_and_by_name_and_defaults_pass():
    @validate_params(first=Number(), second=Whole(at_least=1))
    def function(first, second=None, *others, **more):
        return first, second, others, more

    assert function(1, None, 5, key=6) == (1, None, (5,), {'key': 6})
    for call in (lambda: function(1, 0), lambda: function(second=0, first=1)):
        with pytest.raises(SettingError, match=r'function\.second: got 0'):
            call()
    assert list(inspect.signature(function).parameters) == ['first', 'second', 'others', 'more']


def test_a_constraint_of_no_argument_is_an_error_of_the_code():
    with pytest.raises(TypeError, match="no argument 'size'"):
        validate_params(size=Number())(lambda width: None)


#: Bounds that depend on other arguments, which no declaration holds: arguments that suit the class,
#: and values that are out of range.
CASES = {
    'MultiExpertBackbone': (
        dict(backbone=dict(type='ResNetCIFAR', depth=8)),
        dict(shared_stages=[3]),
    ),
    'ECLHead': (dict(num_classes=5, num_experts=2, in_channels=4), dict(expert=[2])),
    'NCLLoss': (dict(num_classes=5, num_hard=3), dict(num_hard=[6])),
    'SecondStageHook': (dict(begin=0.5), dict(max_norm=[-1])),
}
#: Constructors of the engine, which checks them.
INHERITED = ('EarlyStoppingHook', 'Bfloat16OptimWrapper', 'LoggerHook', 'ResumableTrainLoop')
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


def constraints_of(cls):
    """Constraints of the constructors of a class and its bases by argument."""
    found = {}
    for base in reversed(cls.__mro__):
        found |= getattr(vars(base).get('__init__'), 'constraints', {})
    return found


def out_of_range(constraint):
    if isinstance(constraint, Number):
        yield from (math.nan, 'x', True)
        by_bound = {'above': 0, 'at_least': -1, 'below': 0, 'at_most': 1}
        beyond = [
            getattr(constraint, name) + step
            for name, step in by_bound.items()
            if getattr(constraint, name) is not None
        ]
        yield from ((value, value) for value in beyond) if type(constraint) is Range else beyond
    else:
        yield 'no choice'


DECLARED = [
    pytest.param(cls, name, value, id=f'{cls.__name__}-{name}-{value}')
    for cls in _registered().values()
    if cls.__module__.startswith('ecl.')
    for name, constraint in getattr(cls.__init__, 'constraints', {}).items()
    for value in out_of_range(constraint)
]


@pytest.mark.parametrize(('cls', 'name', 'value'), DECLARED)
def test_a_declared_constraint_is_enforced(cls, name, value):
    with pytest.raises(SettingError) as caught:
        cls(**{name: value})
    assert (caught.value.owner, caught.value.name) == (cls.__name__, name)


def test_every_number_and_choice_of_the_package_is_constrained():
    simple = (int, float, str, 'int', 'float', 'str', int | None, float | None)
    free = {
        ('ECLHead', 'init_cfg'),
        ('CosineLinear', 'in_features'),
        ('CosineLinear', 'out_features'),
        ('ScaledLinear', 'in_features'),
        ('ScaledLinear', 'out_features'),
        ('ImageFolder', 'split'),
        ('ImageFolder', 'train_split'),
        ('ImageCSV', 'split'),
        ('ImageCSV', 'train_split'),
        ('ImageCSV', 'suffix'),
        ('NCLLoss', 'num_classes'),
        ('ReweightedDistillLoss', 'num_classes'),
        ('ContrastiveNeck', 'in_channels'),
        ('MomentumContrast', 'in_channels'),
        ('MomentumContrast', 'num_experts'),
        # Handed on to the label losses.
        ('TwoStageLoss', 'num_experts'),
        ('TwoStageLoss', 'in_channels'),
        ('TwoStageLoss', 'reading'),
        # custom_imports may add choices; check_adjustment looks them up.
        ('AdjustmentHook', 'method'),
    }
    unchecked = [
        (name, parameter.name)
        for name, cls in _registered().items()
        if cls.__module__.startswith('ecl.') and name not in INHERITED
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.annotation in simple
        and parameter.name not in constraints_of(cls)
        and parameter.name not in CASES.get(name, ({}, {}))[1]
        and parameter.name not in ('data_root', 'ann_file', 'out_dir', 'prefix', 'collect_device')
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
