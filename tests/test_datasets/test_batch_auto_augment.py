import pytest
import torch
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode
from torchvision.transforms import functional as F
from torchvision.transforms.autoaugment import _apply_op

from ecl.datasets import BatchCIFARAutoAugment
from ecl.datasets.batch_auto_augment import WARPS, adjust_sharpness, equalize, warp


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


@pytest.fixture
def squares() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)


@pytest.mark.parametrize('index', range(25))
def test_a_sub_policy_does_what_torchvision_does(squares, index):
    ours, theirs = BatchCIFARAutoAugment(), AutoAugment(AutoAugmentPolicy.CIFAR10, fill=[128] * 3)
    (first, _, a), (second, _, b) = ours.policy.policies[index]
    certain = [((first, 1.0, a), (second, 1.0, b))]
    ours.policy.policies = theirs.policies = certain
    possible = {theirs(squares[0]).numpy().tobytes() for _ in range(24)}
    drawn = {x.byte().numpy().tobytes() for x in ours(squares[:1].repeat(24, 1, 1, 1).float())}
    assert drawn == possible


def test_as_many_images_stay_as_they_are_as_with_one_image_at_a_time(squares):
    theirs = AutoAugment(AutoAugmentPolicy.CIFAR10, fill=[128] * 3)
    image, number = squares[0], 400
    kept = sum(torch.equal(theirs(image), image) for _ in range(number)) / number
    result = BatchCIFARAutoAugment()(image.float().expand(number, -1, -1, -1))
    share = (result == image).flatten(1).all(1).float().mean()
    assert share == pytest.approx(kept, abs=0.07)
    assert len(result.flatten(1).unique(dim=0)) > 25
