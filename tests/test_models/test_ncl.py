import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ecl.errors import UserError
from ecl.models import NCLLoss
from ecl.models.losses import peer_divergence
from ecl.models.outputs import ExpertOutputs

K, N, C, H = 3, 5, 7, 3
COUNTS = [100, 60, 30, 12, 6, 3, 1]


def log_softmax(z):
    z = z - z.max()
    return z - np.log(np.exp(z).sum())


def reference(logits, labels, kl_weight, hard_kl_weight):
    """Float64 NumPy, one image, one pair of experts at a time."""
    logits = logits.astype(np.float64)
    balanced = logits + np.log(np.asarray(COUNTS) / np.sum(COUNTS))

    def divergence(teacher, student):
        t, s = log_softmax(teacher), log_softmax(student)
        return (np.exp(t) * (t - s)).sum()

    total = 0.0
    for k in range(K):
        for i, y in enumerate(labels):
            others = [c for c in np.argsort(-logits[k, i], kind='stable') if c != y]
            hard = [y, *others[: H - 1]]
            peers = [j for j in range(K) if j != k]
            total -= log_softmax(balanced[k, i, hard])[0]
            for j in peers:
                everywhere = divergence(balanced[j, i], balanced[k, i])
                on_hard = divergence(balanced[j, i, hard], balanced[k, i, hard])
                total += (kl_weight * everywhere + hard_kl_weight * on_hard) / len(peers)
    return total / (K * len(labels))


def build(**options):
    loss = NCLLoss(C, H, **options)
    loss.prior.set_class_counts(COUNTS)
    return loss


def value(loss, a, labels):
    return loss(ExpertOutputs((), a), labels)


def batch(requires_grad=False):
    return (2 * torch.randn(K, N, C)).requires_grad_(requires_grad), torch.randint(C, (N,))


def test_matches_the_reference():
    a, labels = batch()
    loss = build(kl_weight=0.6, hard_kl_weight=0.3, loss_weight=0.5)
    expected = 0.5 * reference(a.numpy(), labels.tolist(), 0.6, 0.3)
    assert value(loss, a, labels).item() == pytest.approx(expected, rel=1e-5)


def test_with_every_class_hard_it_is_cross_entropy_and_plain_divergence():
    a, labels = batch()
    loss = NCLLoss(C, C)
    loss.prior.set_class_counts([5] * C)
    expected = F.cross_entropy(a.flatten(0, 1), labels.repeat(K))
    expected = expected + 1.2 * peer_divergence(a, a, 1.0).mean()
    torch.testing.assert_close(value(loss, a, labels), expected)


def test_every_expert_has_hard_classes_of_its_own():
    a, labels = batch()
    hard = build().hard_classes(a, labels)
    for k in range(K):
        for i in range(N):
            chosen = hard[k, i].tolist()
            assert chosen[0] == labels[i]
            assert len(set(chosen)) == H
            rest = a[k, i][[c for c in range(C) if c not in chosen]]
            assert (a[k, i, chosen[1:]] >= rest.max()).all()


def test_teachers_get_no_gradient():
    a, labels = batch()
    student = a.clone().requires_grad_()
    value(build(), student, labels).backward()
    # What expert 0 receives must not depend on whether its peers take part in the graph.
    alone = a.clone().requires_grad_()
    value(build(), torch.cat([alone[:1], a[1:]]), labels).backward()
    torch.testing.assert_close(alone.grad[0], student.grad[0])


def test_classes_that_are_not_hard_get_no_gradient_from_hard_terms():
    a, labels = batch(requires_grad=True)
    loss = build(kl_weight=0)
    value(loss, a, labels).backward()
    outside = torch.ones_like(a, dtype=torch.bool).scatter(-1, loss.hard_classes(a, labels), False)
    assert (a.grad[outside] == 0).all()
    assert (a.grad[~outside] != 0).any()


def test_order_of_experts_does_not_matter():
    a, labels = batch()
    torch.testing.assert_close(value(build(), a[[2, 0, 1]], labels), value(build(), a, labels))


def test_extremes_stay_finite():
    loss = build()
    a = (1e4 * torch.randn(K, 1, C).sign()).requires_grad_()
    result = value(loss, a, torch.zeros(1, dtype=torch.long))
    result.backward()
    assert result.isfinite()
    assert a.grad.isfinite().all()


def test_mixed_labels_are_refused_by_name():
    a, _ = batch()
    with pytest.raises(UserError, match='train_cfg'):
        value(build(), a, torch.full((N, C), 1 / C))


@pytest.mark.parametrize('num_hard', [1, C + 1])
def test_bad_number_of_hard_classes(num_hard):
    with pytest.raises(UserError, match=f'num_hard: got {num_hard}'):
        NCLLoss(C, num_hard)
