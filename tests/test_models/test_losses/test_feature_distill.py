import numpy as np
import pytest
import torch

from ecl.models.losses import FeatureDistillLoss

K, N, D = 3, 5, 4


def reference(feats, matrices):
    """Float64 NumPy: mean over ordered pairs and images of 1 - cos(A f_k, f_j)."""
    pairs = [(k, j) for k in range(K) for j in range(K) if j != k]
    distances = []
    for (k, j), matrix in zip(pairs, matrices, strict=True):
        for i in range(N):
            u, v = matrix @ feats[k][i], feats[j][i]
            distances.append(1 - u @ v / np.linalg.norm(u) / np.linalg.norm(v))
    return np.mean(distances)


def random_adapters():
    loss = FeatureDistillLoss(D, K)
    for adapter in loss.adapters:
        torch.nn.init.normal_(adapter.weight)
    return loss


def test_matches_the_reference():
    loss, feats = random_adapters(), [torch.randn(N, D) for _ in range(K)]
    matrices = [adapter.weight.detach().double().numpy() for adapter in loss.adapters]
    expected = reference([f.double().numpy() for f in feats], matrices)
    assert loss(*feats).item() == pytest.approx(expected, rel=1e-4)


def test_starts_as_the_plain_cosine_distance_and_is_zero_for_equal_experts():
    feat = torch.randn(N, D)
    assert FeatureDistillLoss(D, K)(feat, feat, 3 * feat).item() == pytest.approx(0, abs=1e-6)


def test_scale_of_the_features_does_not_matter():
    loss, feats = random_adapters(), [torch.randn(N, D) for _ in range(K)]
    scaled = [factor * feat for factor, feat in zip((10.0, 0.1, 3.0), feats, strict=True)]
    torch.testing.assert_close(loss(*scaled), loss(*feats), rtol=1e-4, atol=1e-6)


def test_only_students_get_a_gradient():
    loss = FeatureDistillLoss(D, 2)
    loss.pairs = [(0, 1)]
    loss.adapters = loss.adapters[:1]
    student, teacher = (torch.randn(N, D, requires_grad=True) for _ in range(2))
    loss(student, teacher).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_zero_features_stay_finite():
    feats = [torch.zeros(1, D, requires_grad=True) for _ in range(K)]
    value = FeatureDistillLoss(D, K)(*feats)
    value.backward()
    assert value.isfinite()
    assert all(feat.grad.isfinite().all() for feat in feats)


def test_float32_under_bfloat16_autocast():
    loss, feats = random_adapters(), [torch.randn(N, D) for _ in range(K)]
    with torch.autocast('cpu', torch.bfloat16):
        mixed = loss(*feats)
    torch.testing.assert_close(mixed, loss(*feats))
