import numpy as np
import pytest
import torch

from ecl.errors import UserError
from ecl.models.losses import PredictionComparison

K, N, C = 3, 7, 5
COMPARISONS = ['ratio', 'difference', 'loss_ratio']


def softmax(z):
    z = z.astype(np.float64)
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def reference(a, d, labels, comparison, gamma, eps, w_max):
    """Float64 NumPy, image by image."""
    p, q = softmax(a), softmax(d)
    w = np.empty(a.shape[:2])
    for k in range(a.shape[0]):
        for i, y in enumerate(labels):
            if comparison == 'ratio':
                r = (p[k, i, y] + eps) / (q[k, i, y] + eps)
            elif comparison == 'loss_ratio':
                r = (eps - np.log(q[k, i, y])) / (eps - np.log(p[k, i, y]))
            else:
                r = max(1 + p[k, i, y] - q[k, i, y], eps)
            w[k, i] = min(max(r**gamma, 1 / w_max), w_max)
    return w / w.mean(1, keepdims=True)


def batch():
    return torch.randn(K, N, C) * 3, torch.randn(K, N, C) * 3, torch.randint(C, (N,))


@pytest.mark.parametrize('comparison', COMPARISONS)
@pytest.mark.parametrize('gamma', [0.5, 2.0])
def test_matches_the_reference(comparison, gamma):
    a, d, labels = batch()
    compare = PredictionComparison(K, C, comparison, gamma=gamma, eps=0.01, w_max=3.0)
    expected = reference(a.numpy(), d.numpy(), labels, comparison, gamma, 0.01, 3.0)
    np.testing.assert_allclose(compare(a, d, labels).numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize('granularity', ['sample', 'class'])
def test_weights_average_one_and_carry_no_gradient(granularity):
    a, d, labels = batch()
    weights = PredictionComparison(K, C, granularity=granularity)(
        a.requires_grad_(), d.requires_grad_(), labels
    )
    torch.testing.assert_close(weights.mean(1), torch.ones(K))
    assert not weights.requires_grad


@pytest.mark.parametrize('comparison', COMPARISONS)
@pytest.mark.parametrize('granularity', ['sample', 'class'])
def test_weights_are_one_where_both_classifiers_agree(comparison, granularity):
    a, _, labels = batch()
    weights = PredictionComparison(K, C, comparison, granularity)(a, a.clone(), labels)
    torch.testing.assert_close(weights, torch.ones(K, N))


@pytest.mark.parametrize('comparison', COMPARISONS)
def test_weight_grows_where_the_transfer_lags(comparison):
    a = torch.tensor([[[4.0, 0.0], [4.0, 0.0]]])
    d = torch.tensor([[[4.0, 0.0], [0.0, 4.0]]])
    weights = PredictionComparison(1, 2, comparison)(a, d, torch.tensor([0, 0]))
    assert weights[0, 1] > 1 > weights[0, 0]


def test_only_the_ratio_of_losses_outlives_a_perfect_fit():
    a = torch.tensor([[[9.0, 0.0], [9.0, 0.0]]])
    d = torch.tensor([[[6.0, 0.0], [8.0, 0.0]]])
    labels = torch.tensor([0, 0])
    by_ratio, by_loss = (
        PredictionComparison(1, 2, comparison)(a, d, labels)[0]
        for comparison in ('ratio', 'loss_ratio')
    )
    torch.testing.assert_close(by_ratio, torch.ones(2), atol=2e-3, rtol=0)
    assert by_loss[0] > 1.3


def test_class_average_follows_its_recurrence_and_only_for_classes_seen():
    compare = PredictionComparison(1, 3, granularity='class', class_momentum=0.8, eps=1e-3)
    a, d, labels = torch.randn(1, 4, 3), torch.randn(1, 4, 3), torch.tensor([0, 0, 2, 0])
    compare(a, d, labels)
    p, q = softmax(a.numpy())[0], softmax(d.numpy())[0]
    r = [(p[i, y] + 1e-3) / (q[i, y] + 1e-3) for i, y in enumerate(labels)]
    expected = [0.8 + 0.2 * np.mean([r[0], r[1], r[3]]), 1.0, 0.8 + 0.2 * r[2]]
    np.testing.assert_allclose(compare.class_average[0].numpy(), expected, rtol=1e-5)
    assert 'class_average' in compare.state_dict()


def test_sample_granularity_keeps_no_state():
    assert not PredictionComparison(K, C).state_dict()


@pytest.mark.parametrize(
    'options',
    [
        {'comparison': 'ratios'},
        {'granularity': 'image'},
        {'gamma': -1},
        {'eps': 0},
        {'w_max': 0.5},
        {'class_momentum': 1.0},
    ],
)
def test_bad_options_are_named(options):
    with pytest.raises(UserError, match=next(iter(options))):
        PredictionComparison(K, C, **options)
