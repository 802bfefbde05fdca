import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

from ecl.errors import UserError
from ecl.models.losses import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    LDAMLoss,
    SoftmaxFocalLoss,
)


def reference(logits, labels, counts, tau):
    """Float64 NumPy: mean over images of -log softmax(a + tau log pi)[y]."""
    z = logits.astype(np.float64) + tau * np.log(np.asarray(counts) / np.sum(counts))
    z = z - z.max(-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return -np.mean([log_p[i, y] for i, y in enumerate(labels)])


@pytest.mark.parametrize('tau', [-1.0, 0.0, 0.7, 1.0, 2.0])
def test_matches_the_reference(tau):
    logits = torch.randn(6, 5) * 4
    labels = torch.tensor([0, 4, 2, 2, 1, 3])
    counts = [500, 100, 20, 5, 1]
    loss = BalancedSoftmaxLoss(5, tau=tau, loss_weight=0.3)
    loss.set_class_counts(counts)
    expected = 0.3 * reference(logits.numpy(), labels.tolist(), counts, tau)
    assert loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)


def test_equal_counts_give_plain_cross_entropy():
    logits, labels = torch.randn(8, 4), torch.randint(4, (8,))
    loss = BalancedSoftmaxLoss(4)
    loss.set_class_counts([7] * 4)
    expected = F.cross_entropy(logits, labels)
    torch.testing.assert_close(loss(logits, labels), expected)


def test_gradient_pushes_rare_classes_up_more():
    logits = torch.zeros(2, 2, requires_grad=True)
    loss = BalancedSoftmaxLoss(2)
    loss.set_class_counts([99, 1])
    loss(logits, torch.tensor([0, 1])).backward()
    frequent, rare = -logits.grad[0, 0], -logits.grad[1, 1]
    assert rare > 50 * frequent > 0


def test_mixed_labels_give_the_mean_of_the_two_losses():
    logits, loss = torch.randn(1, 3), BalancedSoftmaxLoss(3)
    loss.set_class_counts([9, 3, 1])
    mixed = loss(logits, torch.tensor([[0.3, 0.0, 0.7]]))
    by_class = [loss(logits, torch.tensor([c])) for c in (0, 2)]
    torch.testing.assert_close(mixed, 0.3 * by_class[0] + 0.7 * by_class[1])


@pytest.mark.parametrize('loss', [BalancedSoftmaxLoss(3), LDAMLoss(3)])
@pytest.mark.parametrize('counts', [[3, 0, 2], [1, 1]])
def test_counts_that_do_not_fit_are_refused(loss, counts):
    with pytest.raises(UserError, match=type(loss).__name__):
        loss.set_class_counts(counts)


@pytest.mark.parametrize(
    'loss', [BalancedSoftmaxLoss(3), LDAMLoss(3, reweight_from=1), ClassBalancedLoss(3)]
)
def test_without_counts_it_says_how_to_get_them(loss):
    with pytest.raises(UserError, match='set_class_counts'):
        loss(torch.zeros(1, 3), torch.tensor([0]))


def test_plain_cross_entropy_needs_no_counts():
    logits, labels = torch.randn(4, 3), torch.randint(3, (4,))
    loss = BalancedSoftmaxLoss(3, tau=0)(logits, labels)
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels))


@pytest.mark.parametrize('loss', [BalancedSoftmaxLoss(3), LDAMLoss(3)])
def test_buffers_have_their_shape_from_the_start_and_are_not_saved(loss):
    before = {k: (v.shape, v.data_ptr()) for k, v in loss.named_buffers()}
    loss.set_class_counts([4, 2, 1])
    assert {k: (v.shape, v.data_ptr()) for k, v in loss.named_buffers()} == before
    assert not loss.state_dict()


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


@pytest.mark.parametrize('beta', [0.0, 0.9, 0.9999])
def test_class_balanced_matches_the_reference(beta):
    logits, labels = 4 * torch.randn(6, 4), torch.tensor([0, 3, 2, 2, 1, 3])
    loss = ClassBalancedLoss(4, beta=beta, loss_weight=0.5)
    loss.set_class_counts(COUNTS)
    weights = (1 - beta) / (1 - beta ** np.array(COUNTS, dtype=np.float64))
    weights *= 4 / weights.sum()
    z = logits.double().numpy()
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    expected = -0.5 * np.mean([weights[y] * log_p[i, y] for i, y in enumerate(labels)])
    assert loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)
    soft = loss(logits, F.one_hot(labels, 4).float())
    torch.testing.assert_close(soft, loss(logits, labels))


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
def test_focal_matches_the_reference(gamma):
    logits, labels = 4 * torch.randn(6, 4), torch.tensor([0, 3, 2, 2, 1, 3])
    z = logits.double().numpy()
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    terms = [-((1 - p[i, y]) ** gamma) * np.log(p[i, y]) for i, y in enumerate(labels)]
    result = SoftmaxFocalLoss(gamma, loss_weight=0.5)(logits, labels).item()
    assert result == pytest.approx(0.5 * np.mean(terms), rel=1e-4)


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
def test_an_image_that_is_certain_has_no_focal_loss_and_no_gradient(gamma):
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    loss = SoftmaxFocalLoss(gamma)(logits, torch.tensor([0]))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize('loss', [ClassBalancedLoss(8142), SoftmaxFocalLoss(0.5)])
def test_extremes_of_many_classes_stay_finite(loss):
    if isinstance(loss, ClassBalancedLoss):
        loss.set_class_counts(range(1, 8143))
    for scale in (0.0, 1e4):
        logits = (scale * torch.randn(2, 8142).sign()).requires_grad_()
        value = loss(logits, torch.tensor([0, 8141]))
        value.backward()
        assert value.isfinite()
        assert logits.grad.isfinite().all()


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
