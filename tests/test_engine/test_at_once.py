"""What is done for all layers at once, against each layer by itself."""

import copy
from collections import Counter

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ecl.engine.at_once import cast_at_once, count_at_once


class Network(nn.Module):
    """Convolutions and norm layers: one used twice, one frozen, one never used."""

    def __init__(self):
        super().__init__()
        self.first, self.twice, self.frozen, self.unused = (nn.Conv2d(3, 3, 3) for _ in range(4))
        self.frozen.requires_grad_(False)
        self.norm, self.other = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.averaging = nn.BatchNorm2d(3, momentum=None)

    def forward(self, x):
        x = self.norm(self.twice(self.norm(self.twice(self.first(x)))))
        return self.averaging(self.frozen(x)).square().mean()


class Names(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def step(network, images, *contexts):
    with torch.autocast('cpu', dtype=torch.bfloat16):
        with contexts[0](network), contexts[1](network):
            loss = network(images)
        loss.backward()
    return loss


def plain(network):
    return torch.enable_grad()


@pytest.fixture
def networks():
    torch.manual_seed(0)
    network = Network()
    return network, copy.deepcopy(network), torch.rand(2, 3, 12, 12)


def test_gradients_and_counters_are_those_of_the_layers(networks):
    ours, theirs, images = networks
    for _ in range(2):
        loss = step(ours, images, cast_at_once, count_at_once)
        assert torch.equal(loss, step(theirs, images, plain, plain))
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        if one.grad is not None:
            assert one.grad.dtype == torch.float32
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-6, msg=name)
    counts = {name: int(buffer) for name, buffer in theirs.named_buffers() if 'num_' in name}
    assert counts == {
        'norm.num_batches_tracked': 4,
        'other.num_batches_tracked': 0,
        'averaging.num_batches_tracked': 2,
    }
    for (name, one), other in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        assert torch.equal(one, other), name


def test_the_layers_get_back_what_they_had(networks):
    network, _, images = networks
    before = {name: id(tensor) for name, tensor in network.state_dict(keep_vars=True).items()}
    with pytest.raises(RuntimeError):
        step(network, images[:, :2], cast_at_once, count_at_once)
    after = {name: id(tensor) for name, tensor in network.state_dict(keep_vars=True).items()}
    assert before == after


def test_there_are_fewer_operations(networks):
    ours, theirs, images = networks
    with Names() as at_once:
        step(ours, images, cast_at_once, count_at_once)
    with Names() as by_layer:
        step(theirs, images, plain, plain)
    assert at_once.names['_foreach_copy_'] == 2
    assert by_layer.names['_to_copy'] - at_once.names['_to_copy'] >= 4
    assert by_layer.names['add_'] > at_once.names['add_']


def test_without_autocast_the_weights_stay(networks):
    network, _, _ = networks
    with cast_at_once(network):
        assert isinstance(network.first.weight, nn.Parameter)
