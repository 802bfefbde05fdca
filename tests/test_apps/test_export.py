import io
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from ecl.apis import Predictor
from ecl.apps.export import TOLERANCE, export, preprocessing_lines
from ecl.datasets import Digits
from ecl.errors import UserError


@pytest.fixture(scope='module')
def images():
    return np.stack([Digits(split='test')[i]['img'] for i in range(7)])


def _scores(digits_run, images, expert=None):
    predictions = Predictor(digits_run / 'epoch_3.pth', 'cpu')(images)
    if expert is None:
        return np.stack([prediction.scores for prediction in predictions])
    return np.stack([prediction.expert_scores[expert] for prediction in predictions])


def test_onnx_of_one_expert_takes_pixels(digits_run, images, tmp_path):
    out = tmp_path / 'a.onnx'
    exported = export(digits_run / 'epoch_3.pth', out, what='expert1', preprocess=True)
    assert exported.difference <= TOLERANCE
    session = onnxruntime.InferenceSession(out)
    (scores,) = session.run(None, {'images': images.transpose(0, 3, 1, 2)})
    np.testing.assert_allclose(scores, _scores(digits_run, images, expert=1), atol=1e-5)
    notes = session.get_modelmeta().custom_metadata_map
    assert json.loads(notes['classes']) == list('0123456789')
    assert json.loads(notes['preprocessing']) == exported.preprocessing
    assert exported.preprocessing == {
        'size': [8, 8],
        'channels': 'RGB',
        'dtype': 'uint8',
        'transforms': [
            dict(type='ResizeEdge', scale=8, edge='short', backend='pillow'),
            dict(type='CenterCrop', crop_size=8),
        ],
        'mean': pytest.approx(3 * [77.9]),
        'std': pytest.approx(3 * [95.9]),
        'normalised_in_file': True,
    }
    one, two = preprocessing_lines(exported.preprocessing)
    assert one == 'input: images (N, 3, 8, 8), uint8, RGB'
    assert 'CenterCrop(crop_size=8)' in two and two.endswith('in the file')
    weights = sum(int(np.prod(tensor.dims)) for tensor in onnx.load(out).graph.initializer)
    model = Predictor(digits_run / 'epoch_3.pth', 'cpu').model
    assert weights < sum(parameter.numel() for parameter in model.parameters()) / 2


def test_a_torch_program_of_the_ensemble_takes_normalised_images(digits_run, images, tmp_path):
    out = tmp_path / 'a.pt2'
    exported = export(digits_run, out)  # a work dir means its checkpoint
    assert exported.difference <= TOLERANCE
    extra = {'classes.json': '', 'preprocessing.json': ''}
    program = torch.export.load(io.BytesIO(out.read_bytes()), extra_files=extra)
    normalised = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 77.9) / 95.9
    scores = program.module()(normalised).detach().numpy()
    np.testing.assert_allclose(scores, _scores(digits_run, images), atol=1e-5)
    assert json.loads(extra['classes.json']) == list('0123456789')
    preprocessing = json.loads(extra['preprocessing.json'])
    assert preprocessing == exported.preprocessing
    assert (preprocessing['dtype'], preprocessing['normalised_in_file']) == ('float32', False)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(what='expert3'), '--what expert3: there are 3 experts'),
        (dict(what='all'), '--what all'),
        (dict(out='nowhere/a.onnx'), 'nowhere does not exist'),
        (dict(out='a.txt'), r"a\.txt: got the suffix '\.txt', expected \.onnx or \.pt2"),
        (dict(out='a'), "got the suffix ''"),
    ],
)
def test_mistakes(digits_run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        export(digits_run / 'epoch_3.pth', **{'out': 'a.onnx', **arguments})
    assert not list(tmp_path.iterdir())
