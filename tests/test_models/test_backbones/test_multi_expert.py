import pytest
import torch
from torch import nn

from ecl.errors import UserError
from ecl.models import MultiExpertBackbone
from ecl.registry import MODELS

CIFAR = dict(type='ResNetCIFAR', depth=8)


def test_experts_are_whole_networks_of_their_own():
    net = MultiExpertBackbone(CIFAR, num_experts=3)
    net.init_weights()
    x = torch.rand(2, 3, 16, 16)
    for out, expert in zip(net.eval()(x), net.experts, strict=True):
        torch.testing.assert_close(out, expert(x)[-1])
    first, second = (expert.conv1.weight for expert in net.experts[:2])
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    'backbone', [CIFAR, dict(type='ResNet', depth=18), dict(type='SEResNeXt', depth=50)]
)
@pytest.mark.parametrize('shared_stages', [1, 2])
def test_a_shared_trunk_computes_what_one_network_would(backbone, shared_stages):
    net = MultiExpertBackbone(backbone, num_experts=2, shared_stages=shared_stages).eval()
    net.init_weights()
    whole = MODELS.build(backbone)
    stages = whole.res_layers
    for name, child in list(net.trunk.named_children()):
        if name not in stages[shared_stages:]:
            setattr(whole, name, child)
    for name in stages[shared_stages:]:
        setattr(whole, name, getattr(net.experts[1], name))
    whole.eval()
    x = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(net(x)[1], whole(x)[-1])


def test_sharing_costs_no_parameter_twice():
    def size(module):
        return sum(p.numel() for p in module.parameters())

    whole = MODELS.build(CIFAR)
    later = size(whole.layer2) + size(whole.layer3)
    shared = MultiExpertBackbone(CIFAR, num_experts=3, shared_stages=1)
    assert size(shared) == size(whole) + 2 * later


@pytest.mark.parametrize('shared_stages', [0, 1])
def test_pretrained_weights_reach_every_expert(tmp_path, shared_stages):
    plain = MODELS.build(CIFAR)
    for p in plain.parameters():
        nn.init.normal_(p, std=0.1)
    path = tmp_path / 'plain.pth'
    torch.save({'state_dict': {f'backbone.{k}': v for k, v in plain.state_dict().items()}}, path)
    init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    net = MultiExpertBackbone(
        dict(**CIFAR, init_cfg=init_cfg), num_experts=2, shared_stages=shared_stages
    )
    net.init_weights()
    x = torch.rand(2, 3, 16, 16)
    plain.eval()
    expected = plain(x)[-1]
    for out in net.eval()(x):
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)


def test_every_parameter_gets_a_gradient():
    net = MultiExpertBackbone(CIFAR, num_experts=2, shared_stages=2)
    sum(out.sum() for out in net(torch.rand(2, 3, 16, 16))).backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_experts=0), 'num_experts'),
        (dict(shared_stages=3), 'can share 1 to 2 stages'),
        (dict(backbone=dict(type='LeNet5'), shared_stages=1), 'LeNet5 has no ResNet stages'),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        MultiExpertBackbone(**{'backbone': CIFAR, **options})
