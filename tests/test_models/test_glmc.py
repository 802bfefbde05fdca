import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ecl.errors import UserError
from ecl.models import ExpertOutputs, MixtureConsistency
from ecl.models.glmc import cut_box

K, N, C, D = 2, 6, 3, 5
COUNTS = [60, 20, 4]


class Encoder(nn.Module):
    """K linear maps of the pixels."""

    def __init__(self, num_experts):
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(12, D) for _ in range(num_experts))

    def forward(self, images):
        return tuple(each(images.flatten(1)) for each in self.maps)


def build(num_experts=K, progress=0.6, **options):
    torch.manual_seed(0)
    encoder = Encoder(num_experts)
    classifiers = nn.ModuleList(nn.Linear(D, C) for _ in range(num_experts))
    contrast = MixtureConsistency(
        encoder, classifiers, D, num_experts, C, hid_channels=4, **options
    )
    contrast.set_class_counts(COUNTS)
    contrast.set_progress(progress)
    return encoder, classifiers, contrast


def call(encoder, classifiers, contrast, views, targets):
    feats = encoder(views[0])
    logits = torch.stack([each(feat) for each, feat in zip(classifiers, feats, strict=True)])
    return contrast(ExpertOutputs(feats, logits), targets, views[1:])


def linear(layer, x):
    return x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()


def reference(encoder, classifiers, contrast, views, targets, progress, power, factor):
    """The loss of the paper in float64."""
    weights = np.array(COUNTS, dtype=float) ** -power
    weights *= C / weights.sum()
    alpha, terms = 1 - progress**2, []
    for k in range(len(classifiers)):
        feats = [encoder(view)[k].detach().double().numpy() for view in views]
        projected = [linear(contrast.projections[k], feat) for feat in feats]
        for v in range(2):
            plain = linear(contrast.conventional[k], feats[v])
            own = linear(classifiers[k], feats[v])
            predicted, other = linear(contrast.predictors[k], projected[v]), projected[1 - v]
            for i in range(N):
                log_plain = plain[i] - np.log(np.exp(plain[i]).sum())
                log_own = own[i] - np.log(np.exp(own[i]).sum())
                lengths = np.linalg.norm(predicted[i]) * np.linalg.norm(other[i])
                terms.append(
                    -alpha * (targets[i] * log_plain).sum()
                    - (1 - alpha) * (weights * targets[i] * log_own).sum()
                    + factor * (1 - predicted[i] @ other[i] / lengths)
                )
    return 2 * np.mean(terms)  # the sum over the two views


@pytest.mark.parametrize('num_experts', [1, K])
@pytest.mark.parametrize(('progress', 'power', 'factor'), [(0.0, 1.0, 1.0), (0.6, 1.2, 4.0)])
def test_it_is_the_loss_of_the_paper(num_experts, progress, power, factor):
    options = dict(weight_power=power, consistency_weight=factor, loss_weight=0.5)
    parts = build(num_experts, progress, **options)
    views = list(torch.randn(2, N, 3, 2, 2))
    targets = torch.rand(N, C).softmax(-1)
    value = call(*parts, views, targets)
    expected = reference(*parts, views, targets.double().numpy(), progress, power, factor)
    assert value.item() == pytest.approx(0.5 * expected, rel=1e-5)


def test_at_the_end_without_weights_and_consistency_it_is_cross_entropy():
    encoder, classifiers, contrast = build(1, 1.0, weight_power=0.0, consistency_weight=0.0)
    view, labels = torch.randn(N, 3, 2, 2), torch.tensor([0, 1, 2, 0, 1, 0])
    value = call(encoder, classifiers, contrast, [view, view], F.one_hot(labels, C).float())
    logits = classifiers[0](encoder(view)[0])
    torch.testing.assert_close(value, 2 * F.cross_entropy(logits, labels))


def test_the_projection_of_the_other_view_gets_no_gradient():
    encoder, classifiers, contrast = build(1, 0.0, consistency_weight=1.0)
    views = list(torch.randn(2, N, 3, 2, 2))
    targets = torch.zeros(N, C)  # no label says anything
    call(encoder, classifiers, contrast, views, targets).backward()
    gradient = contrast.projections[0].weight.grad.clone()
    contrast.zero_grad()
    feats = [encoder(view)[0].detach() for view in views]
    project, predict = contrast.projections[0], contrast.predictors[0]
    fixed = [project(feat).detach() for feat in feats]
    loss = sum(
        (1 - F.cosine_similarity(predict(project(feats[v])), fixed[1 - v])).mean() for v in (0, 1)
    )
    loss.backward()
    torch.testing.assert_close(project.weight.grad, gradient)


