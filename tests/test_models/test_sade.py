import numpy as np
import pytest
import torch

from ecl.models import BalancedSoftmaxLoss, ExpertOutputs, InverseSoftmaxLoss, WeightedAggregator

COUNTS = [50, 200, 8, 1]


def build(**options):
    loss = InverseSoftmaxLoss(4, **options)
    loss.set_class_counts(COUNTS)
    return loss


@pytest.mark.parametrize('tau', [0.5, 2.0])
def test_matches_the_reference(tau):
    logits, labels = 3 * torch.randn(6, 4), torch.randint(4, (6,))
    prior = np.array(COUNTS) / sum(COUNTS)
    inverse = prior[[2, 3, 0, 1]]  # largest with smallest, second largest with second smallest
    z = logits.double().numpy() + np.log(prior) - tau * np.log(inverse)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    expected = -0.5 * np.mean([log_p[i, y] for i, y in enumerate(labels)])
    result = build(tau=tau, loss_weight=0.5)(logits, labels).item()
    assert result == pytest.approx(expected, rel=1e-5)


def test_without_the_inverse_prior_it_is_the_balanced_softmax():
    logits, labels = torch.randn(6, 4), torch.randint(4, (6,))
    balanced = BalancedSoftmaxLoss(4)
    balanced.set_class_counts(COUNTS)
    torch.testing.assert_close(build(tau=0.0)(logits, labels), balanced(logits, labels))


def test_mixed_labels_are_welcome_and_extremes_stay_finite():
    mixed = torch.full((2, 4), 0.25)
    for scale in (1.0, 1e4):
        logits = (scale * torch.randn(2, 4).sign()).requires_grad_()
        build()(logits, mixed).backward()
        assert logits.grad.isfinite().all()


def test_many_classes():
    loss = InverseSoftmaxLoss(8142)
    loss.set_class_counts(range(1, 8143))
    assert loss(torch.zeros(2, 8142), torch.tensor([0, 8141])).isfinite()


def test_weights_start_equal_and_can_be_set():
    outputs = ExpertOutputs((), torch.randn(3, 5, 4))
    aggregator = WeightedAggregator(3)
    torch.testing.assert_close(aggregator(outputs), outputs.logits.mean(0))
    aggregator.weights.copy_(torch.tensor([0.0, 1.0, 0.0]))
    torch.testing.assert_close(aggregator(outputs), outputs.logits[1])
    assert 'weights' in aggregator.state_dict()
