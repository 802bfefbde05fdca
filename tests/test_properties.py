"""What holds for any data: samplers, losses and metrics on drawn cases."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ecl.datasets import (
    ClassAwareSampler,
    ProgressivelyBalancedSampler,
    RepeatFactorSampler,
    samplers,
)
from ecl.evaluation import ShotAccuracy
from ecl.models.losses import (
    BalancedSoftmaxLoss,
    DistillWeighting,
    LDAMLoss,
    ReweightedDistillLoss,
)
from ecl.models.ncl import NCLLoss
from ecl.models.outputs import ExpertOutputs
from ecl.shots import shot_groups

quick = settings(deadline=None, max_examples=40)
COUNTS = st.lists(st.integers(1, 40), min_size=2, max_size=8)


class Labelled:
    def __init__(self, counts):
        self.labels = np.repeat(np.arange(len(counts)), counts)

    def get_gt_labels(self):
        return self.labels

    def __len__(self):
        return len(self.labels)


SAMPLERS = {
    'by image': lambda data: ClassAwareSampler(data, seed=1, exponent=1),
    'by root': lambda data: ClassAwareSampler(data, seed=1, exponent=0.5),
    'by class': lambda data: ClassAwareSampler(data, seed=1),
    'progressive': lambda data: ProgressivelyBalancedSampler(data, max_epochs=5, seed=1),
    'repeats': lambda data: RepeatFactorSampler(data, threshold=0.2, seed=1),
}


@pytest.mark.parametrize('kind', SAMPLERS)
@quick
@given(counts=COUNTS, world_size=st.integers(1, 5), epoch=st.integers(0, 6))
def test_the_processes_share_one_order_of_valid_images(kind, counts, world_size, epoch):
    shares = []
    for rank in range(world_size):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, world_size))
            sampler = SAMPLERS[kind](Labelled(counts))
        sampler.set_epoch(epoch)
        shares.append(list(sampler))
        assert len(shares[-1]) == len(sampler)
    alone = SAMPLERS[kind](Labelled(counts))
    alone.set_epoch(epoch)
    assert len({len(share) for share in shares}) == 1
    together = np.stack(shares, axis=1).ravel()
    assert together.min() >= 0
    assert together.max() < sum(counts)
    assert len(alone) <= len(together) < len(alone) + world_size
    # Within a class no image comes twice more often than another.
    labels = Labelled(counts).labels
    times = np.bincount(together, minlength=sum(counts))
    slack = 1 if kind != 'repeats' else 1 + world_size
    assert all(np.ptp(times[labels == label]) <= slack for label in range(len(counts)))


def logits_of(counts, experts, images, seed, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, experts, images, len(counts))
    labels = torch.randint(len(counts), (images,), generator=generator)
    return *(scale * torch.randn(shape, generator=generator, dtype=torch.float64)), labels


CASES = dict(
    counts=COUNTS,
    experts=st.integers(2, 4),
    images=st.integers(1, 6),
    seed=st.integers(0, 10**6),
)


@quick
@given(**CASES, tau=st.floats(-2, 2))
def test_balanced_softmax_is_cross_entropy_of_shifted_logits(counts, experts, images, seed, tau):
    logits, _, labels = logits_of(counts, experts, images, seed)
    loss = BalancedSoftmaxLoss(len(counts), tau)
    loss.set_class_counts(counts)
    prior = torch.tensor(counts, dtype=torch.float64)
    shifted = logits + tau * (prior / prior.sum()).log()
    for expert, expected in zip(logits, shifted, strict=True):
        reference = F.cross_entropy(expected, labels).item()
        assert loss(expert, labels).item() == pytest.approx(reference, rel=1e-4, abs=1e-5)
    # The scale of the counts and a common shift of the logits change nothing.
    loss.set_class_counts([7 * count for count in counts])
    assert loss(logits[-1] + 5, labels).item() == pytest.approx(reference, rel=1e-4, abs=1e-4)


@quick
@given(**CASES, comparison=st.sampled_from(['ratio', 'difference', 'loss_ratio', None]))
def test_distillation_is_no_less_than_zero_and_zero_between_equals(
    counts, experts, images, seed, comparison
):
    by_labels, by_peers, labels = logits_of(counts, experts, images, seed)
    weighting = comparison and dict(type='DistillWeighting', comparison=comparison)
    loss = ReweightedDistillLoss(len(counts), experts, 'peers_and_labels', weighting)
    value = loss(ExpertOutputs((), by_labels, by_peers), labels)
    assert torch.isfinite(value)
    assert value >= -1e-5
    same = by_labels[:1].expand_as(by_labels)
    assert loss(ExpertOutputs((), same, same), labels).item() == pytest.approx(0, abs=1e-5)
    # The order of the experts and of the images is nobody's business.
    shuffle = torch.randperm(images)
    shuffled = ExpertOutputs((), *(x.flip(0)[:, shuffle] for x in (by_labels, by_peers)))
    other = loss(shuffled, labels[shuffle])
    assert other.item() == pytest.approx(value.item(), rel=1e-3, abs=1e-5)


@quick
@given(
    **CASES,
    scale=st.sampled_from([0.0, 1.0, 100.0, 1e4]),
    gamma=st.floats(0, 4),
    w_max=st.floats(1, 20),
)
def test_weights_are_positive_of_mean_one_and_bounded(
    counts, experts, images, seed, scale, gamma, w_max
):
    by_labels, by_peers, labels = logits_of(counts, experts, images, seed, scale)
    comparison = DistillWeighting(experts, len(counts), gamma=gamma, w_max=w_max)
    weights = comparison(ExpertOutputs((), by_labels, by_peers), labels)
    assert weights.shape == (experts, images)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.mean(1), torch.ones(experts), rtol=1e-4, atol=1e-4)
    spread = weights.amax(1) / weights.amin(1)
    assert (spread <= w_max**2 * (1 + 1e-3)).all()


@quick
@given(**CASES, scale=st.sampled_from([0.0, 1.0, 1e3]))
def test_losses_and_gradients_stay_finite_at_extreme_logits(counts, experts, images, seed, scale):
    by_labels, by_peers, labels = logits_of(counts, experts, images, seed, scale)
    losses = [
        ReweightedDistillLoss(
            len(counts), experts, 'peers_and_labels', dict(type='DistillWeighting')
        ),
        NCLLoss(len(counts), num_hard=2),
        BalancedSoftmaxLoss(len(counts)),
        LDAMLoss(len(counts), reweight_from=0.0),
    ]
    for loss in losses:
        for module in loss.modules():
            if hasattr(module, 'set_class_counts'):
                module.set_class_counts(counts)
            if hasattr(module, 'set_progress'):
                module.set_progress(0.5)
        inputs = [t.clone().requires_grad_() for t in (by_labels, by_peers)]
        single = isinstance(loss, BalancedSoftmaxLoss | LDAMLoss)
        value = loss(inputs[0][0] if single else ExpertOutputs((), *inputs), labels)
        value.backward()
        assert torch.isfinite(value)
        assert all(t.grad is None or t.grad.isfinite().all() for t in inputs)


@quick
@given(
    counts=st.lists(st.integers(1, 300), min_size=2, max_size=8),
    bounds=st.tuples(st.integers(0, 300), st.integers(0, 300)).map(sorted),
)
def test_every_class_is_in_one_group(counts, bounds):
    groups = shot_groups(counts, tuple(bounds))
    assert sorted(np.concatenate(list(groups.values())).tolist()) == list(range(len(counts)))
    assert all(len(ids) for ids in groups.values())


@quick
@given(
    counts=st.lists(st.integers(1, 300), min_size=2, max_size=6),
    seed=st.integers(0, 10**6),
    images=st.integers(1, 30),
)
def test_accuracy_is_a_mean_over_images_and_over_groups(counts, seed, images):
    generator = np.random.default_rng(seed)
    labels = generator.integers(len(counts), size=images)
    scores = torch.from_numpy(generator.random((images, len(counts))))
    metric = ShotAccuracy(class_counts=counts)
    metric.process(
        None,
        [
            {'gt_label': torch.tensor([label]), 'pred_score': score}
            for label, score in zip(labels.tolist(), scores, strict=True)
        ],
    )
    found = metric.evaluate(images)
    right = scores.argmax(1).numpy() == labels
    assert found['shot/overall'] == pytest.approx(100 * right.mean())
    seen = np.unique(labels)
    by_class = {label: 100 * right[labels == label].mean() for label in seen}
    assert found['shot/balanced'] == pytest.approx(np.mean(list(by_class.values())))
    sizes = {k: np.intersect1d(v, seen).size for k, v in shot_groups(counts).items()}
    parts = sum(found[f'shot/{name}'] * size for name, size in sizes.items() if size)
    assert parts / seen.size == pytest.approx(found['shot/balanced'])
    assert all(0 <= value <= 100 for value in found.values())
