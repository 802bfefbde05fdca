import cv2
import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from mmengine.registry import init_default_scope

from ecl.datasets import ImageFolder
from ecl.registry import TRANSFORMS

RESIZE = dict(type='Resize', scale=4, interpolation='area')


@TRANSFORMS.register_module()
class CountedLoad(BaseTransform):
    """Counts, by file, how often it reads."""

    reads: dict[str, int] = {}

    def transform(self, results):
        path = results['img_path']
        self.reads[path] = self.reads.get(path, 0) + 1
        return TRANSFORMS.build(dict(type='LoadImageFromFile'))(results)


@pytest.fixture
def root(tmp_path):
    init_default_scope('ecl')
    CountedLoad.reads.clear()
    (tmp_path / 'one').mkdir()
    for number in range(3):
        image = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / 'one' / f'{number}.png'), image)
    return str(tmp_path)


def test_every_image_is_read_once_and_looks_the_same(root):
    steps = [dict(type='CountedLoad'), RESIZE]
    cached = ImageFolder(root, pipeline=[dict(type='Cached', transforms=steps)])
    plain = ImageFolder(root, pipeline=steps)
    for _ in range(2):
        for index in (2, 0, 1):
            given, expected = cached[index], plain[index]
            np.testing.assert_array_equal(given.pop('img'), expected.pop('img'))
            assert given == expected
    assert list(CountedLoad.reads.values()) == [1 + 2] * 3


def test_later_transforms_write_into_copies(root):
    dataset = ImageFolder(
        root, pipeline=[dict(type='Cached', transforms=[dict(type='CountedLoad')])]
    )
    first = dataset[0]
    before = first['img'].copy()
    first['img'][:] = 0
    first['gt_label'] = 7
    second = dataset[0]
    np.testing.assert_array_equal(second['img'], before)
    second['img'][:] = 0
    np.testing.assert_array_equal(dataset[0]['img'], before)
    assert dataset[0]['gt_label'] == 0


def test_images_without_a_file_go_by_their_index():
    cached = TRANSFORMS.build(dict(type='Cached', transforms=[RESIZE]))
    images = [np.full((8, 8, 3), value, dtype=np.uint8) for value in (1, 2)]
    for _ in range(2):
        for index, image in enumerate(images):
            result = cached({'img': image, 'sample_idx': index, 'gt_label': index})
            assert result['img'].shape == (4, 4, 3)
            assert (result['img'] == index + 1).all()
            assert result['gt_label'] == index
