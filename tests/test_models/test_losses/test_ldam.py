import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ecl.errors import UserError
from ecl.models.losses import LDAMLoss

COUNTS = [400, 81, 16, 1]


def reference(logits, labels, counts, scale, max_margin, beta):
    """Float64 NumPy; beta None for equal weights."""
    counts = np.asarray(counts, dtype=np.float64)
    margins = counts**-0.25 / (counts**-0.25).max() * max_margin
    per_class = np.ones(len(counts))
    if beta is not None:
        per_class = (1 - beta) / (1 - beta**counts)
    total = weight = 0.0
    for expert in logits.astype(np.float64):
        for z, y in zip(expert, labels, strict=True):
            z = z.copy()
            z[y] -= scale * margins[y]
            total += per_class[y] * (np.log(np.exp(z - z.max()).sum()) + z.max() - z[y])
            weight += per_class[y]
    return total / weight


def build(progress=0.0, **options):
    loss = LDAMLoss(**options)
    loss.set_class_counts(COUNTS)
    loss.set_progress(progress)
    return loss


def batch():
    return 30 * torch.rand(2, 6, 4) - 15, torch.tensor([0, 3, 2, 2, 1, 3])


@pytest.mark.parametrize(
    ('progress', 'beta'), [(0.0, None), (0.79, None), (0.8, 0.9999), (0.9, 0.99)]
)
def test_matches_the_reference(progress, beta):
    logits, labels = batch()
    loss = build(progress, beta=beta or 0.9999, max_margin=0.4, loss_weight=0.5)
    expected = 0.5 * reference(logits.numpy(), labels.tolist(), COUNTS, 30, 0.4, beta)
    assert loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)


def test_margins_end_at_the_smallest_class():
    margins = build().margins
    assert margins[3] == 0.5
    torch.testing.assert_close(margins[1:3] / margins[3], torch.tensor([1 / 3, 1 / 2]))


def test_without_margin_and_weights_it_is_plain_cross_entropy():
    logits, labels = batch()
    loss = build(0.99, max_margin=0, reweight_from=1)
    expected = F.cross_entropy(logits.flatten(0, 1), labels.repeat(2))
    torch.testing.assert_close(loss(logits, labels), expected)


def test_equal_counts_make_the_deferred_weights_equal():
    logits, labels = batch()
    early, late = build(0.1), build(0.9)
    for loss in (early, late):
        loss.set_class_counts([20] * 4)
    torch.testing.assert_close(late(logits, labels), early(logits, labels))


def test_extremes_and_mixed_precision():
    labels = torch.zeros(1, dtype=torch.long)
    loss = build(0.9)
    for value in (-1e4, 1e4):
        logits = torch.full((1, 1, 4), value, requires_grad=True)
        with torch.autocast('cpu', torch.bfloat16):
            result = loss(logits, labels)
        result.backward()
        assert result.dtype == torch.float32
        assert result.isfinite()
        assert logits.grad.isfinite().all()


def test_nothing_of_it_is_in_the_checkpoint():
    assert not build().state_dict()


def test_what_it_has_not_been_told_is_named():
    logits, labels = batch()
    loss = LDAMLoss()
    with pytest.raises(UserError, match='ClassCountsHook and TrainingProgressHook'):
        loss(logits, labels)
    loss.set_class_counts(COUNTS)
    with pytest.raises(UserError, match='TrainingProgressHook'):
        loss(logits, labels)
    with pytest.raises(UserError, match='no training image of class 1'):
        loss.set_class_counts([3, 0, 1, 1])


def test_without_deferred_weights_no_progress_is_needed():
    loss = LDAMLoss(reweight_from=1)
    loss.set_class_counts(COUNTS)
    assert loss(*batch()).isfinite()


@pytest.mark.parametrize('options', [{'scale': 0}, {'max_margin': -1}, {'beta': 1.0}])
def test_bad_options_are_named(options):
    with pytest.raises(UserError, match=next(iter(options))):
        LDAMLoss(**options)
