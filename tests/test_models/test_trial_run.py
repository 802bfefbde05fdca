import pytest
import torch
from torch import nn

from ecl.errors import UserError
from ecl.models import FeaturePooling, MultiExpertBackbone
from ecl.models.trial_run import feature_width, trial_outputs


def test_a_backbone_that_refuses_the_trial_names_the_key():
    class Picky(nn.Module):
        def forward(self, x):
            raise RuntimeError('images of 7 x 7 only')

    with pytest.raises(UserError, match=r'model.head.in_channels'):
        feature_width(Picky())


def test_a_network_for_small_images_only_is_tried_with_one():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 7))
    assert feature_width(nn.Sequential(network, _Experts())) == 7


class _Experts(nn.Module):
    def forward(self, x):
        return (x, x)


def test_finding_the_width_leaves_the_network_alone():
    backbone = MultiExpertBackbone(dict(type='ResNetCIFAR', depth=8))
    network = nn.Sequential(backbone, FeaturePooling())
    before = {k: v.clone() for k, v in network.state_dict().items()}
    state = torch.get_rng_state()
    assert feature_width(network) == 64
    assert [tuple(output.shape) for output in trial_outputs(network)] == 3 * [(1, 64)]
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training
    assert backbone.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
