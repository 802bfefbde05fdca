import copy
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import init_default_scope
from PIL import Image
from torch.utils.data import DataLoader

from ecl.datasets import ImageFolder, ImageList, LongTailDataset
from ecl.datasets.transforms import LoadImage
from ecl.errors import UserError
from ecl.registry import TRANSFORMS

NOISE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def _bytes(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _bomb(side):
    def chunk(name, data):
        sums = struct.pack('>I', len(data)), struct.pack('>I', zlib.crc32(name + data))
        return sums[0] + name + data + sums[1]

    header = struct.pack('>IIBBBBB', side, side, 8, 0, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(b''))


RGB = Image.fromarray(NOISE)
WIDE = Image.fromarray(NOISE[..., 0].astype(np.uint16) * 256)


@pytest.mark.parametrize(
    ('content', 'expected', 'tolerance'),
    [
        (_bytes(RGB, 'PNG'), NOISE, 0),
        (_bytes(RGB.convert('P'), 'PNG'), RGB.convert('P').convert('RGB'), 0),
        (_bytes(WIDE, 'PNG'), NOISE[..., :1].repeat(3, axis=2), 1),
        (_bytes(RGB.convert('L'), 'PNG'), RGB.convert('L').convert('RGB'), 0),
        (
            _bytes(RGB.resize((8, 8)).resize((30, 20)).convert('CMYK'), 'JPEG', quality=100),
            RGB.resize((8, 8)).resize((30, 20)),
            40,
        ),
        (
            _bytes(RGB, 'WEBP', lossless=True, save_all=True, append_images=[RGB.rotate(90)]),
            NOISE,
            0,
        ),
    ],
    ids=['rgb', 'palette', '16-bit', 'grey', 'cmyk', 'animated'],
)
def test_every_kind_becomes_8_bit_colour_in_bgr(tmp_path, content, expected, tolerance):
    (tmp_path / 'a').write_bytes(content)
    results = LoadImage().transform({'img_path': str(tmp_path / 'a')})
    assert results['img'].dtype == np.uint8
    assert results['img_shape'] == results['ori_shape'] == (20, 30)
    difference = results['img'][..., ::-1].astype(int) - np.asarray(expected).astype(int)
    assert abs(difference).max() <= tolerance


@pytest.mark.parametrize(
    ('content', 'fault'),
    [
        (b'', 'the file is empty'),
        (b'<html>', 'it is not an image'),
        (_bytes(RGB, 'PNG')[:-500], r'it is damaged|OpenCV'),
        (_bomb(10_000), 'it has more than 89,478,485 pixels'),
        (_bomb(60_000), 'it has more than 89,478,485 pixels'),
        (None, 'the file is missing'),
    ],
    ids=['empty', 'no image', 'truncated', 'bomb', 'huge bomb', 'missing'],
)
@pytest.mark.filterwarnings('ignore')
def test_a_bad_file_stops_with_its_name_or_gives_nothing(tmp_path, content, fault):
    path = tmp_path / 'x y.png'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"x y\.png: ({fault}).*[.] .* bad='replace'"):
        LoadImage().transform({'img_path': str(path)})
    loader = LoadImage(bad='replace')
    assert loader.transform({'img_path': str(path)}) is None
    assert loader.replaced.value == 1


@pytest.fixture
def root(tmp_path):
    for number in range(12):
        (tmp_path / f'{number}.png').write_bytes(_bytes(Image.fromarray(NOISE + number), 'PNG'))
    (tmp_path / '3.png').write_bytes(b'')
    lines = ''.join(f'{number}.png {number // 6}\n' for number in range(12))
    (tmp_path / 'list.txt').write_text(lines)
    return tmp_path


def _dataset(root, bad):
    pipeline = [LoadImage(bad=bad)]
    return ImageList('list.txt', data_root=str(root), pipeline=pipeline)


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.filterwarnings('ignore')
def test_replaced_images_are_counted_over_workers_and_copies(root, workers):
    dataset = LongTailDataset(
        _dataset(root, 'replace'), imbalance_factor=1, max_per_class=5, subset='first'
    )
    listed = [dataset.get_data_info(i)['img_path'] for i in range(10)]
    assert f'{root}/3.png' in listed
    copied = copy.deepcopy(dataset)
    loader = DataLoader(copied, batch_size=5, num_workers=workers, collate_fn=list)
    seen = [item['img_path'] for batch in loader for item in batch]
    assert len(seen) == 10
    assert f'{root}/3.png' not in seen
    # What stands in belongs to the subset, and may be drawn bad once more.
    assert set(seen) <= set(listed)
    assert dataset.dataset.pipeline.transforms[0].replaced.value >= 1


