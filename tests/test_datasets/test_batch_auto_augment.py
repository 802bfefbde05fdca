from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.datasets.transforms import SolarizeAdd
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode
from torchvision.transforms.autoaugment import _apply_op

from ecl.datasets import BatchCIFARAutoAugment, BatchRandAugment
from ecl.datasets.batch_auto_augment import RAND_AUGMENT, apply_operations, rand_augment_tables

CONFIGS = Path(__file__).parents[2] / 'configs'
LEVELS = {
    'ShearX': (0, 5, 9),
    'ShearY': (2, 8),
    'TranslateX': (0, 5, 9),
    'TranslateY': (3, 9),
    'Rotate': (1, 9),
    'Brightness': (0, 6, 9),
    'Color': (1, 9),
    'Contrast': (0, 3, 9),
    'Sharpness': (0, 4, 9),
    'Posterize': (0, 5, 9),
    'Solarize': (0, 5, 9),
    'AutoContrast': (None,),
    'Equalize': (None,),
    'Invert': (None,),
}


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


def test_images_of_another_shape_and_as_many_pixels_have_tables_of_their_own():
    augment = BatchCIFARAutoAugment()
    for shape in ((4, 16), (16, 4)):
        images = torch.randint(0, 256, (64, 3, *shape)).float()
        results = []
        for each in (augment, BatchCIFARAutoAugment()):
            torch.manual_seed(1)
            results.append(each(images))
        assert torch.equal(*results)


@pytest.mark.parametrize(
    ('name', 'level'), [(name, level) for name, levels in LEVELS.items() for level in levels]
)
def test_every_operation_gives_the_pixels_of_torchvision(images, name, level):
    magnitudes, signed = AutoAugment()._augmentation_space(10, images.shape[2:])[name]
    magnitude = 0.0 if level is None else float(magnitudes[level])
    expected = {
        _apply_op(images, name, sign * magnitude, InterpolationMode.NEAREST, [128.0] * 3)
        .numpy()
        .tobytes()
        for sign in ((1, -1) if signed else (1,))
    }
    ours = BatchCIFARAutoAugment()
    for policy in (
        ((name, 1.0, level), ('Invert', -1.0, None)),
        (('Invert', -1.0, None), (name, 1.0, level)),
    ):
        ours.policies, ours._tables = [policy], {}
        torch.manual_seed(0)
        # The sign is drawn for each image: all images with the first sign, or with the other.
        found = ours(images.float().repeat(8, 1, 1, 1)).view(8, *images.shape).byte()
        for index, image in enumerate(images):
            drawn = {copy[index].numpy().tobytes() for copy in found}
            size = image.numel()
            assert drawn == {kind[index * size : (index + 1) * size] for kind in expected}


@pytest.fixture
def squares() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)


@pytest.mark.parametrize('index', range(25))
def test_a_sub_policy_does_what_torchvision_does(squares, index):
    ours, theirs = BatchCIFARAutoAugment(), AutoAugment(AutoAugmentPolicy.CIFAR10, fill=[128] * 3)
    (first, _, a), (second, _, b) = ours.policies[index]
    ours.policies = theirs.policies = [((first, 1.0, a), (second, 1.0, b))]
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


def test_images_of_several_sizes_are_augmented_by_one_instance():
    transform = BatchCIFARAutoAugment(fill=9)
    for size in ((8, 8), (5, 12), (8, 8)):
        assert transform(torch.zeros(30, 3, *size)).shape == (30, 3, *size)


@pytest.mark.parametrize('operation', RAND_AUGMENT, ids=lambda operation: operation[0])
def test_rand_augment_gives_the_pixels_of_torchvision(images, operation):
    name, magnitude, signed = operation
    height, width = images.shape[2:]
    tables = rand_augment_tables(height, width, images.device)
    magnitude *= {'TranslateX': width, 'TranslateY': height}.get(name, 1)
    for sign in range(2):
        row = torch.full((len(images),), 2 * RAND_AUGMENT.index(operation) + sign)
        found = apply_operations(images.clone(), tables, row, fill=128)
        if name == 'SolarizeAdd':
            theirs = SolarizeAdd(magnitude=magnitude, prob=1.0)
            expected = torch.stack(
                [
                    torch.from_numpy(theirs({'img': x.permute(1, 2, 0).numpy()})['img'])
                    for x in images
                ]
            ).permute(0, 3, 1, 2)
        else:
            amount = -magnitude if sign and signed else magnitude
            expected = _apply_op(images, name, amount, InterpolationMode.NEAREST, [128.0] * 3)
        assert torch.equal(found, expected), sign


def test_rand_augment_has_the_policies_of_the_configuration():
    """At the level of the configuration they have the magnitudes of the table."""
    names = {'ColorTransform': 'Color', 'Solarize': 'Identity'}
    sides = {('Shear', 'horizontal'): 'ShearX', ('Shear', 'vertical'): 'ShearY'}
    sides |= {('Translate', 'horizontal'): 'TranslateX', ('Translate', 'vertical'): 'TranslateY'}
    cfg = Config.fromfile(CONFIGS / '_base_/datasets/imagenet_lt.py')
    augment = cfg.view[-1]
    assert augment.magnitude_level == augment.total_level and augment.magnitude_std == 0
    assert augment.num_policies == BatchRandAugment().num_ops
    found = set()
    for policy in cfg.policies:
        name = sides.get((policy.type, policy.get('direction')), policy.type)
        largest = policy.get('magnitude_range', (0, 0))[1]
        name = names.get(name, name)
        negative = policy.get('random_negative_prob', 0.5) > 0
        signed = negative and name.startswith(('Shear', 'Translate', 'Rotate'))
        found.add((name, 0.0 if name == 'Identity' else float(largest), signed))
    assert found == set(RAND_AUGMENT)


def test_rand_augment_draws_each_operation_as_often(squares):
    tables = rand_augment_tables(8, 8, squares.device)
    image, number = squares[:1], 4000
    results = {}
    for row in range(2 * len(RAND_AUGMENT)):
        changed = apply_operations(image.clone(), tables, torch.tensor([row]), fill=128)
        results.setdefault(changed.numpy().tobytes(), []).append(row)
    torch.manual_seed(0)
    drawn = BatchRandAugment(num_ops=1)(image.float().repeat(number, 1, 1, 1)).byte()
    counts = Counter(x.numpy().tobytes() for x in drawn)
    assert counts.keys() == results.keys()
    for key, rows in results.items():
        expected = number * len(rows) / (2 * len(RAND_AUGMENT))
        assert abs(counts[key] - expected) < 5 * expected**0.5
