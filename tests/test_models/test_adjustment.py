import copy

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch import nn

from ecl.errors import UserError
from ecl.models import MultiViewDataPreprocessor
from ecl.models.adjustment import (
    ADJUSTMENTS,
    TAUS,
    _balanced_cross_entropy,
    adjust,
    choose_tau,
    first_view,
)
from ecl.registry import MODELS

COUNTS = [90, 27, 9, 3]


def build(num_experts=1, classifier='Linear', **head):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('ecl'):
        model = MODELS.build(
            dict(
                type='ECLClassifier',
                backbone=dict(
                    type='MultiExpertBackbone',
                    num_experts=num_experts,
                    backbone=dict(type='ResNetCIFAR', depth=8),
                ),
                head=dict(
                    type='ECLHead',
                    num_classes=4,
                    classifier=dict(type=classifier),
                    label_loss=dict(type='CrossEntropyLoss'),
                    **head,
                ),
            )
        ).eval()
    for module in model.head.modules():
        if isinstance(module, nn.Linear):
            module.weight.data *= torch.tensor([[4.0], [2.0], [1.0], [0.5]])
    return model


@pytest.fixture
def images():
    return torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def predict(model, images):
    with torch.inference_mode():
        return model.head(model.extract_feat(images)).numpy()


