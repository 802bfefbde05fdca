import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ecl.errors import UserError
from ecl.models.losses import BalancedSoftmaxLoss


def reference(logits, labels, counts, tau):
    """Float64 NumPy: mean over experts and images of -log softmax(a + tau log pi)[y]."""
    z = logits.astype(np.float64) + tau * np.log(np.asarray(counts) / np.sum(counts))
    z = z - z.max(-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return -np.mean([log_p[:, i, y] for i, y in enumerate(labels)])


@pytest.mark.parametrize('tau', [0.0, 0.7, 1.0])
def test_matches_the_reference(tau):
    logits = torch.randn(3, 6, 5) * 4
    labels = torch.tensor([0, 4, 2, 2, 1, 3])
    counts = [500, 100, 20, 5, 1]
    loss = BalancedSoftmaxLoss(tau=tau, loss_weight=0.3)
    loss.set_class_counts(counts)
    expected = 0.3 * reference(logits.numpy(), labels.tolist(), counts, tau)
    assert loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)


def test_equal_counts_give_plain_cross_entropy():
    logits, labels = torch.randn(2, 8, 4), torch.randint(4, (8,))
    loss = BalancedSoftmaxLoss()
    loss.set_class_counts([7] * 4)
    expected = F.cross_entropy(logits.flatten(0, 1), labels.repeat(2))
    torch.testing.assert_close(loss(logits, labels), expected)


def test_gradient_pushes_rare_classes_up_more():
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    loss = BalancedSoftmaxLoss()
    loss.set_class_counts([99, 1])
    loss(logits, torch.tensor([0, 1])).backward()
    frequent, rare = -logits.grad[0, 0, 0], -logits.grad[0, 1, 1]
    assert rare > 50 * frequent > 0


@pytest.mark.parametrize(
    ('counts', 'message'), [([3, 0, 2], r'class \[1\]'), ([1, 1], '2 class counts for 3')]
)
def test_counts_that_do_not_fit(counts, message):
    loss = BalancedSoftmaxLoss()
    with pytest.raises(UserError, match=message):
        loss.set_class_counts(counts)
        loss(torch.zeros(1, 1, 3), torch.tensor([0]))


def test_without_counts_it_says_how_to_get_them():
    with pytest.raises(UserError, match='ClassCountsHook'):
        BalancedSoftmaxLoss()(torch.zeros(1, 1, 3), torch.tensor([0]))


def test_prior_is_no_part_of_the_checkpoint():
    loss = BalancedSoftmaxLoss()
    loss.set_class_counts([1, 2])
    assert not loss.state_dict()
