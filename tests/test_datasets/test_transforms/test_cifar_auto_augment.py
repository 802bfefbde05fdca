import numpy as np
import torch
from mmengine.registry import init_default_scope

from ecl.registry import TRANSFORMS


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
