from copy import deepcopy

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from torch import nn

from ecl import weights
from ecl.checkpoint_file import read_checkpoint
from ecl.errors import UserError
from ecl.models import FeaturePooling, MultiExpertBackbone
from ecl.models.multi_expert import first_modules
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


# A network of every family, tiny, with the stages or blocks that experts may share, and its width.
FAMILIES = {
    'ResNetCIFAR': (CIFAR, 2, 64),
    'ResNet': (dict(type='ResNet', depth=18), 2, 512),
    'SEResNeXt': (dict(type='SEResNeXt', depth=50, groups=2, width_per_group=2), 3, 2048),
    'MobileNetV2': (dict(type='MobileNetV2', widen_factor=0.25), 4, 1280),
    'MobileNetV3': (dict(type='MobileNetV3', arch='small'), 5, 576),
    'EfficientNet': (dict(type='EfficientNet', arch='b0'), 3, 1280),
    'ConvNeXt': (
        dict(type='ConvNeXt', arch=dict(depths=[1, 1, 1, 1], channels=[8, 12, 16, 20])),
        2,
        20,
    ),
    'SwinTransformer': (
        dict(
            type='SwinTransformer',
            img_size=64,
            arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]),
            window_size=2,
        ),
        2,
        64,
    ),
    'VisionTransformer': (
        dict(
            type='VisionTransformer',
            img_size=64,
            arch=dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=16),
        ),
        2,
        16,
    ),
}


@pytest.mark.parametrize('kind', FAMILIES)
def test_shared_stages_compute_what_one_network_would(kind):
    cfg, shared_stages, _ = FAMILIES[kind]
    net = MultiExpertBackbone(cfg, num_experts=2, shared_stages=shared_stages)
    whole = MODELS.build(cfg)
    net.eval(), whole.eval()
    shared = set(first_modules(net.experts[0], shared_stages, 'shared_stages'))
    for name, module in net.experts[0].named_modules():
        if name in shared:
            whole.set_submodule(name, module)
    state = {
        k: v
        for k, v in net.experts[1].state_dict().items()
        if not any(k.startswith(f'{name}.') for name in shared)
    }
    missing = whole.load_state_dict(state, strict=False).missing_keys
    assert all(any(k.startswith(f'{name}.') for name in shared) for k in missing)
    x = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(net(x)[1], whole(x)[-1])


@pytest.mark.parametrize('kind', FAMILIES)
@pytest.mark.parametrize('shared', [False, True])
def test_any_architecture_trains_a_step_as_experts(kind, shared):
    cfg, shared_stages, width = FAMILIES[kind]
    backbone = dict(
        type='MultiExpertBackbone',
        backbone=cfg,
        num_experts=2,
        shared_stages=shared_stages if shared else 0,
    )
    head = dict(
        type='ECLHead',
        num_classes=3,
        label_loss=dict(type='CrossEntropyLoss'),
        expert_losses=dict(distill=dict(type='ReweightedDistillLoss')),
    )
    model = MODELS.build(dict(type='ECLClassifier', backbone=backbone, head=head)).train()
    assert model.head.in_channels == width
    samples = [DataSample().set_gt_label(i % 3) for i in range(4)]
    sum(model(torch.rand(4, 3, 64, 64), samples, mode='loss').values()).backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None]
    assert model.eval()(torch.rand(2, 3, 64, 64)).shape == (2, 3)


@pytest.mark.parametrize('kind', FAMILIES)
@pytest.mark.parametrize('shared', [False, True])
def test_frozen_stages_keep_weights_and_statistics(kind, shared):
    cfg, number, _ = FAMILIES[kind]
    net = MultiExpertBackbone(
        cfg, num_experts=2, shared_stages=number if shared else 0, frozen_stages=number
    )
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    sum(out.pow(2).mean() for out in net.train()(torch.rand(4, 3, 64, 64))).backward()
    optimizer.step()
    same = {name for name, value in net.state_dict().items() if torch.equal(value, before[name])}
    for expert in range(2):
        names = first_modules(net.experts[expert], number, 'frozen_stages')
        frozen = tuple(f'experts.{expert}.{name}.' for name in names)
        assert {name for name in before if name.startswith(frozen)} <= same
        last = [n for n, _ in net.experts[expert].named_parameters() if n.endswith('weight')][-1]
        assert f'experts.{expert}.{last}' not in same


