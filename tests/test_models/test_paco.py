import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ecl.errors import UserError
from ecl.models import BalancedSoftmaxLoss, ExpertOutputs, ParametricContrast
from ecl.models.paco import parametric_contrastive_loss

K, N, C, Q, D = 2, 6, 4, 8, 5
COUNTS = [40, 20, 8, 2]


class Encoder(nn.Module):
    """K linear maps of the pixels."""

    def __init__(self, num_experts=K):
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(12, D) for _ in range(num_experts))

    def forward(self, images):
        return tuple(each(images.flatten(1)) for each in self.maps)


def build(num_experts=K, **options):
    torch.manual_seed(0)
    encoder = Encoder(num_experts)
    neck = dict(type='ContrastiveNeck', hid_channels=8, out_channels=6)
    options = {'queue_size': Q, 'temperature': 0.5, 'alpha': 0.3, **options}
    contrast = ParametricContrast(
        encoder, in_channels=D, num_experts=num_experts, num_classes=C, neck=neck, **options
    )
    contrast.prior.set_class_counts(COUNTS)
    return encoder, contrast


def batch(num_experts=K, seed=1):
    torch.manual_seed(seed)
    views = torch.rand(2, N, 3, 2, 2)
    logits = torch.randn(num_experts, N, C)
    return views, logits, torch.randint(C, (N,))


def call(encoder, contrast, views, logits, labels):
    return contrast(ExpertOutputs(encoder(views[0]), logits), labels, [views[1]])


def reference(logits, queries, keys, queue, labels, queue_labels, alpha, temperature):
    """The loss of the paper, image by image in float64."""
    prior = np.log(np.array(COUNTS) / sum(COUNTS))
    terms = []
    for k in range(len(logits)):
        others = np.concatenate([queries[k], keys[k], queue[k].T])
        classes = np.concatenate([labels, labels, queue_labels])
        for i in range(len(labels)):
            kept = [m for m in range(len(classes)) if m != i and classes[m] >= 0]
            similarity = {m: queries[k, i] @ others[m] / temperature for m in kept}
            centre = logits[k, i] + prior
            log_sum = np.log(np.exp(centre).sum() + sum(np.exp(s) for s in similarity.values()))
            own = [m for m in kept if classes[m] == labels[i]]
            weighted = (centre[labels[i]] - log_sum) + alpha * sum(
                similarity[m] - log_sum for m in own
            )
            terms.append(-weighted / (1 + alpha * len(own)))
    return np.mean(terms)


@pytest.mark.parametrize('num_experts', [1, K])
@pytest.mark.parametrize('options', [{}, {'alpha': 0.0}, {'alpha': 2.0, 'temperature': 0.07}])
def test_it_is_the_loss_of_the_paper_with_an_empty_a_part_full_and_a_full_queue(
    num_experts, options
):
    encoder, contrast = build(num_experts, loss_weight=0.5, **options)
    for step in range(3):
        views, logits, labels = batch(num_experts, seed=step)
        queue = contrast.queue.double().numpy().copy()
        queue_labels = contrast.queue_labels.numpy().copy()
        value = call(encoder, contrast, views, logits, labels)
        with torch.no_grad():
            queries = contrast.neck(encoder(views[0])).double().numpy()
            keys = contrast.momentum_encoder(views[1]).double().numpy()
        expected = reference(
            logits.double().numpy(),
            queries,
            keys,
            queue,
            labels.numpy(),
            queue_labels,
            contrast.alpha,
            contrast.temperature,
        )
        assert value.item() == pytest.approx(0.5 * expected, rel=1e-5)


def test_the_queue_holds_unit_keys_with_their_labels():
    encoder, contrast = build()
    assert (contrast.queue_labels == -1).all()
    newest = []
    for step in range(4):
        views, logits, labels = batch(seed=step)
        call(encoder, contrast, views, logits, labels)
        with torch.no_grad():
            keys = contrast.momentum_encoder(views[1])
        newest += [(label, keys[:, i]) for i, label in enumerate(labels.tolist())]
    torch.testing.assert_close(contrast.queue.norm(dim=1), torch.ones(K, Q))
    last = (int(contrast.position) - 1) % Q
    for back in range(N):
        place = (last - back) % Q
        label, key = newest[-1 - back]
        assert contrast.queue_labels[place] == label
        torch.testing.assert_close(contrast.queue[:, :, place], key)


def test_without_other_images_it_is_the_balanced_softmax():
    _, logits, labels = batch()
    balanced = BalancedSoftmaxLoss(C)
    balanced.set_class_counts(COUNTS)
    nobody = torch.full((2 * N,), -1)
    similarities = torch.randn(K, N, 2 * N)
    value = parametric_contrastive_loss(
        balanced.adjust(logits), similarities, labels, nobody, alpha=0.3
    )
    expected = torch.stack([balanced(each, labels) for each in logits]).mean()
    torch.testing.assert_close(value, expected)


def test_without_centres_it_is_the_supervised_contrastive_loss():
    labels = torch.tensor([0, 0, 1, 1, 0, 1])
    others = torch.cat([labels, labels.flip(0)])
    similarities = torch.randn(1, N, 2 * N, dtype=torch.float64)
    # Weight 0 on the centres, in the target as in the sum.
    far = torch.full((1, N, C), -1e3, dtype=torch.float64)
    value = parametric_contrastive_loss(far, similarities, labels, others, alpha=1e9)
    terms = []
    for i in range(N):
        kept = [m for m in range(2 * N) if m != i]
        log_sum = similarities[0, i, kept].logsumexp(0)
        own = [m for m in kept if others[m] == labels[i]]
        terms.append((log_sum - similarities[0, i, own]).mean())
    torch.testing.assert_close(value, torch.stack(terms).mean(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('size', [1e-8, 1e4])
def test_extreme_logits_give_a_finite_loss_and_gradient(size):
    encoder, contrast = build(temperature=0.01)
    views, logits, labels = batch()
    logits = (size * logits).requires_grad_()
    for _ in range(3):
        value = call(encoder, contrast, views, logits, labels)
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


def test_mixed_labels_and_missing_counts_are_refused():
    encoder, contrast = build()
    views, logits, labels = batch()
    with pytest.raises(UserError, match='ParametricContrast'):
        call(encoder, contrast, views, logits, F.one_hot(labels, C).float())
    contrast.prior.has_class_counts = False
    with pytest.raises(UserError, match='class counts'):
        call(encoder, contrast, views, logits, labels)
