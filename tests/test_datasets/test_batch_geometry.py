"""The batch transforms draw from the distributions of the transforms of one image."""

import mmcv
import numpy as np
import pytest
import torch
from mmpretrain.datasets.transforms import Cutout, RandomResizedCrop
from torchvision.transforms.functional import rotate

from ecl.datasets import (
    BatchCutout,
    BatchRandomCrop,
    BatchRandomFlip,
    BatchRandomResizedCrop,
    BatchRandomRotation,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)
    np.random.seed(0)


def test_every_window_of_the_padded_image_is_drawn_and_nothing_else():
    image = torch.arange(1, 49.0).reshape(1, 3, 4, 4)
    padded = torch.nn.functional.pad(image, [1] * 4, value=7)
    windows = {
        tuple(padded[0, :, y : y + 4, x : x + 4].flatten().tolist())
        for y in range(3)
        for x in range(3)
    }
    crops = BatchRandomCrop(4, padding=1, pad_val=7)(image.expand(300, -1, -1, -1))
    assert {tuple(crop.flatten().tolist()) for crop in crops} == windows


def test_half_of_the_images_are_flipped():
    image = torch.rand(1, 3, 4, 4)
    flipped = BatchRandomFlip()(image.expand(400, -1, -1, -1))
    mirrored = (flipped == image.flip(3)).flatten(1).all(1)
    assert ((flipped == image).flatten(1).all(1) | mirrored).all()
    assert 160 < mirrored.sum() < 240


@pytest.mark.parametrize('prob', [1.0, 0.3])
def test_holes_lie_where_those_of_one_image_do(prob):
    holes = BatchCutout(6, prob=prob, pad_val=9)(torch.zeros(3000, 3, 12, 10))
    one = Cutout(shape=6, prob=prob, pad_val=9)
    blank = np.zeros((12, 10, 3), np.uint8)
    expected = np.mean([one.transform({'img': blank})['img'] for _ in range(3000)], axis=0)
    difference = holes.mean(0).permute(1, 2, 0).numpy() - expected
    assert np.abs(difference).max() < 9 * 0.06


@pytest.mark.parametrize('height, width', [(32, 32), (20, 60)])
def test_boxes_are_those_of_one_image(height, width):
    number, ratios = 4000, (0.2, 1.0)
    boxes = BatchRandomResizedCrop(8, crop_ratio_range=ratios).boxes(
        number, height, width, torch.device('cpu')
    )
    top, left, high, wide = boxes
    assert (boxes >= 0).all()
    assert (top + high <= height).all()
    assert (left + wide <= width).all()
    one = RandomResizedCrop(8, crop_ratio_range=ratios)
    image = np.zeros((height, width, 3), np.uint8)
    drawn = np.array([one.rand_crop_params(image) for _ in range(number)], dtype=float)
    expected = torch.tensor(drawn.T, dtype=torch.float32)
    error = (expected.var(1) / number * 2).sqrt()
    assert ((boxes.mean(1) - expected.mean(1)).abs() < 4 * error + 1e-3).all()
    assert torch.allclose(boxes.std(1), expected.std(1), rtol=0.08)


def test_a_box_is_resized_as_if_cut_out_before(monkeypatch):
    images = torch.randint(0, 256, (3, 3, 16, 16)).float()
    boxes = torch.tensor([[0, 3, 8], [2, 0, 5], [16, 7, 8], [11, 16, 9]]).float()
    crop = BatchRandomResizedCrop(16)
    monkeypatch.setattr(crop, 'boxes', lambda *_, **__: boxes)
    for result, image, box in zip(crop(images), images, boxes.T.int().tolist(), strict=True):
        top, left, high, wide = box
        cut = image[:, top : top + high, left : left + wide].permute(1, 2, 0).numpy()
        expected = mmcv.imresize(cut, (16, 16), interpolation='bilinear', backend='cv2')
        np.testing.assert_allclose(result.permute(1, 2, 0).numpy(), expected, atol=0.05)


@pytest.mark.parametrize('size', [(32, 32), (9, 14)])
def test_images_rotate_as_torchvision_rotates_them(size):
    images = torch.randint(1, 256, (40, 3, *size)).float()
    angles = torch.empty(40).uniform_(-180, 180)
    expected = torch.stack(
        [
            rotate(one, angle.item(), fill=[7.0] * 3)
            for one, angle in zip(images, angles, strict=True)
        ]
    )
    rotated = BatchRandomRotation(180, fill=7).rotate(images, angles)
    # A source between two pixels may round to either.
    assert (rotated == expected).float().mean() > 0.999


def test_angles_are_uniform_within_the_limit():
    # A bar through the centre turns by the drawn angle, which its slope tells.
    column = torch.zeros(2000, 3, 101, 101)
    column[:, :, :, 50] = 1
    rotated = BatchRandomRotation(15)(column)
    top = rotated[:, 0, 10:13].sum(1).argmax(1) - 50.0  # about 39 pixels above the centre
    angles = torch.atan2(top, torch.tensor(39.0)).rad2deg()
    assert angles.abs().max() < 17
    assert abs(angles.mean()) < 0.7 and abs(angles.std() - 15 / 3**0.5) < 0.5
