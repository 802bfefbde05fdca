import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain import ImageClassificationInferencer
from PIL import Image

from ecl.apis import Predictor, collect_predictions, load_model
from ecl.apis.models import array_pipeline, build_pipeline
from ecl.checkpoint_file import load_checkpoint
from ecl.datasets import Digits
from ecl.errors import UserError

STEPS = [dict(type='LoadImage'), dict(type='PackInputs')]


@pytest.fixture(scope='module')
def predictor(digits_run):
    return Predictor(digits_run / 'epoch_3.pth', device='cpu')


@pytest.fixture(scope='module')
def digits():
    return Digits(split='test')


def test_a_checkpoint_alone_repeats_the_accuracy_of_its_training(predictor, digits, digits_run):
    predictions = predictor([digits[i]['img'] for i in range(len(digits))], batch_size=128)
    labels = digits.get_gt_labels()
    metrics = json.loads((digits_run / 'results.json').read_text())['metrics']
    guessed = np.array([prediction.scores.argmax() for prediction in predictions])
    assert 100 * (guessed == labels).mean() == pytest.approx(metrics['shot/overall'])
    experts = np.stack([prediction.expert_scores for prediction in predictions])
    for k in range(3):
        right = experts[:, k].argmax(axis=1) == labels
        assert 100 * right.mean() == pytest.approx(metrics[f'shot/expert{k}/overall'])


def test_the_checkpoint_tells_classes_counts_and_groups(predictor):
    assert predictor.classes == list('0123456789')
    assert predictor.class_counts[0] == 120
    assert predictor.shot_groups == ['many'] + ['medium'] * 4 + ['few'] * 5
    assert predictor.num_experts == 3


def test_a_file_a_pil_image_and_an_array_are_the_same(predictor, digits, tmp_path):
    array = digits[5]['img']
    image = Image.fromarray(array)
    image.save(tmp_path / 'a.png')
    grey = array[..., 0]
    given = [array, image, tmp_path / 'a.png', str(tmp_path / 'a.png'), grey, image.convert('RGBA')]
    scores = np.stack([prediction.scores for prediction in predictor(given)])
    assert np.array_equal(scores, np.broadcast_to(scores[0], scores.shape))
    assert scores[0].sum() == pytest.approx(1, abs=1e-5)


def test_transparent_parts_of_files_images_and_arrays_are_white(predictor, digits, tmp_path):
    pixels = np.dstack([digits[5]['img'], np.full((8, 8), 255, np.uint8)])
    white = pixels[..., :3].copy()
    pixels[:3] = (0, 0, 0, 0)
    white[:3] = 255
    image = Image.fromarray(pixels)
    image.save(tmp_path / 'a.png')
    given = [tmp_path / 'a.png', image, pixels, white]
    scores = np.stack([prediction.scores for prediction in predictor(given)])
    assert np.array_equal(scores, np.broadcast_to(scores[3], scores.shape))


def test_a_turned_or_16_bit_image_is_read_from_pil_as_from_its_file(predictor, digits, tmp_path):
    pixels = digits[5]['img'][..., 0]
    turned = Image.Exif()
    turned[0x0112] = 6  # to be shown turned by a quarter
    Image.fromarray(pixels).save(tmp_path / 'turned.png', exif=turned)
    Image.fromarray(pixels.astype(np.uint16) * 257).save(tmp_path / 'deep.png')
    scores = {}
    for name in ('turned.png', 'deep.png'):
        with Image.open(tmp_path / name) as image:
            from_file, from_pil = predictor([tmp_path / name, image])
        assert np.array_equal(from_file.scores, from_pil.scores)
        scores[name] = from_file.scores
    upright, quarter = predictor([pixels, np.rot90(pixels, -1)])
    assert np.array_equal(scores['deep.png'], upright.scores)
    assert np.array_equal(scores['turned.png'], quarter.scores)


