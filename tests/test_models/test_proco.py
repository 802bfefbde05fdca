import math

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ecl.errors import UserError
from ecl.models import BalancedSoftmaxLoss, ExpertOutputs, ProbabilisticContrast
from ecl.models.proco import MAX_CONCENTRATION, concentration, expected_logits

K, N, C, D, DIM = 2, 6, 3, 5, 16
COUNTS = [6, 4, 2]
mpmath.mp.dps = 40


def log_normaliser(kappa, dimension):
    """Log of I_v(kappa) / kappa ** v, v = dimension / 2 - 1, in 40 digits."""
    order = mpmath.mpf(dimension) / 2 - 1
    if kappa == 0:
        return -order * mpmath.log(2) - mpmath.loggamma(order + 1)
    return mpmath.log(mpmath.besseli(order, kappa)) - order * mpmath.log(kappa)


def reference_logit(cosine, kappa, temperature, dimension):
    cosine, kappa, inverse = mpmath.mpf(cosine), mpmath.mpf(kappa), 1 / mpmath.mpf(temperature)
    new = mpmath.sqrt(max(kappa**2 + 2 * kappa * cosine * inverse + inverse**2, 0))
    return float(log_normaliser(new, dimension) - log_normaliser(kappa, dimension))


@pytest.mark.parametrize('dimension', [16, 64, 128, 1024])
@pytest.mark.parametrize('temperature', [0.07, 0.1, 1.0])
def test_logits_are_those_of_the_exact_bessel_function(dimension, temperature):
    kappas, cosines = [0, 0.5, 10, 300, 1e5], [-1, -0.3, 0, 0.9, 1]
    value = expected_logits(
        torch.tensor(cosines, dtype=torch.float32)[:, None].expand(-1, len(kappas)),
        torch.tensor(kappas, dtype=torch.float32)[None],
        temperature,
        dimension,
    )
    expected = [
        [reference_logit(c, kappa, temperature, dimension) for kappa in kappas] for c in cosines
    ]
    np.testing.assert_allclose(value.numpy(), expected, rtol=2e-5, atol=1e-4)


def test_it_is_the_expectation_over_samples_of_the_distribution():
    # In 3 + 13 dimensions: samples by rejection would be slow, so take a mixture of directions
    # with weights exp(kappa * cosine), which is the density on uniform samples of the sphere.
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(400_000, DIM))
    samples /= np.linalg.norm(samples, axis=1, keepdims=True)
    kappa, temperature = 4.0, 0.5
    mean, feature = np.eye(DIM)[0], np.array([0.6, 0.8, *[0] * (DIM - 2)])
    density = np.exp(kappa * samples @ mean)
    expected = np.log((density * np.exp(samples @ feature / temperature)).sum() / density.sum())
    value = expected_logits(torch.tensor([[0.6]]), torch.tensor([[kappa]]), temperature, DIM)
    assert value.item() == pytest.approx(expected, abs=0.01)


def test_a_class_of_one_point_is_its_prototype():
    cosines = torch.linspace(-1, 1, 9)[:, None]
    value = expected_logits(cosines, torch.tensor([[MAX_CONCENTRATION]]), 0.1, DIM)
    torch.testing.assert_close(value, cosines / 0.1, rtol=1e-3, atol=1e-2)


def test_concentration_has_its_limits():
    # The last length is above 1 by rounding.
    value = concentration(torch.tensor([0.0, 0.5, 1 - 1e-7, 1.0, 1 + 1e-6]), DIM)
    assert value[0] == 0
    assert value[1].item() == pytest.approx(0.5 * (DIM - 0.25) / 0.75)
    assert (value[2:] == MAX_CONCENTRATION).all()


class Encoder(nn.Module):
    """K linear maps of the pixels."""

    def __init__(self, num_experts):
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(12, D) for _ in range(num_experts))

    def forward(self, images):
        return tuple(each(images.flatten(1)) for each in self.maps)


def build(num_experts=K, **options):
    torch.manual_seed(0)
    encoder = Encoder(num_experts)
    neck = dict(type='ContrastiveNeck', hid_channels=8, out_channels=DIM)
    contrast = ProbabilisticContrast(encoder, D, num_experts, C, neck=neck, **options)
    contrast.set_class_counts(COUNTS)
    return encoder, contrast


