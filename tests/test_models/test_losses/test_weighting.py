import numpy as np
import pytest
import torch

from ecl.errors import UserError
from ecl.models.losses import DistillWeighting, TrustWeighting
from ecl.models.outputs import ExpertOutputs

K, N, C = 3, 7, 5


def weigh(weighting, a, d, labels):
    return weighting(ExpertOutputs((), a, d), labels)


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
    compare = DistillWeighting(K, C, comparison, gamma=gamma, eps=0.01, w_max=3.0)
    expected = reference(a.numpy(), d.numpy(), labels, comparison, gamma, 0.01, 3.0)
    np.testing.assert_allclose(weigh(compare, a, d, labels).numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize('granularity', ['sample', 'class'])
def test_weights_average_one_and_carry_no_gradient(granularity):
    a, d, labels = batch()
    weighting = DistillWeighting(K, C, granularity=granularity)
    weights = weigh(weighting, a.requires_grad_(), d.requires_grad_(), labels)
    torch.testing.assert_close(weights.mean(1), torch.ones(K))
    assert not weights.requires_grad


@pytest.mark.parametrize('comparison', COMPARISONS)
@pytest.mark.parametrize('granularity', ['sample', 'class'])
def test_weights_are_one_where_both_classifiers_agree(comparison, granularity):
    a, _, labels = batch()
    weights = weigh(DistillWeighting(K, C, comparison, granularity), a, a.clone(), labels)
    torch.testing.assert_close(weights, torch.ones(K, N))


@pytest.mark.parametrize('comparison', COMPARISONS)
def test_weight_grows_where_the_transfer_lags(comparison):
    a = torch.tensor([[[4.0, 0.0], [4.0, 0.0]]])
    d = torch.tensor([[[4.0, 0.0], [0.0, 4.0]]])
    weights = weigh(DistillWeighting(1, 2, comparison), a, d, torch.tensor([0, 0]))
    assert weights[0, 1] > 1 > weights[0, 0]


def test_only_the_ratio_of_losses_outlives_a_perfect_fit():
    a = torch.tensor([[[9.0, 0.0], [9.0, 0.0]]])
    d = torch.tensor([[[6.0, 0.0], [8.0, 0.0]]])
    labels = torch.tensor([0, 0])
    by_ratio, by_loss = (
        weigh(DistillWeighting(1, 2, comparison), a, d, labels)[0]
        for comparison in ('ratio', 'loss_ratio')
    )
    torch.testing.assert_close(by_ratio, torch.ones(2), atol=2e-3, rtol=0)
    assert by_loss[0] > 1.3


def test_class_average_follows_its_recurrence_and_only_for_classes_seen():
    compare = DistillWeighting(1, 3, granularity='class', class_momentum=0.8, eps=1e-3)
    a, d, labels = torch.randn(1, 4, 3), torch.randn(1, 4, 3), torch.tensor([0, 0, 2, 0])
    weigh(compare, a, d, labels)
    p, q = softmax(a.numpy())[0], softmax(d.numpy())[0]
    r = [(p[i, y] + 1e-3) / (q[i, y] + 1e-3) for i, y in enumerate(labels)]
    expected = [0.8 + 0.2 * np.mean([r[0], r[1], r[3]]), 1.0, 0.8 + 0.2 * r[2]]
    np.testing.assert_allclose(compare.class_average[0].numpy(), expected, rtol=1e-5)
    assert 'class_average' in compare.state_dict()


def test_sample_granularity_keeps_no_state():
    assert not DistillWeighting(K, C).state_dict()


@pytest.mark.parametrize(
    'options',
    [
        {'comparison': 'ratios'},
        {'granularity': 'image'},
        {'gamma': float('nan')},
        {'eps': 0},
        {'w_max': 0.5},
        {'class_momentum': 1.0},
    ],
)
def test_bad_options_are_named(options):
    with pytest.raises(UserError, match=next(iter(options))):
        DistillWeighting(K, C, **options)


def test_a_negative_exponent_inverts_the_weights():
    a, d, labels = batch()
    up, down = (DistillWeighting(K, C, gamma=gamma, w_max=1e9) for gamma in (1, -1))
    product = weigh(up, a, d, labels) * weigh(down, a, d, labels)
    torch.testing.assert_close(product, product[:, :1].expand_as(product), rtol=1e-4, atol=0)


@pytest.mark.parametrize('granularity', ['sample', 'class'])
def test_certain_mixed_labels_are_labels(granularity):
    a, d, labels = batch()
    hard, soft = (
        weigh(DistillWeighting(K, C, granularity=granularity), a, d, targets)
        for targets in (labels, torch.nn.functional.one_hot(labels, C).float())
    )
    torch.testing.assert_close(soft, hard)


def test_one_classifier_has_nothing_to_compare():
    a, _, labels = batch()
    with pytest.raises(UserError, match='reading'):
        DistillWeighting(K, C)(ExpertOutputs((), a), labels)


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
def test_trust_matches_the_reference(gamma):
    weighting = TrustWeighting(K, C, gamma=gamma, class_momentum=0.8)
    accuracy = np.zeros((K, C))
    for _ in range(3):
        a, _, labels = batch()
        weights = weighting(ExpertOutputs((), a), labels).numpy()
        right = a.numpy().argmax(-1) == labels.numpy()
        for c in set(labels.tolist()):
            mean = right[:, labels.numpy() == c].mean(1)
            accuracy[:, c] = 0.8 * accuracy[:, c] + 0.2 * mean
        weak = ((1 - accuracy) ** gamma)[:, labels.numpy()]
        expected = right * weak / weak.mean(1, keepdims=True)
        np.testing.assert_allclose(weights, expected, rtol=1e-5)
    np.testing.assert_allclose(weighting.class_accuracy.numpy(), accuracy, rtol=1e-5)
    assert 'class_accuracy' in weighting.state_dict()


def test_trust_judges_the_classifier_that_teaches():
    right, wrong = torch.tensor([[[3.0, 0.0]]]), torch.tensor([[[0.0, 3.0]]])
    labels = torch.tensor([0])
    outputs = ExpertOutputs((), logits=wrong, aux_logits=right)
    assert TrustWeighting(1, 2, 'peers_only')(outputs, labels) == 0
    assert TrustWeighting(1, 2, 'shared_labels')(outputs, labels) > 0


# In float32, ten times 0.1 is above 1.
@pytest.mark.parametrize('labels', [torch.tensor([0]), torch.full((1, 10), 0.1)])
def test_trust_survives_a_perfect_teacher(labels):
    weighting = TrustWeighting(1, 10, class_momentum=0)
    outputs = ExpertOutputs((), torch.eye(1, 10)[None])
    weights = weighting(outputs, labels)
    assert weights.isfinite().all()
