import pytest
from mmengine.hooks import CheckpointHook, EMAHook
from torch.utils.data import DataLoader

from ecl.apis.signature import accepted_keys


class Root:
    def __init__(self, root=1):
        pass


class HandsUp(Root):
    def __init__(self, own, **kwargs):
        super().__init__(**kwargs)


class LooksInside(Root):
    def __init__(self, own, **kwargs):
        self.extra = kwargs.pop('extra', None)
        super().__init__(**kwargs)


class KeepsItsParents(Root):
    pass


@pytest.mark.parametrize(
    ('target', 'expected'),
    [
        (Root, ({'root'}, False)),
        (HandsUp, ({'own', 'root'}, False)),
        (LooksInside, ({'own'}, True)),
        (KeepsItsParents, ({'root'}, False)),
        (lambda a, *, b: None, ({'a', 'b'}, False)),
        (lambda a, **rest: None, ({'a'}, True)),
    ],
)
def test_accepted_keys_follow_keyword_arguments_up_the_parents(target, expected):
    assert accepted_keys(target) == expected


def test_what_a_builder_takes_out_first_is_accepted():
    assert 'priority' in accepted_keys(EMAHook).names
    assert {'batch_size', 'num_batch_per_epoch'} <= accepted_keys(DataLoader).names


def test_a_hook_that_stores_its_keyword_arguments_may_take_any():
    names, any_other = accepted_keys(CheckpointHook)
    assert {'interval', 'priority'} <= names
    assert any_other