@pytest.mark.parametrize('num_experts', [1, 3])
@pytest.mark.parametrize('tau', [0.0, 0.7, 1.0, 1.9])
@pytest.mark.parametrize('method', ADJUSTMENTS)
def test_against_numpy(images, method, tau, num_experts):
    model = build(num_experts)
    with torch.inference_mode():
        feats = [feat.double().numpy() for feat in model.extract_feat(images)]
    expected = np.zeros((6, 4))
    for feat, layer in zip(feats, model.head.label_classifiers, strict=True):
        weight, bias = (value.detach().double().numpy() for value in (layer.weight, layer.bias))
        if method == 'tau-norm':
            norms = np.linalg.norm(weight, axis=1)
            weight = weight * (np.prod(norms) ** (1 / 4) / norms[:, None]) ** tau
        else:
            bias = bias - tau * np.log(np.array(COUNTS) / sum(COUNTS))
        expected += (feat @ weight.T + bias) / num_experts
    adjust(model, method, tau, COUNTS)
    np.testing.assert_allclose(predict(model, images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('method', ADJUSTMENTS)
def test_tau_zero_is_the_model_as_it_was(images, method):
    model = build(3)
    before = predict(model, images)
    adjust(model, method, 0.0, COUNTS)
    np.testing.assert_array_equal(predict(model, images), before)


def test_predictions_without_bias_are_those_of_the_paper(images):
    model = build()
    (layer,) = model.head.label_classifiers
    layer.bias.data.zero_()
    weight = layer.weight.detach().double()
    feat = model.extract_feat(images)[0].detach().double()
    published = (feat @ (weight / weight.norm(dim=1, keepdim=True) ** 1.3).T).numpy()
    adjust(model, 'tau-norm', 1.3, None)
    ours = predict(model, images)
    np.testing.assert_allclose(ours / published, (ours / published).mean(), rtol=1e-4)


def test_all_classifiers_of_a_reading_are_adjusted():
    model = build(2, reading='shared_labels')
    before = copy.deepcopy(model.head.state_dict())
    adjust(model, 'tau-norm', 1.0, COUNTS)
    changed = [k for k, v in model.head.state_dict().items() if not torch.equal(v, before[k])]
    assert len(changed) == 4
    for name in changed:
        norms = model.head.state_dict()[name].norm(dim=1)
        torch.testing.assert_close(norms, norms.mean().expand(4))


def test_a_classifier_without_bias_gets_one(images):
    model = build(classifier='CosineLinear')
    before = predict(model, images)
    adjust(model, 'logit-adjustment', 1.0, COUNTS)
    shift = -np.log(np.array(COUNTS) / sum(COUNTS))
    np.testing.assert_allclose(predict(model, images), before + shift, rtol=1e-5, atol=1e-5)


def test_a_head_of_mmpretrain_is_adjusted():
    with DefaultScope.overwrite_default_scope('ecl'):
        head = MODELS.build(dict(type='LinearClsHead', num_classes=4, in_channels=5))
    head.fc.weight.data = torch.diag(torch.tensor([8.0, 4.0, 2.0, 1.0])) @ torch.ones(4, 5)
    ADJUSTMENTS['tau-norm'](head, 1.0, None)
    torch.testing.assert_close(head.fc.weight.norm(dim=1), head.fc.weight[0].norm().expand(4))


def batches(model, labels, size=4):
    """Images that the model gets right without adjustment, or as ``labels`` says."""
    images = torch.randint(0, 256, (len(labels), 3, 16, 16), dtype=torch.uint8)
    for start in range(0, len(labels), size):
        samples = [DataSample().set_gt_label(int(c)) for c in labels[start : start + size]]
        yield dict(inputs=images[start : start + size], data_samples=samples)


@pytest.mark.parametrize('method', ADJUSTMENTS)
def test_the_choice_against_numpy(method):
    model = build(2)
    torch.manual_seed(2)
    labels = np.array([0] * 12 + [1] * 6 + [3] * 2)  # class 2 has no image
    found = list(batches(model, labels))
    choice = choose_tau(model, found, method, COUNTS, augment=False)
    assert choice.images == 20
    assert tuple(choice.losses) == TAUS
    images = torch.cat([model.data_preprocessor(b)['inputs'] for b in found])
    for tau in (0.0, 0.5, 2.0):
        adjusted = copy.deepcopy(model)
        adjust(adjusted, method, tau, COUNTS)
        logits = predict(adjusted, images).astype(np.float64)
        chosen = np.log(np.exp(logits).sum(1)) - logits[np.arange(20), labels]
        expected = np.mean([chosen[labels == c].mean() for c in (0, 1, 3)])
        assert choice.losses[tau] == pytest.approx(expected, rel=1e-5)
    assert choice.losses[choice.tau] == min(choice.losses.values())


class OnAppleGPU(torch.Tensor):
    """Stands for a tensor on a device without float64."""

    def double(self):
        raise TypeError('the device has no float64')

    def cpu(self):
        return self.as_subclass(torch.Tensor)


def test_the_loss_of_a_choice_needs_no_float64_on_the_device():
    logits, targets = torch.randn(6, 4), torch.tensor([0, 0, 0, 1, 1, 3])
    there = logits.as_subclass(OnAppleGPU), targets.as_subclass(OnAppleGPU)
    assert _balanced_cross_entropy(*there) == _balanced_cross_entropy(logits, targets)


def test_of_equally_good_strengths_the_smallest_is_chosen():
    model = build()
    (layer,) = model.head.label_classifiers
    layer.weight.data.zero_()  # no strength changes anything
    choice = choose_tau(model, batches(model, np.arange(4)), 'tau-norm', COUNTS, augment=False)
    assert choice.tau == 0
    assert np.isfinite(list(choice.losses.values())).all()


@pytest.mark.parametrize('augment', [True, False])
def test_the_choice_is_made_on_augmented_images_if_asked_for(augment):
    model = build()
    flip = [dict(type='BatchRandomFlip', prob=1.0)]
    model.data_preprocessor = MultiViewDataPreprocessor(views=[flip])
    found = list(batches(model, np.arange(4)))
    seen = [{**each, 'inputs': each['inputs'].flip(3)} for each in found] if augment else found
    choice = choose_tau(model, found, 'tau-norm', COUNTS, augment=augment)
    assert choice == choose_tau(build(), seen, 'tau-norm', COUNTS, augment=False)


def test_the_first_view_is_augmented_and_not_mixed():
    views = [[dict(type='BatchRandomFlip', prob=1.0)], [dict(type='BatchRandomCrop', crop_size=4)]]
    mixup = dict(augments=[dict(type='Mixup', alpha=1.0)])
    model = build()
    preprocessor = MultiViewDataPreprocessor(views=views, batch_augments=mixup, num_classes=4)
    model.data_preprocessor = preprocessor
    (batch,) = batches(model, np.arange(4))
    mixing = preprocessor.batch_augments
    images = batch['inputs'].float()
    assert torch.equal(first_view(model, batch, augment=True)['inputs'], images.flip(3))
    assert torch.equal(first_view(model, batch, augment=False)['inputs'], images)
    assert preprocessor.batch_augments is mixing  # the training goes on to mix


def test_the_choice_changes_nothing_in_the_model():
    model = build().train()
    before = copy.deepcopy(model.state_dict())
    choose_tau(model, batches(model, np.arange(4)), 'tau-norm', COUNTS, augment=True)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ('method', 'counts', 'classifier', 'match'),
    [
        ('tau-norm', COUNTS, 'CosineLinear', 'CosineLinear'),
        ('logit-adjustment', None, 'Linear', 'got None'),
        ('logit-adjustment', [3, 0, 1, 1], 'Linear', r'got \[3, 0, 1, 1\]'),
        ('tau', COUNTS, 'Linear', "got 'tau', expected tau-norm or logit-adjustment"),
    ],
)
def test_what_cannot_be_adjusted_is_refused(method, counts, classifier, match):
    with pytest.raises(UserError, match=match):
        adjust(build(classifier=classifier), method, 1.0, counts)


def test_a_head_without_linear_layers_is_refused():
    model = build()
    model.head.label_classifiers = nn.ModuleList([nn.Identity()])
    with pytest.raises(UserError, match='ECLHead'):
        adjust(model, 'tau-norm', 1.0, COUNTS)


@pytest.mark.parametrize('method', ADJUSTMENTS)
def test_other_layers_of_the_head_stay(method):
    model = build(3)
    model.head.router = nn.Linear(5, 4)  # as many outputs as classes
    before = copy.deepcopy(model.head.router.state_dict())
    adjust(model, method, 1.0, COUNTS)
    torch.testing.assert_close(model.head.router.state_dict(), before)


class Auxiliary(nn.Module):
    """Aggregator with a classifier of its own, and a router with as many outputs."""

    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.auxiliary = nn.Linear(in_channels, num_classes)
        self.classifiers = (self.auxiliary,)
        self.router = nn.Linear(in_channels, num_classes)

    def forward(self, outputs):
        return torch.stack([*outputs.logits, self.auxiliary(outputs.feats[0])]).mean(0)


@pytest.mark.parametrize('num_experts', [1, 3])
def test_the_classifiers_of_an_aggregator_are_adjusted_too(images, num_experts):
    model = build(num_experts, aggregator=dict(type=Auxiliary))
    before, router = (
        predict(model, images),
        copy.deepcopy(model.head.aggregator.router.state_dict()),
    )
    adjust(model, 'logit-adjustment', 1.0, COUNTS)
    shift = -np.log(np.array(COUNTS) / sum(COUNTS))
    np.testing.assert_allclose(predict(model, images), before + shift, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.head.aggregator.router.state_dict(), router)
    adjust(model, 'tau-norm', 1.0, COUNTS)
    norms = model.head.aggregator.auxiliary.weight.norm(dim=1)
    torch.testing.assert_close(norms, norms.mean().expand(4))


def test_a_classifier_of_an_aggregator_that_cannot_be_adjusted_is_refused():
    model = build(aggregator=dict(type=Auxiliary))
    model.head.aggregator.classifiers = (nn.Sequential(model.head.aggregator.auxiliary),)
    with pytest.raises(UserError, match='got ECLHead'):
        adjust(model, 'logit-adjustment', 1.0, COUNTS)


def test_scales_of_classes_are_refused_by_tau_norm():
    with pytest.raises(UserError, match='got ScaledLinear'):
        adjust(build(classifier='ScaledLinear'), 'tau-norm', 1.0, COUNTS)
