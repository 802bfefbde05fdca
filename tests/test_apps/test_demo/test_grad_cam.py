import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from ecl.apis import Predictor
from ecl.apps.demo.grad_cam import expert_maps, network_input, overlay


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