def test_both_views_are_mixed_with_the_same_partners_and_share():
    _, _, contrast = build()
    views = [torch.rand(N, 3, 8, 8), torch.rand(N, 3, 8, 8)]
    labels, partner = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([1, 0, 5, 3, 3, 2])
    share = torch.tensor(0.75)
    (mixed, cut), targets = contrast.mix(views, labels, partner, share, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(mixed, 0.75 * views[0] + 0.25 * views[0][partner])
    # A quarter of the area is a box of 4 x 4, here the lower left one.
    expected = views[1].clone()
    expected[:, :, 4:, :4] = views[1][partner][:, :, 4:, :4]
    torch.testing.assert_close(cut, expected)
    for i in range(N):
        row = np.zeros(C)
        row[labels[i]] += 0.75
        row[labels[partner[i]]] += 0.25
        np.testing.assert_allclose(targets[i], row, rtol=1e-6)


@pytest.mark.parametrize('share', [0.0, 0.1, 0.5, 0.93, 1.0])
def test_the_box_has_its_share_of_the_image_up_to_a_pixel(share):
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        corner = torch.rand(2, generator=generator)
        box = cut_box(torch.tensor(share), corner, 32, 24)
        height, width = box.any(1).sum().item(), box.any(0).sum().item()
        assert box.sum() == height * width
        assert abs(height - 32 * share**0.5) <= 1
        assert abs(width - 24 * share**0.5) <= 1


@pytest.mark.parametrize('share', [0.1, 0.5, 0.93])
def test_the_box_favours_no_side_of_the_image(share):
    share, corners = torch.tensor(share), torch.rand(20, 2)
    for corner in corners:
        mirrored = cut_box(share, 1 - corner, 32, 24).flip(0, 1)
        torch.testing.assert_close(cut_box(share, corner, 32, 24), mirrored)


def test_the_place_of_the_box_does_not_depend_on_its_size(monkeypatch):
    _, _, contrast = build()
    drawn = []
    monkeypatch.setattr(contrast, 'mix', lambda *args: drawn.append([args[3], *args[4]]))
    for _ in range(300):
        contrast.mix_views([torch.zeros(N, 3, 1, 1)] * 2, torch.zeros(N, dtype=torch.long))
    correlations = np.corrcoef(np.array(drawn).T)
    assert np.abs(correlations - np.eye(3)).max() < 0.25
    np.testing.assert_allclose(np.mean(drawn, axis=0), 0.5, atol=0.1)


def test_partners_of_rare_classes_are_drawn_more_often():
    labels = torch.tensor([0] * 30 + [1] * 10 + [2] * 2)
    views = [torch.zeros(42, 3, 1, 1)] * 2

    def share_of_class_2(power):
        _, _, contrast = build(sampling_power=power)
        drawn = sum(contrast.mix_views(views, labels)[1].sum(0) for _ in range(300))
        return (drawn[2] / drawn.sum()).item()

    # Half of a target is the own image, the mean share of Mixup.
    assert share_of_class_2(0.0) == pytest.approx(2 / 42, abs=0.01)
    drawn = 2 / 4 / (30 / 60 + 10 / 20 + 2 / 4)
    assert share_of_class_2(1.0) == pytest.approx((2 / 42 + drawn) / 2, abs=0.03)


def test_extreme_counts_and_features_give_a_finite_loss_and_gradient():
    encoder, classifiers, contrast = build(weight_power=5.0)
    contrast.set_class_counts([10_000_000, 100, 1])
    for size in (0.0, 1e4):
        views = [size * torch.randn(N, 3, 2, 2)] * 2
        value = call(encoder, classifiers, contrast, views, torch.full((N, C), 1 / C))
        value.backward()
        assert value.isfinite()
        assert all(p.grad.isfinite().all() for p in encoder.parameters())


def test_what_is_missing_is_named():
    encoder, classifiers, contrast = build()
    views = [torch.rand(N, 3, 2, 2)] * 2
    with pytest.raises(UserError, match='MixtureConsistency'):
        contrast.mix_views(views, torch.full((N, C), 1 / C))
    contrast.has_class_counts = False
    with pytest.raises(UserError, match='class counts'):
        contrast.mix_views(views, torch.zeros(N, dtype=torch.long))
    contrast.has_progress = False
    with pytest.raises(UserError, match='progress'):
        call(encoder, classifiers, contrast, views, torch.full((N, C), 1 / C))
