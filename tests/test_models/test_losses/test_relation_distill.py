import numpy as np
import pytest
import torch

from ecl.models.losses import RelationDistillLoss

K, N, D = 3, 6, 4


def reference(feats):
    """Float64 NumPy: mean over ordered pairs of the mean squared difference of S_k and S_j."""
    unit = [f / np.linalg.norm(f, axis=1, keepdims=True) for f in feats]
    s = [u @ u.T for u in unit]
    return np.mean([((s[k] - s[j]) ** 2).mean() for k in range(K) for j in range(K) if j != k])


def features():
    return [torch.randn(N, D) for _ in range(K)]


def test_matches_the_reference():
    feats = features()
    expected = 0.5 * reference([f.double().numpy() for f in feats])
    assert RelationDistillLoss(0.5)(*feats).item() == pytest.approx(expected, rel=1e-4)


def test_gradient_treats_the_teacher_as_constant():
    feats = [f.requires_grad_() for f in features()]
    RelationDistillLoss()(*feats).backward()
    s = [torch.nn.functional.normalize(f, dim=1) for f in feats]
    s = [u @ u.T for u in s]
    pairs = [(k, j) for k in range(K) for j in range(K) if j != k]
    expected = torch.stack([(s[k] - s[j].detach()).square().mean() for k, j in pairs]).mean()
    for feat, grad in zip(feats, torch.autograd.grad(expected, feats), strict=True):
        torch.testing.assert_close(feat.grad, grad)


def test_a_rotated_and_scaled_feature_relates_images_alike():
    feat = torch.randn(N, D)
    rotation, _ = torch.linalg.qr(torch.randn(D, D))
    assert RelationDistillLoss()(feat, 5 * feat @ rotation).item() == pytest.approx(0, abs=1e-6)


def test_order_of_experts_does_not_matter():
    feats = features()
    loss = RelationDistillLoss()
    torch.testing.assert_close(loss(*feats), loss(*reversed(feats)))


def test_a_batch_of_one_and_zero_features_stay_finite():
    feats = [torch.zeros(1, D, requires_grad=True) for _ in range(2)]
    RelationDistillLoss()(*feats).backward()
    assert feats[0].grad.isfinite().all()


def test_float32_under_bfloat16_autocast():
    feats = features()
    with torch.autocast('cpu', torch.bfloat16):
        mixed = RelationDistillLoss()(*feats)
    torch.testing.assert_close(mixed, RelationDistillLoss()(*feats))
