from copy import deepcopy

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ecl.models import MultiExpertBackbone
from ecl.models.folded import FoldedNorms
from ecl.registry import MODELS


class Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))

    @property
    def norms(self):
        return sum('batch_norm' in name for name in self.names)


def trained(network: nn.Module) -> nn.Module:
    """In evaluation mode, with norm layers that do something."""
    torch.manual_seed(0)
    for module in network.modules():
        norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        if norm and module.affine and module.track_running_stats:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    network.eval()
    return network


def outputs(network, images):
    return list(network(images)) if isinstance(network(images), tuple) else [network(images)]


NETWORKS = {
    'basic': (dict(type='ResNetCIFAR', depth=8), 0),
    'bottleneck': (dict(type='mmpretrain.ResNet', depth=50), 0),
    'depthwise': (dict(type='mmpretrain.MobileNetV2', widen_factor=0.25), 0),
    'norm before': (dict(type='mmpretrain.DenseNet', arch='121'), None),
    'no norms': (dict(type='mmpretrain.ConvNeXt', arch='atto'), 0),
    'experts': (dict(type='MultiExpertBackbone', backbone=dict(type='ResNetCIFAR', depth=8)), 0),
    'shared': (
        dict(
            type='MultiExpertBackbone', backbone=dict(type='ResNetCIFAR', depth=8), shared_stages=2
        ),
        0,
    ),
}


@pytest.mark.parametrize(('cfg', 'left'), NETWORKS.values(), ids=NETWORKS)
def test_outputs_are_those_of_the_network(cfg, left):
    init_default_scope('ecl')
    network = trained(MODELS.build(cfg))
    images = torch.rand(3, 3, 32, 32)
    before = deepcopy(network.state_dict())
    folded = FoldedNorms(network)
    with torch.no_grad():
        expected = outputs(network, images)
    folded(images)
    for _ in range(2):
        with Operations() as operations:
            found = folded(images)
        assert operations.norms == left if left is not None else operations.norms > 0
        torch.testing.assert_close(list(found), expected, rtol=1e-4, atol=1e-5)
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    with torch.no_grad(), Operations() as operations:
        torch.testing.assert_close(outputs(network, images), expected, rtol=0, atol=0)


def test_weights_may_change_between_calls():
    network = trained(MultiExpertBackbone(dict(type='ResNetCIFAR', depth=8), num_experts=2))
    folded, images = FoldedNorms(network), torch.rand(2, 3, 16, 16)
    first = folded(images)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.mul_(1.3)
        expected = network(images)
    torch.testing.assert_close(folded(images), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(first[0], expected[0])


def test_mixed_precision_is_as_near_to_full_precision_as_without():
    network = trained(MultiExpertBackbone(dict(type='ResNetCIFAR', depth=14), num_experts=1))
    images = torch.rand(8, 3, 32, 32)
    with torch.no_grad():
        (exact,) = network(images)
        with torch.autocast('cpu', torch.bfloat16):
            (plain,) = network(images)
            (folded,) = FoldedNorms(network)(images)
    assert folded.dtype == torch.bfloat16
    error = [(found.float() - exact).square().mean() for found in (plain, folded)]
    assert error[1] < 1.5 * error[0]


class Layers(nn.Module):
    """Convolutions and norm layers of which some cannot be folded."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.conv = nn.Conv2d(3, 3, 1, bias=kind == 'bias')
        self.norm = nn.BatchNorm2d(
            3, affine=kind != 'not affine', track_running_stats=kind != 'no statistics'
        )
        self.plain = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3))
        if kind == 'other eps':
            self.plain[1].eps = 1e-3

    def forward(self, x):
        x = self.conv(x)
        if self.kind == 'activation between':
            x = x.relu()
        x = self.norm(x)
        if self.kind == 'norm twice':
            x = self.norm(x)
        if self.kind == 'convolution twice':
            x = self.conv(x)
        return self.plain(x)


@pytest.mark.parametrize(
    ('kind', 'left'),
    [
        ('plain', 0),
        ('bias', 1),
        ('not affine', 1),
        ('no statistics', 1),
        ('other eps', 1),
        ('activation between', 1),
        ('norm twice', 2),
        ('convolution twice', 1),
    ],
)
def test_what_cannot_be_folded_is_left(kind, left):
    network = trained(Layers(kind))
    folded, images = FoldedNorms(network), torch.rand(2, 3, 4, 4)
    folded(images)
    with Operations() as operations:
        found = folded(images)
    assert operations.norms == left
    torch.testing.assert_close(found, network(images).detach())


def test_an_error_leaves_the_network_as_it_was():
    network = trained(Layers('plain'))
    folded = FoldedNorms(network)
    images = torch.rand(2, 3, 4, 4)
    folded(images)
    expected = network(images)
    with pytest.raises(RuntimeError):
        folded(torch.rand(2, 5, 4, 4))
    assert torch.equal(network(images), expected)
    assert isinstance(network.conv.weight, nn.Parameter) and network.conv.bias is None


def test_a_copy_folds_its_own_weights():
    network = trained(Layers('plain'))
    images = torch.rand(2, 3, 4, 4)
    folded = FoldedNorms(network)
    folded(images)
    copied = deepcopy(folded)
    with torch.no_grad():
        network.conv.weight.zero_()
    torch.testing.assert_close(copied(images), copied.network(images).detach())
    assert not torch.allclose(copied(images), folded(images))


class Shortcut(nn.Module):
    def __init__(self, rectified: bool):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.rectified = rectified

    def forward(self, x):
        x = self.convolution(x)
        if self.rectified:
            return self.norm(x.relu_())
        return x + self.norm(x)


@pytest.mark.parametrize('rectified', [False, True])
def test_what_else_uses_a_convolution_gets_it_as_it_is(rectified):
    # At first the norm layer changes nothing, so its values cannot tell.
    network = Shortcut(rectified).eval()
    folded, images = FoldedNorms(network), torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(folded(images), network(images))
    trained(network)
    torch.testing.assert_close(folded(images), network(images))
