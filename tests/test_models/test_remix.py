import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope

from ecl.errors import UserError
from ecl.models import MultiViewDataPreprocessor, Remix

COUNTS = [90, 30, 29, 10]


def share(lam, i, j, kappa=3.0, tau=0.5):
    """Equation 9 of the paper for one pair of images."""
    ratio = COUNTS[i] / COUNTS[j]
    if ratio >= kappa and lam < tau:
        return 0.0
    if ratio <= 1 / kappa and 1 - lam < tau:
        return 1.0
    return lam


@pytest.mark.parametrize('lam', [0.1, 0.5, 0.9])
def test_every_pair_follows_the_equation(lam):
    remix = Remix()
    remix.set_class_counts(COUNTS)
    first = torch.arange(4).repeat_interleave(4)
    order = torch.arange(16).reshape(4, 4).T.flatten()  # image of classes (i, j) with (j, i)
    images, labels = torch.rand(16, 3, 2, 2), F.one_hot(first, 4).float()
    mixed, targets = remix.mix(images, labels, lam, order)
    torch.testing.assert_close(mixed, lam * images + (1 - lam) * images[order])
    for n in range(16):
        i, j = first[n].item(), first[order[n]].item()
        expected = torch.zeros(4)
        expected[i] += share(lam, i, j)
        expected[j] += 1 - share(lam, i, j)
        torch.testing.assert_close(targets[n], expected)


@pytest.mark.parametrize('alpha', [0.2, 1.0])
def test_a_batch_is_mixed_with_itself_in_another_order_by_a_beta_variable(alpha):
    remix = Remix(alpha=alpha, tau=0.0)
    remix.set_class_counts(COUNTS)
    images = torch.eye(4).view(4, 4, 1, 1)
    own, mixed_pairs = [], 0
    for _ in range(400):
        mixed, targets = remix(images, torch.eye(4))
        torch.testing.assert_close(mixed.flatten(1), targets)
        torch.testing.assert_close(targets.sum(0), torch.ones(4))  # a partner for each
        changed = targets.diagonal()[targets.diagonal() < 1]
        mixed_pairs += len(changed)
        own += changed[:1].tolist()
    assert mixed_pairs == pytest.approx(400 * 3, abs=200)  # one of four is its own partner
    assert np.mean(own) == pytest.approx(0.5, abs=0.1)
    assert np.var(own) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.25)


def test_without_a_threshold_it_is_mixup():
    remix = Remix(tau=0.0)
    remix.set_class_counts(COUNTS)
    labels, order = torch.eye(4), torch.tensor([3, 2, 1, 0])
    _, targets = remix.mix(torch.rand(4, 3, 2, 2), labels, 0.2, order)
    torch.testing.assert_close(targets, 0.2 * labels + 0.8 * labels[order])


def test_mixed_precision_rounds_no_count():
    counts = [299, 257, 3, 1]
    images, labels, order = torch.rand(4, 3, 2, 2), torch.eye(4), torch.tensor([3, 2, 1, 0])
    mixed = []
    for enabled in (False, True):
        remix = Remix()
        remix.set_class_counts(counts)
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=enabled):
            mixed += [remix.mix(images, labels, 0.2, order)]
    assert all(torch.equal(one, other) for one, other in zip(*mixed, strict=True))
    assert mixed[1][1].dtype == torch.float32


def test_the_preprocessor_passes_the_counts_on(fresh_engine_state):
    init_default_scope('ecl')
    augments = dict(augments=[dict(type='Remix'), dict(type='Mixup', alpha=1.0)])
    preprocessor = MultiViewDataPreprocessor(batch_augments=augments, num_classes=4)
    preprocessor.set_class_counts(COUNTS)
    assert preprocessor.batch_augments.augments[0].class_counts.tolist() == COUNTS


def test_without_counts_it_says_how_to_get_them():
    with pytest.raises(UserError, match='ClassCountsHook'):
        Remix()(torch.rand(2, 3, 2, 2), torch.eye(2))