@pytest.mark.parametrize('kind', FAMILIES)
@pytest.mark.parametrize('k', [0, 1])
def test_an_expert_kept_alone_takes_over_the_shared_stages(kind, k):
    cfg, shared_stages, _ = FAMILIES[kind]
    net = MultiExpertBackbone(cfg, num_experts=2, shared_stages=shared_stages)
    net.eval()
    x = torch.rand(2, 3, 64, 64)
    expected = net(x)[k]
    net.keep(k)
    (alone,) = net(x)
    torch.testing.assert_close(alone, expected)
    whole = MODELS.build(cfg)
    assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in whole.parameters())


class Wrapper(BaseModule):
    """A backbone around a network."""

    inner_network = 'net'

    def __init__(self):
        super().__init__()
        self.net = MODELS.build(CIFAR)

    def forward(self, x):
        return self.net(x)


def test_the_network_inside_a_wrapper_is_shared_and_frozen():
    net = MultiExpertBackbone(dict(type=Wrapper), num_experts=2, shared_stages=2, frozen_stages=1)
    plain = MultiExpertBackbone(CIFAR, num_experts=2, shared_stages=2, frozen_stages=1)
    expected = {n.replace('experts.0.', 'experts.0.net.') for n, _ in plain.named_parameters()}
    expected = {n.replace('experts.1.', 'experts.1.net.') for n in expected}
    assert {n for n, _ in net.named_parameters()} == expected
    assert not net.train().experts[0].net.layer1.training


def test_a_copy_shares_nothing_with_its_original():
    net = MultiExpertBackbone(CIFAR, num_experts=2, shared_stages=1).eval()
    copy = deepcopy(net)
    for p in copy.parameters():
        nn.init.zeros_(p)
    x = torch.rand(2, 3, 16, 16)
    before = net(x)[1]
    copy(x)
    torch.testing.assert_close(net(x)[1], before)
    assert not copy(x)[1].any()


def test_nothing_of_a_step_is_kept():
    net = MultiExpertBackbone(CIFAR, num_experts=2, shared_stages=1)
    net(torch.rand(2, 3, 16, 16))
    assert all(record.output is None for record in net._records)


@pytest.mark.parametrize('shape', [(2, 5, 3, 3), (2, 9, 5), (2, 5)])
def test_pooling_takes_maps_tokens_and_vectors(shape):
    output = torch.rand(shape)
    (pooled,) = FeaturePooling()((output,))
    expected = {4: lambda: output.mean((2, 3)), 3: lambda: output.mean(1), 2: lambda: output}
    torch.testing.assert_close(pooled, expected[output.ndim]())


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
        (dict(shared_stages=3), 'expected 1 to 2'),
        (dict(backbone=dict(type='LeNet5'), shared_stages=1), 'got LeNet5, expected .* blocks'),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        MultiExpertBackbone(**{'backbone': CIFAR, **options})


@pytest.mark.parametrize('shared_stages', [0, 2])
@pytest.mark.parametrize('kind', ['Pretrained', weights.PretrainedInit])
@pytest.mark.parametrize('others', [None, [dict(type='Kaiming', layer='Conv2d')]])
def test_pretrained_weights_are_read_once_into_every_expert(
    tmp_path, monkeypatch, shared_stages, kind, others
):
    plain = MODELS.build(dict(type='ResNetCIFAR', depth=8))
    torch.save({'state_dict': plain.state_dict()}, tmp_path / 'plain.pth')
    init_cfg = dict(type=kind, checkpoint=str(tmp_path / 'plain.pth'))
    init_cfg = init_cfg if others is None else [*others, init_cfg]
    net = MultiExpertBackbone(
        dict(type='ResNetCIFAR', depth=8, init_cfg=init_cfg), 3, shared_stages=shared_stages
    )
    read = []
    monkeypatch.setattr(
        weights, 'read_checkpoint', lambda path: read.append(path) or read_checkpoint(path)
    )
    init_default_scope('ecl')
    net.init_weights()
    assert len(read) == 1
    for expert in net.experts:
        own = expert.state_dict()
        assert own and all(torch.equal(value, plain.state_dict()[k]) for k, value in own.items())
