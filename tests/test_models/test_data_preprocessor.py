import pytest
import torch
from mmpretrain.structures import DataSample

from ecl.errors import UserError
from ecl.models import MultiViewDataPreprocessor

MEAN, STD = [10.0, 20.0, 30.0], [1.0, 2.0, 4.0]


def normalised(bgr):
    rgb = bgr.float().flip(1)
    return (rgb - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


@pytest.mark.parametrize('size', [1, 3, 5])
def test_every_view_is_turned_to_rgb_and_normalised_and_labels_stay_in_order(size):
    views = [torch.randint(0, 256, (size, 3, 4, 4), dtype=torch.uint8) for _ in range(2)]
    samples = [DataSample().set_gt_label(i) for i in range(size)]
    packed = MultiViewDataPreprocessor(MEAN, STD, to_rgb=True)(
        {'inputs': views, 'data_samples': samples}, training=True
    )
    for out, view in zip(packed['inputs'], views, strict=True):
        torch.testing.assert_close(out, normalised(view))
    assert [s.gt_label.item() for s in packed['data_samples']] == list(range(size))


def test_one_view_is_left_to_the_parent():
    preprocess = MultiViewDataPreprocessor(MEAN, STD, to_rgb=True)
    batch = torch.randint(0, 256, (3, 3, 4, 4), dtype=torch.uint8)
    torch.testing.assert_close(preprocess({'inputs': batch})['inputs'], normalised(batch))
    listed = preprocess({'inputs': list(batch)})['inputs']
    torch.testing.assert_close(listed, normalised(batch))


def test_views_collated_as_lists_of_images():
    preprocess = MultiViewDataPreprocessor(MEAN, STD, to_rgb=True)
    views = torch.randint(0, 256, (2, 3, 3, 4, 4), dtype=torch.uint8)
    out = preprocess({'inputs': [list(view) for view in views]})['inputs']
    for result, view in zip(out, views, strict=True):
        torch.testing.assert_close(result, normalised(view))


VIEWS = [[dict(type='BatchRandomFlip')], [dict(type='BatchRandomCrop', crop_size=4)]]


def _images() -> dict:
    samples = [DataSample().set_gt_label(label) for label in range(8)]
    return {
        'inputs': torch.randint(0, 256, (8, 3, 6, 6), dtype=torch.uint8),
        'data_samples': samples,
    }


def test_views_are_made_of_the_batch_in_training():
    preprocessor = MultiViewDataPreprocessor(views=VIEWS, mean=[10] * 3, std=[2] * 3)
    data = _images()
    packed = preprocessor(data, training=True)
    first, second = packed['inputs']
    plain = (data['inputs'].float() - 10) / 2
    same = (first == plain).flatten(1).all(1)
    assert torch.equal(first[~same], plain.flip(3)[~same])
    assert second.shape == (8, 3, 4, 4)
    assert [sample.gt_label.item() for sample in packed['data_samples']] == list(range(8))


def test_a_list_of_images_is_a_batch():
    # As MMEngine's pseudo_collate gives it.
    preprocessor = MultiViewDataPreprocessor(views=[[dict(type='BatchRandomFlip')]] * 2)
    batch = dict(inputs=[torch.rand(3, 4, 4) for _ in range(5)])
    views = preprocessor(batch, training=True)['inputs']
    assert [view.shape for view in views] == [(5, 3, 4, 4)] * 2


def test_each_view_of_the_pipeline_gets_its_own_transforms():
    preprocessor = MultiViewDataPreprocessor(views=VIEWS, mean=[10] * 3, std=[2] * 3)
    given = [torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8) for _ in VIEWS]
    torch.manual_seed(0)
    together = preprocessor({'inputs': given}, training=True)['inputs']
    torch.manual_seed(0)
    for view, transforms, result in zip(given, preprocessor.views, together, strict=True):
        changed = view.float()
        for transform in transforms:
            changed = transform(changed)
        assert torch.equal(result, (changed - 10) / 2)
    with pytest.raises(UserError, match=r'views: got 2 views, expected 3, one for each view'):
        preprocessor({'inputs': [*given, given[0]]}, training=True)


def test_the_first_view_alone_is_mixed():
    mixup = dict(augments=[dict(type='Mixup', alpha=1.0)])
    preprocessor = MultiViewDataPreprocessor(batch_augments=mixup, num_classes=8)
    data = _images()
    images = data['inputs'].float()
    packed = preprocessor({**data, 'inputs': [data['inputs']] * 2}, training=True)
    first, second = packed['inputs']
    assert torch.equal(second, images)
    shares = torch.stack([sample.gt_score for sample in packed['data_samples']])
    torch.testing.assert_close(first, torch.einsum('ij,jchw->ichw', shares, images))
    assert ((shares > 0).sum(1) == 2).any()


def test_views_repeat_with_the_seed():
    preprocessor, data = MultiViewDataPreprocessor(views=VIEWS), _images()
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(preprocessor(data, training=True)['inputs'][0])
    assert torch.equal(*results)


def test_evaluation_sees_the_images_as_they_are():
    data = _images()
    packed = MultiViewDataPreprocessor(views=VIEWS)(data, training=False)
    assert torch.equal(packed['inputs'], data['inputs'].float())


def test_views_of_bgr_images_are_refused():
    with pytest.raises(UserError, match='to_rgb=False'):
        MultiViewDataPreprocessor(views=VIEWS, to_rgb=True)


def test_mixed_precision_leaves_the_pixels_alone():
    blur = dict(type='BatchGaussianBlur', prob=1.0, magnitude_range=(1.0, 1.0))
    preprocessor, data = MultiViewDataPreprocessor(views=[[blur]]), _images()
    with torch.autocast('cpu', torch.bfloat16):
        mixed = preprocessor(data, training=True)['inputs']
    torch.testing.assert_close(mixed, preprocessor(data, training=True)['inputs'])