@pytest.mark.parametrize(
    ('images', 'message'),
    [
        ('a.png', r'write \[image\] for a single one'),
        (Image.new('L', (8, 8)), r'write \[image\] for a single one'),
        (np.zeros((8, 8, 3), np.uint8), r'write \[image\] for a single one'),
        ([np.zeros((8, 8, 3))], r'uint8, .* not float64 \(8, 8, 3\)'),
        ([np.zeros((3, 8, 8), np.uint8)], r'not uint8 \(3, 8, 8\)'),
        (np.zeros((8, 8), np.uint8), r'write \[image\] for a single one'),
        (np.zeros((2, 8, 8, 3)), r'uint8, .* not float64 \(8, 8, 3\)'),
        ([torch.zeros(8, 8, 3)], 'got Tensor, expected a file'),
        ([None], 'got NoneType, expected a file'),
        ([Image.new('L', (0, 5))], r'size \(0, 5\)'),
        ([Image.fromarray(np.ones((8, 8), np.float32))], "mode 'F'"),
        ([Image.fromarray(np.ones((8, 8), np.int32))], "mode 'I'"),
    ],
)
def test_what_is_no_list_of_images_is_told(predictor, images, message):
    with pytest.raises(UserError, match=message):
        predictor(images)


def test_generators_stacks_of_grey_images_and_arrays_of_paths_are_lists(
    predictor, digits, tmp_path
):
    grey = np.stack([digits[i]['img'][..., 0] for i in range(3)])
    paths = [str(tmp_path / f'{i}.png') for i in range(3)]
    for image, path in zip(grey, paths, strict=True):
        Image.fromarray(image).save(path)
    expected = [prediction.scores for prediction in predictor(list(grey))]
    for images in (grey, (image for image in grey), np.array(paths), np.array(paths, object)):
        found = [prediction.scores for prediction in predictor(images, batch_size=2)]
        assert np.allclose(found, expected, atol=1e-6)


def test_settings_that_would_change_nothing_are_refused(digits_run, predictor, digits):
    with pytest.raises(UserError, match='adjust tau-norm: got no strength'):
        Predictor(digits_run, 'cpu', adjust='tau-norm')
    for size in (0, -1):
        with pytest.raises(UserError, match=f'batch_size: got {size}'):
            predictor([digits[0]['img']], batch_size=size)


def test_a_work_dir_means_its_checkpoint(digits_run, predictor, digits):
    (found,) = Predictor(digits_run, 'cpu')([digits[0]['img']])
    (expected,) = predictor([digits[0]['img']])
    assert np.array_equal(found.scores, expected.scores)


def test_the_best_classes_come_first(predictor, digits):
    (prediction,) = predictor([digits[0]['img']])
    guesses = predictor.top(prediction, k=10)
    assert [guess.score for guess in guesses] == sorted(prediction.scores.tolist(), reverse=True)
    assert guesses[0].label == prediction.scores.argmax()
    assert guesses[0].shot_group == predictor.shot_groups[guesses[0].label]
    (of_expert,) = predictor.top(prediction, k=1, expert=2)
    assert of_expert.score == pytest.approx(prediction.expert_scores[2].max())
    with pytest.raises(UserError, match='no expert 3: the model has 3'):
        predictor.top(prediction, expert=3)


def test_a_file_that_is_no_image_is_named(predictor, tmp_path):
    (tmp_path / 'a.jpg').write_bytes(b'no')
    with pytest.raises(UserError, match=r'a\.jpg: it is not an image'):
        predictor([tmp_path / 'a.jpg'])


def _colour_config(steps, **preprocessor):
    train = dict(dataset=dict(pipeline=[dict(type='RandomCrop', crop_size=12)]))
    return Config(
        dict(
            model=dict(type='ECLClassifier'),
            data_preprocessor=preprocessor,
            train_dataloader=train,
            test_dataloader=dict(dataset=dict(dataset=dict(pipeline=steps))),
        )
    )