def test_a_bad_file_in_a_worker_keeps_its_line(root):
    loader = DataLoader(_dataset(root, 'stop'), batch_size=4, num_workers=1, collate_fn=list)
    with pytest.raises(UserError, match=r'3\.png: the file is empty[.]'):
        list(loader)


def test_replacing_names_the_file(root):
    with pytest.warns(UserWarning, match=r'3\.png was replaced: the file is empty'):
        assert LoadImage(bad='replace').transform({'img_path': f'{root}/3.png'}) is None


def test_a_policy_that_is_none():
    with pytest.raises(UserError, match="bad: got 'skip', expected 'stop' or 'replace'"):
        LoadImage(bad='skip')


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
def class_folder(tmp_path):
    init_default_scope('ecl')
    CountedLoad.reads.clear()
    (tmp_path / 'one').mkdir()
    for number in range(3):
        image = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / 'one' / f'{number}.png'), image)
    return str(tmp_path)


def test_every_image_is_read_once_and_looks_the_same(class_folder):
    steps = [dict(type='CountedLoad'), RESIZE]
    cached = ImageFolder(class_folder, pipeline=[dict(type='Cached', transforms=steps)])
    plain = ImageFolder(class_folder, pipeline=steps)
    for _ in range(2):
        for index in (2, 0, 1):
            given, expected = cached[index], plain[index]
            np.testing.assert_array_equal(given.pop('img'), expected.pop('img'))
            assert given == expected
    assert list(CountedLoad.reads.values()) == [1 + 2] * 3


def test_later_transforms_write_into_copies(class_folder):
    dataset = ImageFolder(
        class_folder, pipeline=[dict(type='Cached', transforms=[dict(type='CountedLoad')])]
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


def _image():
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def test_keeps_the_form_and_follows_the_seed():
    augment = TRANSFORMS.build(dict(type='CIFARAutoAugment'))

    def run(seed):
        torch.manual_seed(seed)
        return augment({'img': _image(), 'gt_label': 3})

    results = [run(seed) for seed in range(30)]
    assert all(r['img'].shape == (32, 32, 3) and r['img'].dtype == np.uint8 for r in results)
    assert all(r['img'].flags.writeable and r['gt_label'] == 3 for r in results)
    changed = [not np.array_equal(r['img'], _image()) for r in results]
    assert sum(changed) > 15
    np.testing.assert_array_equal(run(4)['img'], results[4]['img'])


def test_uncovered_pixels_get_the_fill_value():
    torch.manual_seed(0)
    augment = TRANSFORMS.build(dict(type='CIFARAutoAugment', fill=77))
    white = np.full((32, 32, 3), 255, dtype=np.uint8)
    seen = {value for _ in range(60) for value in np.unique(augment({'img': white})['img'])}
    assert 77 in seen


def test_two_views_keep_the_label():
    init_default_scope('ecl')
    views = dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[
            [dict(type='RandomCrop', crop_size=32, padding=4), dict(type='CIFARAutoAugment')],
            [dict(type='RandomFlip', prob=1.0, direction='horizontal')],
        ],
    )
    results = TRANSFORMS.build(views)({'img': _image(), 'gt_label': 3})
    packed = TRANSFORMS.build(dict(type='PackInputs'))(results)
    assert [view.shape for view in packed['inputs']] == [(3, 32, 32)] * 2
    assert int(packed['data_samples'].gt_label) == 3
    flipped = torch.from_numpy(_image().copy()).permute(2, 0, 1).flip(-1)
    assert torch.equal(packed['inputs'][1], flipped)


@pytest.mark.filterwarnings('ignore')
def test_a_replaced_image_is_not_kept(root):
    steps = [dict(type='LoadImage', bad='replace'), RESIZE]
    dataset = ImageList(
        'list.txt', data_root=str(root), pipeline=[dict(type='Cached', transforms=steps)]
    )
    for _ in range(2):
        assert dataset[3]['img_path'] != f'{root}/3.png'
