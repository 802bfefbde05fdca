import pytest
import torch
from torch import nn

from ecl.errors import UserError
from ecl.models import ResNetCIFAR


@pytest.mark.parametrize('depth', [8, 14, 20, 32])
def test_depth_counts_the_weight_layers(depth):
    net = ResNetCIFAR(depth)
    convolutions = [
        m for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)
    ]
    assert len(convolutions) + 1 == depth
    assert net(torch.rand(2, 3, 32, 32))[-1].shape == (2, 64, 8, 8)
    assert net.feat_dim == 64


def test_resnet32_has_the_size_of_the_field():
    assert sum(p.numel() for p in ResNetCIFAR(32).parameters()) == pytest.approx(0.47e6, rel=0.02)


def test_stage_channels_are_the_widths_of_the_stages():
    net = ResNetCIFAR(20, stage_channels=(16, 24, 48))
    assert net.conv1.out_channels == 16
    assert [net.get_submodule(name)[-1].out_channels for name in net.res_layers] == [16, 24, 48]
    assert net(torch.rand(2, 3, 32, 32))[-1].shape == (2, 48, 8, 8)
    assert net.feat_dim == 48


@pytest.mark.parametrize('widths', [(16, 24), (16, 24, 48, 64), (16, 0, 48), 16])
def test_stage_channels_must_be_three_widths(widths):
    with pytest.raises(UserError, match='stage_channels'):
        ResNetCIFAR(8, stage_channels=widths)
