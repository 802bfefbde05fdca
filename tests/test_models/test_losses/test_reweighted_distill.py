import numpy as np
import pytest
import torch

from ecl.errors import UserError
from ecl.models.losses import ReweightedDistillLoss, peer_divergence

K, N, C = 3, 6, 4


def log_softmax(z):
    z = z.astype(np.float64)
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def reference(teacher, student, temperature, weights):
    """Float64 NumPy: mean over ordered pairs k <- j and images of w_k KL(t_j || s_k) T^2."""
    t, s = log_softmax(teacher / temperature), log_softmax(student / temperature)
    pairs = [(k, j) for k in range(len(t)) for j in range(len(t)) if j != k]
    kl = [weights[k] * (np.exp(t[j]) * (t[j] - s[k])).sum(-1) * temperature**2 for k, j in pairs]
    return np.mean(kl)


def batch(requires_grad=False):
    a = (torch.randn(K, N, C) * 2).requires_grad_(requires_grad)
    d = (torch.randn(K, N, C) * 2).requires_grad_(requires_grad)
    return a, d, torch.randint(C, (N,))


@pytest.mark.parametrize('temperature', [1.0, 2.5])
@pytest.mark.parametrize('comparison', ['none', 'ratio'])
def test_matches_the_reference(temperature, comparison):
    a, d, labels = batch()
    loss = ReweightedDistillLoss(
        C, K, 'distill', comparison, temperature=temperature, loss_weight=0.6
    )
    weights = np.ones((K, N)) if comparison == 'none' else loss.weighting(a, d, labels).numpy()
    expected = 0.6 * reference(a.numpy(), d.numpy(), temperature, weights)
    assert loss(a, d, labels).item() == pytest.approx(expected, rel=1e-4)


def test_both_is_the_mean_over_the_two_students():
    a, d, labels = batch()
    by = {
        student: ReweightedDistillLoss(C, K, student, 'none')(a, d, labels)
        for student in ('label', 'distill', 'both')
    }
    torch.testing.assert_close(by['both'], (by['label'] + by['distill']) / 2)


def test_teachers_get_no_gradient():
    a, d, labels = batch(requires_grad=True)
    ReweightedDistillLoss(C, K, 'distill')(a, d, labels).backward()
    assert a.grad is None
    assert d.grad.abs().sum() > 0


def test_the_distill_classifiers_may_teach():
    a, d, labels = batch(requires_grad=True)
    loss = ReweightedDistillLoss(C, K, 'label', 'none', teacher='distill')(a, d, labels)
    expected = reference(d.detach().numpy(), a.detach().numpy(), 1.0, np.ones((K, N)))
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    loss.backward()
    assert d.grad is None


def test_experts_that_agree_have_nothing_to_learn():
    a = torch.randn(1, N, C).expand(K, -1, -1).clone().requires_grad_()
    divergence = peer_divergence(a, a, 1.0)
    torch.testing.assert_close(divergence, torch.zeros(K, N), atol=1e-6, rtol=0)
    divergence.sum().backward()
    torch.testing.assert_close(a.grad, torch.zeros_like(a), atol=1e-6, rtol=0)


def test_order_of_experts_does_not_matter():
    a, d, labels = batch()
    loss = ReweightedDistillLoss(C, K)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(loss(a[order], d[order], labels), loss(a, d, labels))


@pytest.mark.parametrize('student', ['distill', 'both'])
@pytest.mark.parametrize('comparison', ['ratio', 'difference', 'loss_ratio', 'none'])
def test_extremes_stay_finite(student, comparison):
    for num_images, num_classes in [(1, 2), (4, 8142)]:
        a = 1e4 * torch.randn(2, num_images, num_classes).sign()
        d = 1e4 * torch.randn(2, num_images, num_classes).sign()
        a.requires_grad_(), d.requires_grad_()
        loss = ReweightedDistillLoss(num_classes, 2, student, comparison, granularity='class')
        value = loss(a, d, torch.zeros(num_images, dtype=torch.long))
        value.backward()
        assert value.isfinite()
        assert d.grad.isfinite().all()


def test_float32_under_bfloat16_autocast():
    a, d, labels = batch()
    loss = ReweightedDistillLoss(C, K)
    with torch.autocast('cpu', torch.bfloat16):
        mixed = loss(a, d, labels)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, loss(a, d, labels))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'student': 'peer'}, 'student'),
        ({'temperature': 0.0}, 'temperature'),
        ({'student': 'label', 'comparison': 'ratio'}, "student = 'label'"),
        ({'comparison': 'rtio'}, 'comparison'),
        ({'teacher': 'both'}, 'teacher'),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        ReweightedDistillLoss(C, K, **options)
