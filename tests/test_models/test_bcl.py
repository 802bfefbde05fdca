import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ecl.errors import UserError
from ecl.models import BalancedContrast, ExpertOutputs
from ecl.models.bcl import balanced_contrastive_loss

K, N, C, D = 2, 5, 4, 6


def units(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def reference(features, prototypes, labels, temperature):
    """The loss class by class in float64."""
    terms = []
    for k in range(len(features)):
        for i, label in enumerate(labels):
            z = features[k, i]
            own, denominator = [], 0.0
            for c in range(prototypes.shape[1]):
                members = [features[k, j] for j, y in enumerate(labels) if y == c and j != i]
                members.append(prototypes[k, c])
                similarities = [z @ member / temperature for member in members]
                denominator += np.mean(np.exp(similarities))
                if c == label:
                    own = similarities
            terms.append(np.mean([np.log(denominator) - s for s in own]))
    return np.mean(terms)


@pytest.mark.parametrize('temperature', [0.07, 1.0])
@pytest.mark.parametrize('labels', [[0, 0, 0, 1, 3], [2] * 5, [0, 1, 2, 3, 0]])
def test_it_is_the_formula_of_the_paper(labels, temperature):
    features, prototypes = units(K, N, D), units(K, C, D, seed=1)
    value = balanced_contrastive_loss(features, prototypes, torch.tensor(labels), temperature)
    expected = reference(features.numpy(), prototypes.numpy(), labels, temperature)
    assert value.item() == pytest.approx(expected, rel=1e-9)


def test_at_infinite_temperature_every_class_counts_alike():
    features, prototypes = units(K, N, D), units(K, C, D, seed=1)
    value = balanced_contrastive_loss(features, prototypes, torch.tensor([0, 0, 0, 0, 1]), 1e9)
    assert value.item() == pytest.approx(math.log(C), rel=1e-6)


def test_a_class_counts_the_same_however_many_images_it_has():
    own, prototypes = units(1, 2, D), units(1, 2, D, seed=1)
    rare = prototypes[:, 1:]  # all members of class 1 are the same vector

    def total(repeats):
        features = torch.cat([own, rare.expand(1, repeats, D)], dim=1)
        labels = torch.tensor([0, 0, *[1] * repeats])
        return balanced_contrastive_loss(features, prototypes, labels, 0.1) * len(labels)

    # Each further image adds its own term and changes no other.
    added = [total(n + 1) - total(n) for n in (1, 2, 7)]
    torch.testing.assert_close(added[0], added[1])
    torch.testing.assert_close(added[0], added[2])


def build(num_experts=K, **options):
    torch.manual_seed(0)
    encoder = Encoder(num_experts)
    classifiers = nn.ModuleList(nn.Linear(D, C) for _ in range(num_experts))
    neck = dict(type='ContrastiveNeck', hid_channels=8, out_channels=7)
    contrast = BalancedContrast(encoder, classifiers, D, num_experts, neck=neck, **options)
    return encoder, classifiers, contrast


class Encoder(nn.Module):
    """K linear maps of the pixels."""

    def __init__(self, num_experts):
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(12, D) for _ in range(num_experts))

    def forward(self, images):
        return tuple(each(images.flatten(1)) for each in self.maps)


def call(contrast, views, labels, num_experts=K):
    outputs = ExpertOutputs((), torch.zeros(num_experts, N, C))
    return contrast(outputs, labels, views)


@pytest.mark.parametrize('num_experts', [1, K])
def test_features_are_of_the_views_and_prototypes_of_the_classifier(num_experts):
    encoder, classifiers, contrast = build(num_experts, temperature=0.2, loss_weight=0.5)
    views, labels = list(torch.rand(2, N, 3, 2, 2)), torch.tensor([0, 1, 1, 3, 0])
    value = call(contrast, views, labels, num_experts)
    with torch.no_grad():
        both = [contrast.neck(encoder(view)) for view in views]
        weights = tuple(classifier.weight for classifier in classifiers)
        prototypes = contrast.prototype_neck(weights)
    features = torch.cat(both, dim=1).double().numpy()
    expected = reference(features, prototypes.double().numpy(), [*labels.tolist()] * 2, 0.2)
    assert value.item() == pytest.approx(0.5 * expected, rel=1e-5)


def test_the_gradient_reaches_classifier_and_encoder():
    encoder, classifiers, contrast = build()
    call(contrast, list(torch.rand(2, N, 3, 2, 2)), torch.zeros(N, dtype=torch.long)).backward()
    assert all(classifier.weight.grad.abs().sum() > 0 for classifier in classifiers)
    assert all(p.grad.abs().sum() > 0 for p in encoder.parameters())


@pytest.mark.parametrize('labels', [[0] * N, [0, 1, 2, 3, 0]])
def test_a_tiny_temperature_gives_a_finite_loss_and_gradient(labels):
    encoder, _, contrast = build(temperature=1e-3)
    value = call(contrast, list(torch.rand(2, N, 3, 2, 2)), torch.tensor(labels))
    value.backward()
    assert value.isfinite()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


def test_two_views_and_mixed_labels_are_refused():
    _, _, contrast = build()
    views = list(torch.rand(2, N, 3, 2, 2))
    with pytest.raises(UserError, match='three views'):
        call(contrast, views[:1], torch.zeros(N, dtype=torch.long))
    with pytest.raises(UserError, match='BalancedContrast'):
        call(contrast, views, torch.full((N, C), 1 / C))
