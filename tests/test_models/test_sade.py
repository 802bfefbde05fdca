import numpy as np
import pytest
import torch

from ecl.errors import UserError
from ecl.models import (
    BalancedSoftmaxLoss,
    ExpertOutputs,
    InverseSoftmaxLoss,
    WeightedAggregator,
    sade,
)
from ecl.models.sade import SMALLEST, agreement, find_weights

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


def test_without_counts_it_says_how_to_get_them():
    with pytest.raises(UserError, match='class counts'):
        InverseSoftmaxLoss(4)(torch.zeros(1, 4), torch.tensor([0]))


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


def numpy_agreement(weights, first, second):
    def softmax(logits):
        e = np.exp(logits - logits.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    views = [softmax(np.einsum('k,knc->nc', weights, view)) for view in (first, second)]
    norms = [np.linalg.norm(view, axis=-1) for view in views]
    return (views[0] * views[1]).sum(-1) / norms[0] / norms[1]


def two_views(seed, k=3, n=300, c=5):
    """Logits of K experts that suit the images the better, the higher their index."""
    rng = np.random.default_rng(seed)
    labels = np.eye(c)[rng.integers(c, size=n)]
    strength = np.arange(k)[:, None, None]
    return [strength * labels + rng.standard_normal((k, n, c)) for _ in range(2)]


def test_agreement_is_that_of_the_weighted_predictions():
    first, second = two_views(0)
    weights = np.array([0.2, 0.3, 0.5])
    found = agreement(torch.tensor(weights), torch.tensor(first), torch.tensor(second))
    np.testing.assert_allclose(found, numpy_agreement(weights, first, second), rtol=1e-9)


@pytest.mark.parametrize('seed', range(3))
def test_weights_climb_towards_the_expert_that_predicts_stably(seed):
    first, second = two_views(seed)
    weights = find_weights(torch.tensor(first), torch.tensor(second)).numpy()
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= SMALLEST
    assert weights.argmax() == 2
    equal = np.full(3, 1 / 3)
    better = numpy_agreement(weights, first, second).mean()
    assert better > numpy_agreement(equal, first, second).mean()


@pytest.mark.parametrize('images', [300, 200])
def test_chunks_of_images_change_nothing_but_rounding(monkeypatch, images):
    first, second = (torch.tensor(view)[:, :images].float() for view in two_views(0))
    whole = find_weights(first, second)
    agreed = agreement(whole, first, second)
    monkeypatch.setattr(sade, 'CHUNK', 100 + images // 200)
    torch.testing.assert_close(find_weights(first, second), whole, rtol=1e-9, atol=0)
    torch.testing.assert_close(agreement(whole, first, second), agreed, rtol=1e-12, atol=0)


def test_only_a_chunk_is_in_double_precision(monkeypatch):
    widest, convert = [], torch.Tensor.double
    monkeypatch.setattr(torch.Tensor, 'double', lambda x: (widest.append(x.shape), convert(x))[1])
    monkeypatch.setattr(sade, 'CHUNK', 64)
    find_weights(*(torch.tensor(view).float() for view in two_views(0)))
    assert {shape[1] for shape in widest if len(shape) == 3} == {64, 300 % 64}


def test_the_search_ends_before_a_weight_is_too_small():
    rng = np.random.default_rng(0)
    stable = 9 * np.eye(5)[rng.integers(5, size=300)]
    first, second = (np.stack([90 * rng.standard_normal((300, 5)), stable]) for _ in range(2))
    smallest = find_weights(torch.tensor(first), torch.tensor(second)).min().item()
    assert SMALLEST <= smallest < SMALLEST + 0.01


def test_experts_that_are_alike_keep_equal_weights():
    view = torch.randn(1, 50, 4).expand(3, -1, -1)
    torch.testing.assert_close(find_weights(view, view), torch.full((3,), 1 / 3).double())
