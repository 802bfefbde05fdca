import numpy as np
import pytest
import torch

from ecl.errors import UserError
from ecl.models import ECLHead, ExpertDiversityLoss, ExpertOutputs, RouterAggregator

K, N, C, D = 3, 6, 5, 4
COUNTS = [100, 40, 10, 3, 1]


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def outputs(requires_grad=False):
    feats = tuple(torch.randn(N, D).requires_grad_(requires_grad) for _ in range(K))
    return ExpertOutputs(feats, (3 * torch.randn(K, N, C)).requires_grad_(requires_grad))


def diversity(**options):
    loss = ExpertDiversityLoss(C, **options)
    loss.set_class_counts(COUNTS)
    loss.set_progress(0.8)
    return loss


def test_diversity_matches_the_reference():
    batch = outputs()
    z = batch.logits.double().numpy()
    t = 1 - 0.3 + 0.3 * np.array(COUNTS) / np.mean(COUNTS)
    t *= 2.0 / t.max()
    mean = log_softmax(z.mean(0) / t)
    terms = [(np.exp(mean) * (mean - log_softmax(expert / t))).sum(-1) for expert in z]
    expected = -0.4 * t.mean() ** 2 * np.mean(terms)
    loss = diversity(temperature=2.0, gamma=0.3, loss_weight=0.4)
    assert loss(batch, torch.zeros(N)).item() == pytest.approx(expected, rel=1e-5)


def test_equal_experts_have_no_diversity_and_others_a_reward():
    same = ExpertOutputs((), torch.randn(1, N, C).expand(K, -1, -1))
    assert diversity()(same, torch.zeros(N)).item() == pytest.approx(0, abs=1e-6)
    assert diversity()(outputs(), torch.zeros(N)) < 0


def test_a_rare_class_has_the_smaller_temperature():
    temperatures = diversity(gamma=0.5).class_temperatures
    assert (temperatures.diff() < 0).all()
    assert temperatures[0] == 1


def test_the_temperatures_follow_the_classes_late_in_the_training():
    batch, loss = outputs(), diversity(gamma=0.5)
    late = loss(batch, torch.zeros(N))
    loss.set_progress(0.79)
    assert loss(batch, torch.zeros(N)) == diversity(gamma=0.0)(batch, torch.zeros(N)) != late
    unaware = ExpertDiversityLoss(C)
    unaware.set_class_counts(COUNTS)
    with pytest.raises(UserError, match='needs the progress of the training'):
        unaware(batch, torch.zeros(N))
    with pytest.raises(UserError, match='needs the class counts'):
        ExpertDiversityLoss(C)(batch, torch.zeros(N))


def running_mean(logits, k):
    return logits[: k + 1].mean(0)


def test_a_router_sees_the_direction_of_a_feature_and_the_highest_probabilities():
    batch, router = outputs(), RouterAggregator(C, K, D, hid_channels=3, num_logits=2)
    for k in range(K - 1):
        hidden, decision = (
            [value.detach().double().numpy() for value in (layer.weight, layer.bias)]
            for layer in (router.features[k], router.decisions[k])
        )
        feat = batch.feats[k].double().numpy()
        feat = feat / np.linalg.norm(feat, axis=1, keepdims=True)
        probabilities = np.exp(log_softmax(running_mean(batch.logits, k).double().numpy()))
        highest = -np.sort(-probabilities, axis=1)[:, :2]
        seen = np.hstack([np.maximum(feat @ hidden[0].T + hidden[1], 0), highest])
        expected = seen @ decision[0][0] + decision[1]
        np.testing.assert_allclose(router.decide(batch)[k].detach(), expected, rtol=1e-4, atol=1e-6)


def test_the_routers_learn_when_the_next_expert_is_needed():
    batch, labels = outputs(), torch.randint(C, (N,))
    router = RouterAggregator(C, K, D, needed_weight=7.0, loss_weight=0.5)
    decisions = router.decide(batch)
    terms = []
    for k in range(K - 1):
        wrong = running_mean(batch.logits, k).argmax(-1) != labels
        later = (batch.logits[k + 1 :].argmax(-1) == labels).any(0)
        for n in range(N):
            p = torch.sigmoid(decisions[k, n]).item()
            terms.append(-7 * np.log(p) if wrong[n] and later[n] else -np.log(1 - p))
    assert router.loss(batch, labels).item() == pytest.approx(0.5 * np.mean(terms), rel=1e-4)


def test_an_image_asks_the_experts_in_order_until_one_says_no():
    batch, router = outputs(), RouterAggregator(C, K, D)
    used = router.experts_used(batch)
    decisions = router.decide(batch) > 0
    for n in range(N):
        number = 1
        while number < K and decisions[number - 1, n]:
            number += 1
        assert used[:, n].tolist() == [1.0] * number + [0.0] * (K - number)
        torch.testing.assert_close(router(batch)[n], batch.logits[:number, n].mean(0))


def test_the_experts_get_no_gradient_from_the_routers():
    batch, router = outputs(requires_grad=True), RouterAggregator(C, K, D)
    router.loss(batch, torch.zeros(N, dtype=torch.long)).backward()
    assert batch.logits.grad is None
    assert all(feat.grad is None for feat in batch.feats)
    assert all(p.grad is not None for p in router.parameters())


def test_one_expert_needs_no_router():
    batch = ExpertOutputs((torch.randn(N, D),), torch.randn(1, N, C))
    router = RouterAggregator(C, 1, D)
    torch.testing.assert_close(router(batch), batch.logits[0])
    assert router.loss(batch, torch.zeros(N, dtype=torch.long)) == 0


def test_the_head_trains_an_aggregator_that_learns():
    head = ECLHead(
        C,
        D,
        num_experts=K,
        label_loss=dict(type='CrossEntropyLoss'),
        aggregator=dict(type='RouterAggregator', hid_channels=3),
    )
    batch = outputs()
    losses = head.losses(head.outputs(batch.feats), torch.zeros(N, dtype=torch.long))
    assert set(losses) == {'label_loss', 'aggregator_loss'}
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in head.parameters())


def test_many_classes_and_extremes_stay_finite():
    logits = (1e4 * torch.randn(K, 2, 8142).sign()).requires_grad_()
    loss = ExpertDiversityLoss(8142)
    loss.set_class_counts(range(8142, 0, -1))
    loss.set_progress(0.8)
    value = loss(ExpertOutputs((), logits), torch.zeros(2))
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()