@pytest.mark.parametrize(
    ('steps', 'to_rgb', 'first'),
    [
        (STEPS, True, 30),  # BGR goes on, the preprocessor turns it
        (STEPS[1:], False, 10),  # arrays of the dataset in RGB stay so
        (STEPS[1:], True, 30),
    ],
)
def test_colours_arrive_in_the_order_of_the_training(steps, to_rgb, first):
    pipeline = array_pipeline(_colour_config(steps, to_rgb=to_rgb), 'x.pth')
    image = np.full((40, 20, 3), (30, 20, 10), dtype=np.uint8)  # BGR
    inputs = build_pipeline(pipeline)({'img': image})['inputs']
    assert inputs.shape == (3, 12, 12)
    assert inputs[:, 0, 0].tolist() == [first, 20, 40 - first]


def test_a_pipeline_that_fixes_the_size_stays_as_it_is():
    resize = dict(type='Resize', scale=24)
    pipeline = array_pipeline(_colour_config([STEPS[0], resize, STEPS[1]], to_rgb=True), 'x.pth')
    assert [step['type'] for step in pipeline] == ['Resize', 'PackInputs']


def test_views_of_whole_batches_give_the_size_too():
    crop = dict(type='BatchRandomCrop', crop_size=12, padding=4)
    cfg = _colour_config(STEPS, to_rgb=True, views=[[crop]])
    cfg.train_dataloader = None
    image = np.zeros((40, 20, 3), dtype=np.uint8)
    assert build_pipeline(array_pipeline(cfg, 'x.pth'))({'img': image})['inputs'].shape[1:] == (
        12,
        12,
    )


def test_an_unknown_size_is_told():
    cfg = _colour_config(STEPS, to_rgb=True)
    cfg.train_dataloader = None
    with pytest.raises(UserError, match=r'x\.pth: .* gives the size of an image'):
        array_pipeline(cfg, 'x.pth')


def test_the_inferencer_of_mmpretrain_works(predictor, digits, digits_run, tmp_path):
    Image.fromarray(digits[3]['img']).save(tmp_path / 'a.png')
    inferencer = ImageClassificationInferencer(load_model(digits_run / 'epoch_3.pth', 'cpu'))
    (found,) = inferencer(str(tmp_path / 'a.png'))
    (own,) = predictor([tmp_path / 'a.png'])
    np.testing.assert_allclose(found['pred_scores'], own.scores, atol=1e-6)
    assert found['pred_class'] == predictor.classes[own.scores.argmax()]


def test_all_test_images_are_predicted(digits_run, digits):
    predictions = collect_predictions(digits_run / 'epoch_3.pth', device='cpu')
    assert np.array_equal(predictions.labels, digits.get_gt_labels())
    metrics = json.loads((digits_run / 'results.json').read_text())['metrics']
    assert 100 * predictions.right[0].mean() == pytest.approx(metrics['shot/overall'])
    assert 100 * predictions.right[3].mean() == pytest.approx(metrics['shot/expert2/overall'])
    for option in ('test_dataloder.dataset.indices', 'test_dataloader.dataset.indics'):
        with pytest.raises(UserError, match=r'unknown key|indics'):
            collect_predictions(digits_run / 'epoch_3.pth', {option: 5}, device='cpu')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: c.pop('meta'), 'holds no configuration'),
        (lambda c: c['meta'].update(cfg='import os'), 'more than plain values'),
        (lambda c: c['meta'].update(cfg='a = 1'), 'has no model'),
        (
            lambda c: c['meta'].update(
                cfg=c['meta']['cfg']
                .replace('LongTail', '')
                .replace("type='ECLHead'", "type='os.system'")
            ),
            "model.head.type 'os.system' is not registered",
        ),
        (lambda c: c['state_dict'].popitem(), 'another model'),
    ],
)
def test_a_checkpoint_that_does_not_suit_is_named(digits_run, tmp_path, change, message):
    content = load_checkpoint(digits_run / 'epoch_3.pth')
    content['state_dict'] = {
        key: value for key, value in content['state_dict'].items() if 'contrast' not in key
    }
    change(content)
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(UserError, match=rf'a\.pth.* {message}'):
        Predictor(tmp_path / 'a.pth')
