import logging

import pytest
import torch
from mmengine.registry import DefaultScope
from safetensors.torch import save_file
from torch import nn

from ecl.errors import UserError
from ecl.registry import MODELS
from ecl.weights import check_weights_fit, fit_weights, unwrap


class Network(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5))
        self.head = nn.Linear(5, classes)


def weights(model=None):
    torch.manual_seed(1)
    return (model or Network()).state_dict()


def prefixed(prefix, names=None):
    return {prefix + key: value for key, value in (names or weights()).items()}


WRAPPED = {
    'plain': lambda: weights(),
    'state_dict': lambda: {'state_dict': weights(), 'epoch': 3},
    'model': lambda: {'model': weights(), 'optimizer': {}},
    'data parallel': lambda: {'state_dict': prefixed('module.')},
    'lightning': lambda: {'state_dict': prefixed('model.')},
    'both': lambda: {'model': {'state_dict': prefixed('module.model.')}},
}


@pytest.mark.parametrize('content', WRAPPED.values(), ids=WRAPPED)
def test_known_wrappings_and_prefixes_are_unwrapped(content):
    fit = fit_weights(Network(), unwrap(content()), 'a.pth')
    assert fit.complete
    assert len(fit.matching) == len(weights())
    assert all(torch.equal(value, weights()[key]) for key, value in fit.matching.items())


def test_a_plain_backbone_fits_the_backbone_of_a_classifier_and_the_other_way_round():
    plain = {key.removeprefix('backbone.'): v for key, v in weights().items() if 'back' in key}
    fit = fit_weights(Network(), {**plain, 'fc.weight': torch.ones(2)}, 'a.pth')
    assert len(fit.matching) == 7
    assert fit.missing == ['head.weight', 'head.bias']
    assert fit.unexpected == ['backbone.fc.weight']
    fit = fit_weights(Network().backbone, weights(), 'a.pth')
    assert len(fit.matching) == 7
    assert fit.missing == []
    assert fit.unexpected == ['head.weight', 'head.bias']


def test_the_rest_is_counted():
    fit = fit_weights(Network(classes=10), {**weights(), 'more': torch.ones(1)}, 'a.pth')
    assert fit.reshaped == ['head.weight', 'head.bias']
    assert str(fit) == (
        '7 weights loaded, 0 missing in the checkpoint, 1 unexpected (more), '
        '2 of another shape (head.weight, head.bias)'
    )


@pytest.mark.parametrize('content', [{'encoder.conv': torch.ones(2)}, {}, [1, 2], {'a': 1}])
def test_nothing_that_matches_is_an_error(content):
    with pytest.raises(UserError, match=r'a\.pth holds no weight of this model: got . tensors'):
        fit_weights(Network(), unwrap(content), 'a.pth')


def test_the_hooks_of_a_model_rename_first():
    model = Network()

    def rename(state, prefix, *_):
        for key in [key for key in state if key.startswith('old_')]:
            state[key.removeprefix('old_')] = state.pop(key)

    model.register_load_state_dict_pre_hook(lambda module, *args: rename(*args))
    assert fit_weights(model, prefixed('old_'), 'a.pth').complete


@pytest.mark.parametrize('wrapped', [False, True])
@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_init_cfg_of_a_model_of_ours_takes_a_file(tmp_path, wrapped, suffix, caplog):
    resnet = dict(type='ResNetCIFAR', depth=8)
    source = MODELS.build(resnet)
    names = prefixed('module.' if wrapped else '', source.state_dict())
    path = tmp_path / f'a.{suffix}'
    if suffix == 'pth':
        torch.save({'model': names} if wrapped else names, path)
    else:
        save_file(names, path)
    model = MODELS.build({**resnet, 'init_cfg': dict(type='Pretrained', checkpoint=str(path))})
    with DefaultScope.overwrite_default_scope('ecl'), caplog.at_level(logging.INFO):
        model.init_weights()
    expected, taken = source.state_dict(), model.state_dict()
    assert all(torch.equal(taken[key], value) for key, value in expected.items())


def test_init_cfg_with_a_prefix_takes_a_part(tmp_path):
    torch.save({'state_dict': prefixed('module.')}, tmp_path / 'a.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'), prefix='backbone')
    from mmengine.model import BaseModule

    class Part(BaseModule, nn.Sequential):
        def __init__(self):
            nn.Sequential.__init__(self)
            BaseModule.__init__(self, init)
            self.extend(Network().backbone)

    part = Part()
    with DefaultScope.overwrite_default_scope('ecl'):
        part.init_weights()
    assert torch.equal(part[0].weight, weights()['backbone.0.weight'])


@pytest.mark.parametrize('content', [{'other': torch.ones(2)}, {'state_dict': {}}])
def test_init_cfg_with_a_file_that_fits_nothing_is_an_error(tmp_path, content):
    torch.save(content, tmp_path / 'a.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    model = MODELS.build(dict(type='ResNetCIFAR', depth=8, init_cfg=init))
    with (
        DefaultScope.overwrite_default_scope('ecl'),
        pytest.raises(UserError, match='holds no weight of this model'),
    ):
        model.init_weights()


@pytest.mark.parametrize(
    ('saved', 'message'),
    [
        (nn.Linear(2, 3), None),
        (nn.Linear(2, 4), r'weight is \(4, 2\) there and \(3, 2\) in the configuration'),
        (nn.Linear(2, 3, bias=False), r'bias is absent there and \(3,\) in the configuration'),
        (nn.BatchNorm1d(3), r'weight is \(3,\) there and \(3, 2\)'),
    ],
)
def test_the_first_difference_to_the_model_is_named(saved, message):
    checkpoint = {'state_dict': saved.state_dict()}
    if message is None:
        check_weights_fit(checkpoint, nn.Linear(2, 3), 'a.pth')
        return
    with pytest.raises(UserError, match=f'a.pth is a checkpoint of another model: {message}'):
        check_weights_fit(checkpoint, nn.Linear(2, 3), 'a.pth')


def test_a_weight_that_the_model_lacks_is_named():
    checkpoint = {'state_dict': nn.Linear(2, 3).state_dict()}
    with pytest.raises(UserError, match=r'bias is \(3,\) there and absent in the configuration'):
        check_weights_fit(checkpoint, nn.Linear(2, 3, bias=False), 'a.pth')


def test_weights_of_another_library_match_by_shape_and_order():
    own = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 5))
    other = nn.ModuleDict(
        {'a': nn.Linear(3, 4), 'b': nn.BatchNorm1d(4), 'c': nn.Linear(4, 5), 'fc': nn.Linear(5, 9)}
    )
    found = {f'x{name}': value for name, value in other.state_dict().items()}
    fit = fit_weights(own, found, 'file')
    assert not fit.missing and not fit.reshaped
    torch.testing.assert_close(fit.matching['2.weight'], other['c'].weight)
    torch.testing.assert_close(fit.matching['1.running_var'], other['b'].running_var)
    found['xc.weight'] = torch.zeros(5, 5)
    with pytest.raises(UserError, match='no weight of this model'):
        fit_weights(own, found, 'file')
