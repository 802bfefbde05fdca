import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F
from torchvision.transforms.autoaugment import _apply_op

from ecl.datasets.transforms.batch.uint8_ops import WARPS, adjust_sharpness, equalize, warp


@pytest.fixture(params=['noise', 'three values', 'one value', 'small'])
def images(request) -> torch.Tensor:
    torch.manual_seed(0)
    noise = torch.randint(0, 256, (5, 3, 17, 40), dtype=torch.uint8)
    return {
        'noise': noise,
        'three values': noise % 3 * 80,
        'one value': torch.full_like(noise, 7),
        'small': noise[..., :3, :4],
    }[request.param]


def test_equalize_is_that_of_torchvision(images):
    assert torch.equal(equalize(images), F.equalize(images))


@pytest.mark.parametrize('factor', [0.1, 1.0, 1.9])
def test_sharpness_is_that_of_torchvision(images, factor):
    assert torch.equal(adjust_sharpness(images, factor), F.adjust_sharpness(images, factor))


@pytest.mark.parametrize('name', sorted(WARPS))
@pytest.mark.parametrize('magnitude', [-0.3, 0.0, 7.0, 26.7])
def test_warps_are_those_of_torchvision(images, name, magnitude):
    expected = _apply_op(images, name, magnitude, InterpolationMode.NEAREST, fill=[128.0] * 3)
    assert torch.equal(warp(images, name, magnitude, 128), expected)
