import numpy as np
import pytest
import torch

from ecl.models.losses import FeatureDistillLoss, RelationDistillLoss
from ecl.models.outputs import ExpertOutputs

K, N, D = 3, 5, 4


def value(loss, *feats):
    outputs = ExpertOutputs(feats, torch.zeros(len(feats), len(feats[0]), 2))
    return loss(outputs, torch.zeros(len(feats[0]), dtype=torch.long))


def reference(feats, matrices):
    """Float64 NumPy: mean over ordered pairs and images of 1 - cos(A f_k, f_j)."""
    pairs = [(k, j) for k in range(K) for j in range(K) if j != k]
    distances = []
    for (k, j), matrix in zip(pairs, matrices, strict=True):
        for i in range(N):
            u, v = matrix @ feats[k][i], feats[j][i]
            distances.append(1 - u @ v / np.linalg.norm(u) / np.linalg.norm(v))
    return np.mean(distances)


def random_adapters(**options):
    loss = FeatureDistillLoss(D, K, **options)
    for adapter in loss.adapters:
        torch.nn.init.normal_(adapter.weight)
    return loss


def test_matches_the_reference():
    loss, feats = random_adapters(loss_weight=0.5), [torch.randn(N, D) for _ in range(K)]
    matrices = [adapter.weight.detach().double().numpy() for adapter in loss.adapters]
    expected = 0.5 * reference([f.double().numpy() for f in feats], matrices)
    assert value(loss, *feats).item() == pytest.approx(expected, rel=1e-4)


def test_starts_as_the_plain_cosine_distance_and_is_zero_for_equal_experts():
    feat = torch.randn(N, D)
    assert value(FeatureDistillLoss(D, K), feat, feat, 3 * feat).item() == pytest.approx(
        0, abs=1e-6
    )


def test_scale_of_the_features_does_not_matter():
    loss, feats = random_adapters(), [torch.randn(N, D) for _ in range(K)]
    scaled = [factor * feat for factor, feat in zip((10.0, 0.1, 3.0), feats, strict=True)]
    torch.testing.assert_close(value(loss, *scaled), value(loss, *feats), rtol=1e-4, atol=1e-6)


def test_only_students_get_a_gradient():
    loss = FeatureDistillLoss(D, 2)
    loss.pairs = [(0, 1)]
    loss.adapters = loss.adapters[:1]
    student, teacher = (torch.randn(N, D, requires_grad=True) for _ in range(2))
    value(loss, student, teacher).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_zero_features_stay_finite():
    feats = [torch.zeros(1, D, requires_grad=True) for _ in range(K)]
    result = value(FeatureDistillLoss(D, K), *feats)
    result.backward()
    assert result.isfinite()
    assert all(feat.grad.isfinite().all() for feat in feats)


def relation_reference(feats):
    """Float64 NumPy: mean over ordered pairs of the mean squared difference of S_k and S_j."""
    unit = [f / np.linalg.norm(f, axis=1, keepdims=True) for f in feats]
    s = [u @ u.T for u in unit]
    return np.mean([((s[k] - s[j]) ** 2).mean() for k in range(K) for j in range(K) if j != k])


def features():
    return [torch.randn(N, D) for _ in range(K)]


def test_relations_match_the_reference():
    feats = features()
    expected = 0.5 * relation_reference([f.double().numpy() for f in feats])
    assert value(RelationDistillLoss(0.5), *feats).item() == pytest.approx(expected, rel=1e-4)


def test_gradient_treats_the_teacher_as_constant():
    feats = [f.requires_grad_() for f in features()]
    value(RelationDistillLoss(), *feats).backward()
    s = [torch.nn.functional.normalize(f, dim=1) for f in feats]
    s = [u @ u.T for u in s]
    pairs = [(k, j) for k in range(K) for j in range(K) if j != k]
    expected = torch.stack([(s[k] - s[j].detach()).square().mean() for k, j in pairs]).mean()
    for feat, grad in zip(feats, torch.autograd.grad(expected, feats), strict=True):
        torch.testing.assert_close(feat.grad, grad)


def test_a_rotated_and_scaled_feature_relates_images_alike():
    feat = torch.randn(N, D)
    rotation, _ = torch.linalg.qr(torch.randn(D, D))
    assert value(RelationDistillLoss(), feat, 5 * feat @ rotation).item() == pytest.approx(
        0, abs=1e-6
    )


def test_order_of_experts_does_not_matter():
    feats = features()
    loss = RelationDistillLoss()
    torch.testing.assert_close(value(loss, *feats), value(loss, *reversed(feats)))


def test_a_batch_of_one_and_zero_features_stay_finite():
    feats = [torch.zeros(1, D, requires_grad=True) for _ in range(2)]
    value(RelationDistillLoss(), *feats).backward()
    assert feats[0].grad.isfinite().all()
