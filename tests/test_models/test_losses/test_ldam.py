import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

from ecl.errors import UserError
from ecl.models.losses import LDAMLoss

COUNTS = [400, 81, 16, 1]


def ldam_reference(logits, labels, counts, scale, max_margin, beta):
    """Float64 NumPy; beta None for equal weights."""
    counts = np.asarray(counts, dtype=np.float64)
    margins = counts**-0.25 / (counts**-0.25).max() * max_margin
    per_class = np.ones(len(counts))
    if beta is not None:
        per_class = (1 - beta) / (1 - beta**counts)
    total = weight = 0.0
    for z, y in zip(logits.astype(np.float64), labels, strict=True):
        z = z.copy()
        z[y] -= scale * margins[y]
        total += per_class[y] * (np.log(np.exp(z - z.max()).sum()) + z.max() - z[y])
        weight += per_class[y]
    return total / weight


def build(progress=0.0, **options):
    loss = LDAMLoss(4, **options)
    loss.set_class_counts(COUNTS)
    loss.set_progress(progress)
    return loss


def batch():
    return 30 * torch.rand(6, 4) - 15, torch.tensor([0, 3, 2, 2, 1, 3])


@pytest.mark.parametrize(
    ('progress', 'beta'), [(0.0, None), (0.79, None), (0.8, 0.9999), (0.9, 0.99)]
)
def test_ldam_matches_the_reference(progress, beta):
    logits, labels = batch()
    loss = build(progress, beta=beta or 0.9999, max_margin=0.4, loss_weight=0.5)
    expected = 0.5 * ldam_reference(logits.numpy(), labels.tolist(), COUNTS, 30, 0.4, beta)
    assert loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)


def test_margins_end_at_the_smallest_class():
    margins = build().margins
    assert margins[3] == 0.5
    torch.testing.assert_close(margins[1:3] / margins[3], torch.tensor([1 / 3, 1 / 2]))


def test_without_margin_and_weights_it_is_plain_cross_entropy():
    logits, labels = batch()
    loss = build(0.99, max_margin=0, reweight_from=1)
    expected = F.cross_entropy(logits, labels)
    torch.testing.assert_close(loss(logits, labels), expected)


def test_equal_counts_make_the_deferred_weights_equal():
    logits, labels = batch()
    early, late = build(0.1), build(0.9)
    for loss in (early, late):
        loss.set_class_counts([20] * 4)
    torch.testing.assert_close(late(logits, labels), early(logits, labels))


def test_extremes_stay_finite():
    labels = torch.zeros(1, dtype=torch.long)
    loss = build(0.9)
    for value in (-1e4, 1e4):
        logits = torch.full((1, 4), value, requires_grad=True)
        result = loss(logits, labels)
        result.backward()
        assert result.isfinite()
        assert logits.grad.isfinite().all()


def test_what_it_has_not_been_told_is_named():
    loss = LDAMLoss(4)
    loss.set_class_counts(COUNTS)
    with pytest.raises(UserError, match='TrainingProgressHook'):
        loss(*batch())


def test_counts_may_arrive_after_the_progress():
    loss = LDAMLoss(4)
    loss.set_progress(0.9)
    loss.set_class_counts(COUNTS)
    torch.testing.assert_close(loss(*batch_of_seed()), build(0.9)(*batch_of_seed()))


def batch_of_seed():
    torch.manual_seed(0)
    return batch()


def test_mixed_labels_are_refused_by_name():
    with pytest.raises(UserError, match='train_cfg'):
        build()(torch.zeros(1, 4), torch.full((1, 4), 0.25))


def test_without_deferred_weights_no_progress_is_needed():
    loss = LDAMLoss(4, reweight_from=1)
    loss.set_class_counts(COUNTS)
    assert loss(*batch()).isfinite()


@pytest.mark.parametrize('options', [{'scale': 0}, {'max_margin': -1}, {'beta': 1.0}])
def test_bad_options_of_ldam_are_named(options):
    with pytest.raises(UserError, match=next(iter(options))):
        LDAMLoss(4, **options)


def weighted(part):
    logits = (30 * torch.linspace(-0.5, 0.5, 24).sin().view(6, 4))[part].requires_grad_()
    build(0.9, beta=0.99)(logits, batch()[1][part]).backward()
    return logits.grad


def half(rank, folder):
    store = dist.FileStore(f'{folder}/rendezvous', 2)
    dist.init_process_group('gloo', store=store, rank=rank, world_size=2)
    torch.save(weighted(slice(3 * rank, 3 * rank + 3)) / 2, f'{folder}/{rank}.pth')
    dist.destroy_process_group()


def test_two_processes_weight_as_one(tmp_path):
    mp.start_processes(half, (str(tmp_path),), nprocs=2, start_method='fork')
    found = torch.cat([torch.load(tmp_path / f'{rank}.pth') for rank in (0, 1)])
    torch.testing.assert_close(found, weighted(slice(None)))