def call(contrast, views, labels, num_experts=K):
    outputs = ExpertOutputs((), torch.zeros(num_experts, len(labels), C))
    return contrast(outputs, labels, views)


@pytest.mark.parametrize('num_experts', [1, K])
def test_the_loss_is_the_balanced_softmax_of_logits_of_the_estimated_classes(num_experts):
    encoder, contrast = build(num_experts, temperature=0.2, loss_weight=0.5)
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    start = contrast.sums[0].double().numpy().copy()
    views = list(torch.randn(2, N, 3, 2, 2))
    value = call(contrast, views, labels, num_experts)
    with torch.no_grad():
        features = [contrast.neck(encoder(view)).double().numpy() for view in views]
    prior = np.log(np.array(COUNTS) / sum(COUNTS))
    terms = []
    for k in range(num_experts):
        means = []
        for c in range(C):
            own = [view[k, i] for view in features for i in range(N) if labels[i] == c]
            means.append((start[k, c] + np.sum(own, axis=0)) / (1 + len(own)))
        lengths = [np.linalg.norm(mean) for mean in means]
        kappas = [r * (DIM - r**2) / (1 - r**2) for r in lengths]
        for view in features:
            for i in range(N):
                logits = prior + [
                    reference_logit(view[k, i] @ means[c] / lengths[c], kappas[c], 0.2, DIM)
                    for c in range(C)
                ]
                terms.append(np.log(np.exp(logits).sum()) - logits[labels[i]])
    assert value.item() == pytest.approx(0.5 * np.mean(terms), rel=1e-4)


def test_estimates_hold_the_last_pass_and_the_present_one():
    _, contrast = build(1)
    history = {c: [] for c in range(C)}
    rng = np.random.default_rng(0)
    for number in range(5):
        for _ in range(2):  # an epoch of 12 images in two batches: 3, 2 and 1 of the classes
            labels = torch.tensor([0, 0, 0, 1, 1, 2])
            features = F.normalize(torch.tensor(rng.normal(size=(1, 2, N, DIM))), dim=-1).float()
            contrast.update(features, labels)
            for i, label in enumerate(labels.tolist()):
                history[label] += list(features[0, :, i].numpy())
        if number == 0:
            continue
        means, kappa = contrast.estimate()
        for c in range(C):
            # Two views of the images of a pass; the passes end with the epochs.
            mean = np.mean(history[c][-4 * COUNTS[c] :], axis=0)
            length = np.linalg.norm(mean)
            np.testing.assert_allclose(means[0, c], mean / length, atol=1e-5)
            expected = length * (DIM - length**2) / (1 - length**2)
            assert kappa[0, c].item() == pytest.approx(expected, rel=1e-4)


def test_without_knowledge_of_the_classes_it_is_the_prior():
    _, contrast = build()
    logits = expected_logits(torch.rand(N, C), torch.zeros(1, C), 0.1, DIM)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    balanced = BalancedSoftmaxLoss(C)
    balanced.set_class_counts(COUNTS)
    expected = -sum(math.log(n / sum(COUNTS)) for n in COUNTS) / C
    assert contrast.prior(logits, labels).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('temperature', [1e-3, 1e3])
def test_one_image_in_every_place_gives_a_finite_loss_and_gradient(temperature):
    encoder, contrast = build(temperature=temperature)
    view = torch.ones(N, 3, 2, 2)
    for _ in range(20):
        value = call(contrast, [view, view], torch.zeros(N, dtype=torch.long))
    value.backward()
    assert value.isfinite()
    assert contrast.estimate()[1].max() == MAX_CONCENTRATION
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


def test_what_is_missing_is_named():
    _, contrast = build()
    views, labels = list(torch.rand(2, N, 3, 2, 2)), torch.zeros(N, dtype=torch.long)
    with pytest.raises(UserError, match='three views'):
        call(contrast, views[:1], labels)
    with pytest.raises(UserError, match='ProbabilisticContrast'):
        call(contrast, views, torch.full((N, C), 1 / C))
    contrast.prior.has_class_counts = False
    with pytest.raises(UserError, match='class counts'):
        call(contrast, views, labels)
    with pytest.raises(UserError, match='out_channels: got 8, expected at least 16'):
        ProbabilisticContrast(
            Encoder(1), D, 1, C, neck=dict(type='ContrastiveNeck', out_channels=8)
        )
