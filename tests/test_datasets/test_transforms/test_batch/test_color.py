import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torchvision.transforms import AutoAugment, AutoAugmentPolicy
from torchvision.transforms import functional as F

from ecl.datasets.transforms.batch import (
    BatchCIFARAutoAugment,
    BatchColorJitter,
    BatchGaussianBlur,
    BatchRandomGrayscale,
    color,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)


@pytest.mark.parametrize('name', ['brightness', 'contrast', 'saturation', 'hue'])
def test_adjustments_are_those_of_torchvision(images, name):
    amounts = [-0.3, 0.1, 0.4, -0.5, 0.0, 0.2] if name == 'hue' else [0.0, 0.4, 0.9, 1.0, 1.3, 1.8]
    ours = getattr(color, f'adjust_{name}')(
        images.float(), torch.tensor(amounts)[:, None, None, None]
    )
    theirs = torch.stack(
        [
            getattr(F, f'adjust_{name}')(image, amount)
            for image, amount in zip(images, amounts, strict=True)
        ]
    )
    assert (ours - theirs.float()).abs().max() <= 2  # theirs are rounded down in between


def test_each_image_is_jittered_by_its_own_factor_in_the_range():
    grey = torch.full((500, 3, 4, 4), 100.0)
    factors = BatchColorJitter(brightness=0.4, prob=0.8)(grey)[:, 0, 0, 0] / 100
    changed = factors[factors != 1]
    assert 350 < len(changed) < 450
    assert changed.min() > 0.6 and changed.max() < 1.4
    assert changed.std() == pytest.approx(0.8 / 12**0.5, rel=0.1)


def test_the_order_of_the_adjustments_is_drawn(monkeypatch):
    monkeypatch.setattr(
        color,
        'ADJUSTMENTS',
        (lambda x, _: x + 10, lambda x, _: 2 * x, lambda x, _: x / 4, color.adjust_hue),
    )
    results = BatchColorJitter(0.1, 0.1, 0.1)(torch.zeros(120, 3, 2, 2))[:, 0, 0, 0]
    values, counts = results.unique(return_counts=True)
    assert values.tolist() == [2.5, 5.0, 10.0, 20.0]
    assert (counts >= 12).all()


def test_some_images_turn_grey(images):
    many = images.float().repeat(100, 1, 1, 1)
    result = BatchRandomGrayscale(prob=0.2)(many)
    grey = (result == result[:, :1]).flatten(1).all(1)
    assert 80 < grey.sum() < 160
    assert torch.equal(result[~grey], many[~grey])
    expected = F.rgb_to_grayscale(many[grey].to(torch.uint8)).float()
    assert (result[grey, :1] - expected).abs().max() <= 1


def test_blur_is_that_of_pil():
    image = torch.zeros(3, 24, 24)
    image[:, 8:16, 8:16] = 200
    sizes = [0.5, 1.0, 2.0]
    ours = BatchGaussianBlur().blur(image.expand(3, -1, -1, -1), torch.tensor(sizes)[:, None])
    source = Image.fromarray(image.permute(1, 2, 0).byte().numpy())
    for result, size in zip(ours, sizes, strict=True):
        theirs = np.asarray(source.filter(ImageFilter.GaussianBlur(size)), dtype=np.float32)
        # PIL stands three box filters in for the Gaussian.
        assert np.abs(result.permute(1, 2, 0).numpy() - theirs).mean() < 1.5
        assert result.sum() == pytest.approx(theirs.sum(), rel=0.01)


def test_half_of_the_images_are_blurred_each_by_its_own_strength():
    image = torch.rand(1, 3, 8, 8) * 255
    result = BatchGaussianBlur()(image.expand(200, -1, -1, -1))
    blurred = result[(result != image).flatten(1).any(1)]
    assert 70 < len(blurred) < 130
    assert len(blurred[:, 0, 0, 0].unique()) > 60


@pytest.mark.parametrize('index', range(25))
def test_a_sub_policy_does_what_torchvision_does(images, index):
    ours, theirs = BatchCIFARAutoAugment(), AutoAugment(AutoAugmentPolicy.CIFAR10, fill=[128] * 3)
    (first, _, a), (second, _, b) = ours.policy.policies[index]
    certain = [((first, 1.0, a), (second, 1.0, b))]
    ours.policy.policies = theirs.policies = certain
    possible = {theirs(images[0]).numpy().tobytes() for _ in range(24)}
    drawn = {x.byte().numpy().tobytes() for x in ours(images[:1].repeat(24, 1, 1, 1).float())}
    assert drawn == possible


def test_as_many_images_stay_as_they_are_as_with_one_image_at_a_time(images):
    theirs = AutoAugment(AutoAugmentPolicy.CIFAR10, fill=[128] * 3)
    image, number = images[0], 400
    kept = sum(torch.equal(theirs(image), image) for _ in range(number)) / number
    result = BatchCIFARAutoAugment()(image.float().expand(number, -1, -1, -1))
    share = (result == image).flatten(1).all(1).float().mean()
    assert share == pytest.approx(kept, abs=0.07)
    assert len(result.flatten(1).unique(dim=0)) > 25
