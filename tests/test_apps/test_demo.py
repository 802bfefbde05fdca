import json
import re
import urllib.request

import gradio
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from PIL import Image
from torch.nn.functional import interpolate

from ecl.apis import Predictor
from ecl.apps.demo import expert_maps, network_input, overlay, serve
from ecl.datasets import Digits
from ecl.errors import UserError


@pytest.fixture(scope='module')
def checkpoint(digits_run):
    return digits_run / 'epoch_3.pth'


@pytest.fixture(scope='module')
def page(checkpoint):
    served = serve(checkpoint)
    yield served
    served.close()


@pytest.fixture(scope='module')
def client(page, tmp_path_factory):
    return Client(page.local_url, verbose=False, download_files=str(tmp_path_factory.mktemp('got')))


@pytest.fixture
def digit(tmp_path):
    path = tmp_path / 'digit.png'
    Image.fromarray(Digits(split='test')[3]['img']).save(path)
    return path


def _names(answer):
    return [guess['label'] for guess in answer['confidences']]


def test_top_classes_are_those_of_the_predictor_with_their_shot_groups(client, checkpoint, digit):
    *answers, _, _, _ = client.predict(handle_file(digit), 3, -1, api_name='/look')
    predictor = Predictor(checkpoint, device='cpu')
    (prediction,) = predictor([digit])
    for expert, answer in zip((None, 0, 1, 2), answers, strict=True):
        guesses = predictor.top(prediction, k=3, expert=expert)
        counts = [predictor.class_counts[guess.label] for guess in guesses]
        assert _names(answer) == [
            f'{guess.name} ({guess.shot_group}, {count})'
            for guess, count in zip(guesses, counts, strict=True)
        ]
        scores = [guess['confidence'] for guess in answer['confidences']]
        assert scores == pytest.approx([guess.score for guess in guesses], abs=1e-4)


def test_pictures_explain_the_class_that_was_chosen(client, digit):
    shown = {}
    for label in (2, 6):
        pictures = client.predict(handle_file(digit), 3, label, api_name='/look')[-3:]
        assert [picture['label'] for picture in pictures] == [f'Grad-CAM: {label}'] * 3
        shown[label] = [np.asarray(Image.open(picture['value'])) for picture in pictures]
    assert shown[2][0].shape == (224, 224, 3)
    assert any(not np.array_equal(a, b) for a, b in zip(shown[2], shown[6], strict=True))


def test_a_file_is_read_as_everywhere_else(client, checkpoint, tmp_path):
    deep = Digits(split='test')[3]['img'][..., 0].astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / 'deep.png')
    answer = client.predict(handle_file(tmp_path / 'deep.png'), 1, -1, api_name='/look')[0]
    (prediction,) = Predictor(checkpoint, device='cpu')([tmp_path / 'deep.png'])
    assert answer['confidences'][0]['confidence'] == pytest.approx(
        prediction.scores.max(), abs=1e-4
    )


def test_a_damaged_file_is_told(client, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(gradio, 'Warning', told.append)
    noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / 'a.png')
    (tmp_path / 'cut.png').write_bytes((tmp_path / 'a.png').read_bytes()[:9000])
    assert not any(client.predict(handle_file(tmp_path / 'cut.png'), 1, -1, api_name='/look'))
    (message,) = told
    assert message.startswith('This file cannot be used: it is damaged: ')


def test_without_an_image_the_page_is_empty(client):
    answers = client.predict(None, 3, -1, api_name='/look')
    assert not any(answers)


def test_it_is_served_to_this_machine_and_fetches_nothing(page):
    assert page.local_url.startswith('http://127.0.0.1:')
    assert page.share_url is None
    with urllib.request.urlopen(page.local_url) as answer:
        text = answer.read().decode()
    fetched = re.findall(
        r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(https?:)?//([^"/]+)', text
    )
    assert fetched == []
    assert 'fonts.googleapis' not in text
    with urllib.request.urlopen(f'{page.local_url}config') as answer:
        config = json.load(answer)
    assert config['analytics_enabled'] is False
    assert not [sheet for sheet in config['stylesheets'] if '//' in sheet]


@pytest.mark.parametrize('port', [0, -1, 99999])
def test_a_port_that_does_not_exist_is_told(port):
    with pytest.raises(UserError, match=f'--port: got {port}, expected a number from 1 to 65535'):
        serve('any.pth', port)


def test_a_taken_port_is_told(page, checkpoint):
    with pytest.raises(UserError, match=f'port {page.server_port} is taken'):
        serve(checkpoint, page.server_port)


@pytest.fixture(scope='module')
def predictor(digits_run):
    return Predictor(digits_run / 'epoch_3.pth', device='cpu')


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)


@pytest.fixture
def prepared(predictor, pixels):
    return predictor.prepare(pixels)


@pytest.mark.parametrize('label', [0, 7])
def test_maps_are_those_of_the_formula(predictor, prepared, label):
    model = predictor.model
    inputs = model.data_preprocessor({'inputs': prepared['inputs'][None]})['inputs']
    feature_maps = [m.detach().requires_grad_() for m in model.backbone(inputs)]
    logit = model.head(model.neck(tuple(feature_maps)))[0, label]
    gradients = torch.autograd.grad(logit, feature_maps)
    found = expert_maps(predictor, prepared, label)
    assert found.shape == (3, 8, 8)
    for own, values, gradient in zip(found, feature_maps, gradients, strict=True):
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        heat = (weights * values).sum(dim=1, keepdim=True).relu()
        heat = interpolate(heat, (8, 8), mode='bilinear')[0, 0].detach().numpy()
        assert own == pytest.approx(heat / max(heat.max(), 1e-12), abs=1e-4)


def test_a_model_without_maps_gets_dark_pictures(predictor, prepared, monkeypatch):
    class Vectors(torch.nn.Module):
        def forward(self, x):
            return (x.flatten(1)[:, :64] * 2,)

    monkeypatch.setattr(predictor.model, 'backbone', Vectors())
    monkeypatch.setattr(predictor.model, 'neck', torch.nn.Identity())
    monkeypatch.setattr(
        predictor.model.head,
        'forward',
        lambda feats: predictor.model.head.label_classifiers[0](feats[0]),
    )
    assert not expert_maps(predictor, prepared, 0).any()


def test_the_shown_image_is_what_the_network_gets(predictor, prepared, pixels):
    assert np.array_equal(network_input(predictor, prepared), pixels)


def test_the_overlay_is_enlarged_and_brightest_where_the_map_is():
    heat = np.zeros((8, 10))
    heat[2, 3] = 1
    picture = overlay(np.full((8, 10, 3), 90, np.uint8), heat)
    assert picture.size == (280, 224)
    brightness = np.asarray(picture.convert('L'))
    assert np.unravel_index(brightness.argmax(), brightness.shape) == (2 * 28, 3 * 28)
