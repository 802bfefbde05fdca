from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer

from ecl.engine import DrawPredictionsHook


@pytest.mark.parametrize('to_rgb', [True, False])
def test_every_image_has_a_file_in_its_colours(tmp_path, to_rgb):
    blue = torch.zeros(3, 300, 300, dtype=torch.uint8)
    blue[0 if to_rgb else 2] = 255  # to_rgb says that the data are in BGR
    names = ['owl/001.jpg', 'bat/001.jpg', None]
    samples = [DataSample().set_gt_label(1).set_pred_label(0) for _ in names]
    for sample, name in zip(samples, names, strict=True):
        if name:
            sample.set_metainfo({'img_path': name})
    for rank in (0, 1):
        hook = DrawPredictionsHook(str(tmp_path))
        runner = SimpleNamespace(
            model=SimpleNamespace(data_preprocessor=SimpleNamespace(to_rgb=to_rgb)),
            visualizer=UniversalVisualizer(),
            world_size=2,
            rank=rank,
        )
        hook.after_test_iter(runner, 0, {'inputs': [blue, blue]}, samples[:2])
        hook.after_test_iter(runner, 1, {'inputs': [blue]}, samples[2:])
    files = ['000000_001', '000001_001', '000002_001', '000003_001', '000004', '000005']
    assert sorted(path.stem for path in tmp_path.iterdir()) == files
    pixels = cv2.imread(str(tmp_path / '000000_001.png'))[-1, -1]
    np.testing.assert_array_equal(pixels, [255, 0, 0])


@pytest.mark.parametrize('collated', [torch.stack, list])
def test_of_several_views_the_first_is_drawn(tmp_path, collated):
    """As of test-time augmentation, whatever collates the batch."""
    red, black = torch.zeros(2, 3, 300, 300, dtype=torch.uint8)
    red[0] = 255
    samples = [DataSample().set_gt_label(1).set_pred_label(0) for _ in range(3)]
    runner = SimpleNamespace(
        model=SimpleNamespace(data_preprocessor=SimpleNamespace(to_rgb=False)),
        visualizer=UniversalVisualizer(),
        world_size=1,
        rank=0,
    )
    views = [collated([image] * 3) for image in (red, black)]
    DrawPredictionsHook(str(tmp_path)).after_test_iter(runner, 0, {'inputs': views}, samples)
    assert len(list(tmp_path.iterdir())) == 3
    pixels = cv2.imread(str(tmp_path / '000000.png'))[-1, -1]
    np.testing.assert_array_equal(pixels, [0, 0, 255])


@pytest.mark.parametrize(('side', 'drawn'), [((8, 8), (256, 256)), ((32, 48), (256, 384))])
def test_a_small_image_is_enlarged_until_words_on_it_are_legible(tmp_path, side, drawn):
    runner = SimpleNamespace(
        model=SimpleNamespace(data_preprocessor=SimpleNamespace(to_rgb=False)),
        visualizer=UniversalVisualizer(),
        world_size=1,
        rank=0,
    )
    image = torch.zeros(3, *side, dtype=torch.uint8)
    image[0, -1, -1] = 255
    sample = DataSample().set_gt_label(1).set_pred_label(0)
    DrawPredictionsHook(str(tmp_path)).after_test_iter(runner, 0, {'inputs': [image]}, [sample])
    pixels = cv2.imread(str(tmp_path / '000000.png'))
    assert pixels.shape[:2] == drawn
    square = drawn[0] // side[0]
    assert (pixels[-square:, -square:] == [0, 0, 255]).all()
