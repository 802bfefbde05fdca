import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ecl.errors import UserError
from ecl.models.losses import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    LDAMLoss,
    SoftmaxFocalLoss,
)


def reference(logits, labels, counts, tau):
    """Float64 NumPy: mean over images of -log softmax(a + tau log pi)[y]."""
    z = logits.astype(np.float64) + tau * np.log(np.asarray(counts) / np.sum(counts))
    z = z - z.max(-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return -np.mean([log_p[i, y] for i, y in enumerate(labels)])


@pytest.mark.parametrize('tau', [-1.0, 0.0, 0.7, 1.0, 2.0])
def test_matches_the_reference(tau):
    logits = torch.randn(6, 5) * 4
    labels = torch.tensor([0, 4, 2, 2, 1, 3])
    counts = [500, 100, 20, 5, 1]
    loss = BalancedSoftmaxLoss(5, tau=tau, loss_weight=0.3)
    loss.set_class_counts(counts)
    expected = 0.3 * reference(logits.numpy(), labels.tolist(), counts, tau)
    assert loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)


def test_equal_counts_give_plain_cross_entropy():
    logits, labels = torch.randn(8, 4), torch.randint(4, (8,))
    loss = BalancedSoftmaxLoss(4)
    loss.set_class_counts([7] * 4)
    expected = F.cross_entropy(logits, labels)
    torch.testing.assert_close(loss(logits, labels), expected)


def test_gradient_pushes_rare_classes_up_more():
    logits = torch.zeros(2, 2, requires_grad=True)
    loss = BalancedSoftmaxLoss(2)
    loss.set_class_counts([99, 1])
    loss(logits, torch.tensor([0, 1])).backward()
    frequent, rare = -logits.grad[0, 0], -logits.grad[1, 1]
    assert rare > 50 * frequent > 0


def test_mixed_labels_give_the_mean_of_the_two_losses():
    logits, loss = torch.randn(1, 3), BalancedSoftmaxLoss(3)
    loss.set_class_counts([9, 3, 1])
    mixed = loss(logits, torch.tensor([[0.3, 0.0, 0.7]]))
    by_class = [loss(logits, torch.tensor([c])) for c in (0, 2)]
    torch.testing.assert_close(mixed, 0.3 * by_class[0] + 0.7 * by_class[1])


@pytest.mark.parametrize('loss', [BalancedSoftmaxLoss(3), LDAMLoss(3)])
@pytest.mark.parametrize('counts', [[3, 0, 2], [1, 1]])
def test_counts_that_do_not_fit_are_refused(loss, counts):
    with pytest.raises(UserError, match=type(loss).__name__):
        loss.set_class_counts(counts)


@pytest.mark.parametrize(
    'loss', [BalancedSoftmaxLoss(3), LDAMLoss(3, reweight_from=1), ClassBalancedLoss(3)]
)
def test_without_counts_it_says_how_to_get_them(loss):
    with pytest.raises(UserError, match='set_class_counts'):
        loss(torch.zeros(1, 3), torch.tensor([0]))


def test_plain_cross_entropy_needs_no_counts():
    logits, labels = torch.randn(4, 3), torch.randint(3, (4,))
    loss = BalancedSoftmaxLoss(3, tau=0)(logits, labels)
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels))


@pytest.mark.parametrize('loss', [BalancedSoftmaxLoss(3), LDAMLoss(3)])
def test_buffers_have_their_shape_from_the_start_and_are_not_saved(loss):
    before = {k: (v.shape, v.data_ptr()) for k, v in loss.named_buffers()}
    loss.set_class_counts([4, 2, 1])
    assert {k: (v.shape, v.data_ptr()) for k, v in loss.named_buffers()} == before
    assert not loss.state_dict()


COUNTS = [400, 81, 16, 1]


@pytest.mark.parametrize('beta', [0.0, 0.9, 0.9999])
def test_class_balanced_matches_the_reference(beta):
    logits, labels = 4 * torch.randn(6, 4), torch.tensor([0, 3, 2, 2, 1, 3])
    loss = ClassBalancedLoss(4, beta=beta, loss_weight=0.5)
    loss.set_class_counts(COUNTS)
    weights = (1 - beta) / (1 - beta ** np.array(COUNTS, dtype=np.float64))
    weights *= 4 / weights.sum()
    z = logits.double().numpy()
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    expected = -0.5 * np.mean([weights[y] * log_p[i, y] for i, y in enumerate(labels)])
    assert loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)
    soft = loss(logits, F.one_hot(labels, 4).float())
    torch.testing.assert_close(soft, loss(logits, labels))


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
def test_focal_matches_the_reference(gamma):
    logits, labels = 4 * torch.randn(6, 4), torch.tensor([0, 3, 2, 2, 1, 3])
    z = logits.double().numpy()
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    terms = [-((1 - p[i, y]) ** gamma) * np.log(p[i, y]) for i, y in enumerate(labels)]
    result = SoftmaxFocalLoss(gamma, loss_weight=0.5)(logits, labels).item()
    assert result == pytest.approx(0.5 * np.mean(terms), rel=1e-4)


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
def test_an_image_that_is_certain_has_no_focal_loss_and_no_gradient(gamma):
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    loss = SoftmaxFocalLoss(gamma)(logits, torch.tensor([0]))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize('loss', [ClassBalancedLoss(8142), SoftmaxFocalLoss(0.5)])
def test_extremes_of_many_classes_stay_finite(loss):
    if isinstance(loss, ClassBalancedLoss):
        loss.set_class_counts(range(1, 8143))
    for scale in (0.0, 1e4):
        logits = (scale * torch.randn(2, 8142).sign()).requires_grad_()
        value = loss(logits, torch.tensor([0, 8141]))
        value.backward()
        assert value.isfinite()
        assert logits.grad.isfinite().all()
