from itertools import permutations

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torchvision.transforms import functional as F

from ecl.datasets import (
    BatchColorJitter,
    BatchGaussianBlur,
    BatchRandomGrayscale,
)
from ecl.datasets import batch_color as color


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)


@pytest.mark.parametrize('name', ['brightness', 'contrast', 'saturation', 'hue'])
def test_adjustments_are_those_of_torchvision(images, name):
    amounts = [-0.3, 0.1, 0.4, -0.5, 0.0, 0.2] if name == 'hue' else [0.0, 0.4, 0.9, 1.0, 1.3, 1.8]
    amount = torch.tensor(amounts)[:, None, None, None]
    if name == 'hue':
        ours = color.adjust_hue(images.float(), amount)
    else:
        amount = amount.flatten()
        matrices = color.blend_matrices(
            amount, torch.full_like(amount, getattr(color, name.upper()))
        )
        ours = color.apply_matrices(images.float(), *matrices)
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


def test_images_that_are_not_chosen_keep_their_hue(images):
    many = images.float().repeat(50, 1, 1, 1)
    result = BatchColorJitter(hue=0.5, prob=0.2)(many)
    changed = (result - many).abs().flatten(1).amax(1) > 1
    assert 30 < changed.sum() < 90


def test_the_order_of_the_adjustments_is_drawn(monkeypatch):
    def adjust(x, kind, chosen):
        changes = torch.where(kind == 0, x + 10, torch.where(kind == 1, 2 * x, x / 4))
        return torch.where(chosen, torch.where(kind == 3, x, changes), x)

    def matrices(factor, kind):
        return kind.expand_as(factor)[..., None, None, None], (factor != 1)[..., None, None, None]

    monkeypatch.setattr(color, 'blend_matrices', matrices)
    monkeypatch.setattr(color, 'apply_matrices', adjust)
    for hue in (0.0, 0.1):  # grey images have none
        results = BatchColorJitter(0.1, 0.1, 0.1, hue)(torch.zeros(240, 3, 2, 2))[:, 0, 0, 0]
        values, counts = results.unique(return_counts=True)
        assert values.tolist() == [2.5, 5.0, 10.0, 20.0]
        assert (counts >= 24).all()


def test_a_jittered_image_is_made_by_some_order_of_torchvisions_adjustments():
    image = torch.randint(0, 256, (3, 6, 6)) / 255.0  # torchvision rounds no floats
    jitter = BatchColorJitter(0.5, 0.5, 0.5, 0.2)
    # Every factor is at the end of its range, the hue is shifted by 0.2.
    jitter.ranges = ((1.5, 1.5), (0.5, 0.5), (1.5, 1.5), (0.2, 0.2))
    possible = []
    for order in permutations(('brightness', 'contrast', 'saturation', 'hue')):
        amounts = dict(brightness=1.5, contrast=0.5, saturation=1.5, hue=0.2)
        theirs = image
        for name in order:
            theirs = getattr(F, f'adjust_{name}')(theirs, amounts[name])
        possible.append(theirs)
    drawn = jitter(255 * image.repeat(300, 1, 1, 1)) / 255
    distance = (drawn.unsqueeze(1) - torch.stack(possible)).abs().flatten(2).amax(2)
    assert (distance.amin(1) < 1e-4).all()
    assert len(distance.argmin(1).unique()) > 15  # some orders give the same


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
