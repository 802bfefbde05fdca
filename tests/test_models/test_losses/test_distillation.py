import numpy as np
import pytest
import torch

from ecl.errors import UserError
from ecl.models.losses import ReweightedDistillLoss, peer_divergence
from ecl.models.outputs import ExpertOutputs

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


def build(reading='peers_only', weighting=None, **options):
    return ReweightedDistillLoss(C, K, reading, weighting, **options)


def value(loss, a, d, labels):
    return loss(ExpertOutputs((), a, d), labels)


RATIO = dict(type='DistillWeighting')


@pytest.mark.parametrize('temperature', [1.0, 2.5])
@pytest.mark.parametrize('weighting', [None, RATIO])
def test_matches_the_reference(temperature, weighting):
    a, d, labels = batch()
    loss = build(weighting=weighting, temperature=temperature, loss_weight=0.6)
    outputs = ExpertOutputs((), a, d)
    weights = loss.weighting(outputs, labels).numpy() if weighting else np.ones((K, N))
    expected = 0.6 * reference(a.numpy(), d.numpy(), temperature, weights)
    assert value(loss, a, d, labels).item() == pytest.approx(expected, rel=1e-4)


def test_weighted_teachers_match_the_pairwise_sum():
    a, d, _ = batch()
    weights = torch.rand(K, N)
    t, s = log_softmax(a.numpy()), log_softmax(d.numpy())
    for k, divergence in enumerate(peer_divergence(a, d, 1.0, weights)):
        terms = [
            weights[j].numpy() * (np.exp(t[j]) * (t[j] - s[k])).sum(-1) for j in range(K) if j != k
        ]
        np.testing.assert_allclose(divergence.numpy(), np.mean(terms, axis=0), rtol=1e-4)


def test_trust_weights_what_an_expert_teaches_and_not_what_it_learns():
    a, d, labels = batch()
    labels[: N // 2] = a[0, : N // 2].argmax(-1)  # where expert 0 is right, peers may be wrong
    loss, other = (build(weighting=dict(type='TrustWeighting')) for _ in range(2))
    trust = other.weighting(ExpertOutputs((), a, d), labels).double().numpy()
    assert len(np.unique(trust)) > 2
    t, s = log_softmax(a.numpy()), log_softmax(d.numpy())
    pairs = [(k, j) for k in range(K) for j in range(K) if j != k]
    expected = np.mean([trust[j] * (np.exp(t[j]) * (t[j] - s[k])).sum(-1) for k, j in pairs])
    assert value(loss, a, d, labels).item() == pytest.approx(expected, rel=1e-4)


def test_trust_silences_teachers_that_are_wrong():
    a, d, _ = batch()
    labels = (a[0].argmax(-1) + 1) % C
    a[1:] = a[:1]  # every teacher is wrong
    assert value(build(weighting=dict(type='TrustWeighting')), a, d, labels) == 0


@pytest.mark.parametrize(
    ('reading', 'teacher', 'students'),
    [
        ('single', 'a', 'a'),
        ('peers_only', 'a', 'd'),
        ('shared_labels', 'd', 'd'),
        ('peers_and_labels', 'a', 'ad'),
    ],
)
def test_the_reading_names_teachers_and_students(reading, teacher, students):
    a, d, labels = batch()
    logits = {'a': a.numpy(), 'd': d.numpy()}
    expected = [reference(logits[teacher], logits[s], 1.0, np.ones((K, N))) for s in students]
    result = value(build(reading), a, d, labels).item()
    assert result == pytest.approx(np.mean(expected), rel=1e-4)


def test_teachers_get_no_gradient():
    a, d, labels = batch(requires_grad=True)
    value(build(), a, d, labels).backward()
    assert a.grad is None
    assert d.grad.abs().sum() > 0


def test_experts_that_agree_have_nothing_to_learn():
    a = torch.randn(1, N, C).expand(K, -1, -1).clone().requires_grad_()
    divergence = peer_divergence(a, a, 1.0)
    torch.testing.assert_close(divergence, torch.zeros(K, N), atol=1e-6, rtol=0)
    divergence.sum().backward()
    torch.testing.assert_close(a.grad, torch.zeros_like(a), atol=1e-6, rtol=0)


def test_order_of_experts_does_not_matter():
    a, d, labels = batch()
    loss = build(weighting=RATIO)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(value(loss, a[order], d[order], labels), value(loss, a, d, labels))


WEIGHTINGS = [
    None,
    *(
        dict(type='DistillWeighting', comparison=comparison, granularity='class')
        for comparison in ('ratio', 'difference', 'loss_ratio')
    ),
    dict(type='TrustWeighting'),
]


@pytest.mark.parametrize('reading', ['peers_only', 'peers_and_labels', 'shared_labels'])
@pytest.mark.parametrize('weighting', WEIGHTINGS)
def test_extremes_stay_finite(reading, weighting):
    for num_images, num_classes in [(1, 2), (4, 8142)]:
        a = 1e4 * torch.randn(2, num_images, num_classes).sign()
        d = 1e4 * torch.randn(2, num_images, num_classes).sign()
        a.requires_grad_(), d.requires_grad_()
        loss = ReweightedDistillLoss(num_classes, 2, reading, weighting)
        result = value(loss, a, d, torch.zeros(num_images, dtype=torch.long))
        result.backward()
        assert result.isfinite()
        assert d.grad.isfinite().all()


@pytest.mark.parametrize(
    'options', [{'reading': 'peer'}, {'temperature': 0.0}, {'loss_weight': -1}]
)
def test_bad_options_are_named(options):
    with pytest.raises(UserError, match=next(iter(options))):
        build(**options)
