"""The configs of the public benchmarks name public lists, and the models fit them."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from ecl.datasets.protocol import PUBLIC_LISTS
from ecl.registry import TRANSFORMS

ROOT = Path(__file__).parents[2] / 'configs' / 'ecl'
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
INATURALIST = ([0.466, 0.471, 0.380], [0.195, 0.194, 0.192])


@pytest.mark.parametrize(
    ('name', 'images', 'statistics'),
    [
        ('ecl_r50_imagenet-lt', (115846, 20000, 50000), IMAGENET),
        ('ecl_x50_imagenet-lt', (115846, 20000, 50000), IMAGENET),
        ('ecl_r152_places-lt', (62500, 7300, 36500), IMAGENET),
        ('ecl_r50_inat18', (437513, 24426, 24426), INATURALIST),
    ],
)
def test_lists_classes_and_normalisation(name, images, statistics):
    cfg = Config.fromfile(ROOT / f'{name}.py')
    loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
    for loader, number in zip(loaders, images, strict=True):
        dataset = loader.dataset.get('dataset', loader.dataset)
        stem = Path(dataset.ann_file).stem
        known = {(entry.images, entry.classes) for entry in PUBLIC_LISTS if entry.name == stem}
        assert known == {(number, cfg.model.head.num_classes)}
    preprocessor = cfg.data_preprocessor
    assert preprocessor.to_rgb
    for given, wanted in zip((preprocessor.mean, preprocessor.std), statistics, strict=True):
        assert np.allclose(np.divide(given, 255), wanted, atol=1e-4)


@pytest.mark.parametrize('method', ['ride', 'sade', 'balpoe'])
def test_only_imagenet_is_jittered_by_methods_of_one_view(method):
    steps = {}
    for name in ('x50_imagenet-lt', 'r50_inat18'):
        cfg = Config.fromfile(ROOT.parent / method / f'{method}_{name}.py')
        pipeline = cfg.train_dataloader.dataset.dataset.pipeline
        steps[name] = [step.type for step in pipeline]
    assert steps['r50_inat18'] == ['LoadImage', 'RandomResizedCrop', 'RandomFlip', 'PackInputs']
    assert 'ColorJitter' in steps['x50_imagenet-lt']


def test_a_rotation_fills_the_corners_with_one_shade():
    cfg = Config.fromfile(ROOT.parent / '_base_/datasets/imagenet_lt.py')
    (rotation,) = (step for step in cfg.policies if step.type == 'Rotate')
    fill = rotation.pad_val
    with DefaultScope.overwrite_default_scope('ecl'):
        transform = TRANSFORMS.build(dict(type='Rotate', angle=30, prob=1.0, pad_val=fill))
    corner = transform(dict(img=np.full((32, 32, 3), 200, np.uint8)))['img'][0, 0]
    assert len(set(corner.tolist())) == 1
