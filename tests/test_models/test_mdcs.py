import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmpretrain.structures import DataSample
from torch import nn

from ecl.errors import UserError
from ecl.models.mdcs import confident_divergence
from ecl.registry import MODELS

K, N, C = 3, 8, 5
TAUS = (-0.5, 1.0, 2.5)


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def reference(weak, strong, labels):
    """Float64 NumPy, expert by expert and image by image."""
    weak, strong = (z.double().numpy() for z in (weak, strong))
    means = []
    for k in range(len(weak)):
        known = []
        for n, y in enumerate(labels):
            p, q = softmax(weak[k, n]), softmax(strong[k, n])
            if p.argmax() == y:
                known.append((p * np.log(p / q)).sum())
        means.append(np.mean(known) if known else 0.0)
    return means


def build(num_experts=K, taus=TAUS, progress=0.5, **contrast):
    torch.manual_seed(0)
    losses = [dict(type='BalancedSoftmaxLoss', tau=tau, loss_weight=0.5) for tau in taus]
    model = MODELS.build(
        dict(
            type='ECLClassifier',
            backbone=dict(
                type='MultiExpertBackbone',
                num_experts=num_experts,
                shared_stages=1,
                backbone=dict(type='ResNetCIFAR', depth=8, norm_eval=True),
            ),
            head=dict(type='ECLHead', num_classes=C, label_loss=losses),
            contrast=dict(type='ConsistencyDistillation', **contrast),
        )
    )
    model.init_weights()
    for p in model.head.parameters():
        nn.init.normal_(p)
    for module in model.modules():
        if hasattr(module, 'set_class_counts'):
            module.set_class_counts([50, 20, 10, 5, 1])
    if progress is not None:
        model.contrast.set_progress(progress)
    return model.train()


def batch(n=N):
    generator = torch.Generator().manual_seed(1)
    views = [torch.rand(n, 3, 16, 16, generator=generator) for _ in range(2)]
    return views, [DataSample().set_gt_label(i % C) for i in range(n)]


@pytest.mark.parametrize(('k', 'c'), [(K, C), (1, C), (2, 2), (2, 8142)])
def test_divergence_matches_the_reference(k, c):
    labels = torch.randint(c, (N,))
    weak, strong = torch.randn(2, k, N, c)
    weak[:, : N // 2].scatter_(2, labels[: N // 2].expand(k, -1)[..., None], 9.0)
    expected = reference(weak, strong, labels.tolist())
    assert max(expected) > 0
    np.testing.assert_allclose(confident_divergence(weak, strong, labels), expected, rtol=1e-4)


def test_nothing_is_learnt_from_what_an_expert_does_not_know():
    labels = torch.randint(C, (N,))
    weak = nn.functional.one_hot((labels + 1) % C, C).float().expand(K, N, C)
    strong = torch.randn(K, N, C, requires_grad=True)
    loss = confident_divergence(weak, strong, labels).sum()
    loss.backward()
    assert loss == 0
    assert not strong.grad.any()


def test_equal_predictions_have_no_divergence_and_teachers_no_gradient():
    labels = torch.randint(C, (N,))
    logits = torch.randn(K, N, C, requires_grad=True)
    assert confident_divergence(logits, logits.detach() + 3, labels).sum().abs() < 1e-5
    assert not confident_divergence(logits, logits.detach(), labels).requires_grad


@pytest.mark.parametrize('scale', [1e4, 1e30])
def test_extreme_logits_stay_finite(scale):
    labels = torch.zeros(N, dtype=torch.long)
    weak = scale * nn.functional.one_hot(labels, C).float().expand(K, N, C)
    strong = weak.neg().requires_grad_()
    loss = confident_divergence(weak, strong, labels).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert strong.grad.isfinite().all()


def test_bfloat16_is_close():
    labels = torch.randint(C, (N,))
    weak, strong = torch.randn(2, K, N, C).bfloat16()
    low = confident_divergence(weak, strong, labels)
    exact = confident_divergence(weak.float(), strong.float(), labels)
    torch.testing.assert_close(low.float(), exact, rtol=0.1, atol=0.05)


def test_the_loss_is_that_of_the_weak_view_plus_the_distillation():
    model = build(loss_weight=0.6)
    views, samples = batch()
    losses = model(views, samples, mode='loss')
    labels = torch.tensor([sample.gt_label for sample in samples])
    prior = torch.tensor([50, 20, 10, 5, 1]).double().div(86).log()
    with torch.no_grad():
        strong, weak = (
            torch.stack(
                [
                    z.double() + tau * prior
                    for z, tau in zip(
                        model.head.outputs(model.extract_feat(view)).logits, TAUS, strict=True
                    )
                ]
            )
            for view in views
        )
    label = [-z.log_softmax(-1)[:, range(N), labels].mean(1) for z in (strong, weak)]
    distill = reference(weak, strong, labels.tolist())
    assert max(distill) > 0
    assert losses['label_loss'].item() == pytest.approx(0.5 * label[0].sum().item(), rel=1e-4)
    expected = 0.5 * label[1].sum().item() + 0.6 * sum(distill)
    assert losses['contrast_loss'].item() == pytest.approx(expected, rel=1e-4)


def test_without_distillation_both_views_count_the_same():
    model = build(loss_weight=0.0)
    (view, _), samples = batch()
    losses = model([view, view], samples, mode='loss')
    torch.testing.assert_close(losses['contrast_loss'], losses['label_loss'])


def test_the_factor_grows_with_the_progress():
    model = build(warmup=0.1)
    for progress, expected in [(0.0, 0.0), (0.05, 0.5), (0.5, 1.0)]:
        model.contrast.set_progress(progress)
        assert model.contrast.ramp == pytest.approx(expected)
    model.contrast.warmup = 0
    model.contrast.set_progress(0.0)
    assert model.contrast.ramp == 1


def test_a_warmup_needs_the_progress():
    views, samples = batch()
    with pytest.raises(UserError, match=r'TrainingProgressHook .*, or set warmup=0'):
        build(warmup=0.1, progress=None)(views, samples, mode='loss')
    build(warmup=0, progress=None)(views, samples, mode='loss')


def test_one_expert_teaches_itself():
    model = build(num_experts=1, taus=(1.0,))
    losses = model(*batch(), mode='loss')
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_it_owns_no_parameters_and_saves_nothing():
    model = build()
    assert not list(model.contrast.parameters())
    assert not [key for key in model.state_dict() if key.startswith('contrast')]


def test_bad_options_views_and_targets_are_refused():
    with pytest.raises(UserError, match='loss_weight'):
        build(loss_weight=-1)
    with pytest.raises(UserError, match='warmup'):
        build(warmup=2)
    model = build()
    views, samples = batch()
    with pytest.raises(UserError, match=r'model\.contrast'):
        model(views[0], samples, mode='loss')
    with pytest.raises(UserError, match='ConsistencyDistillation'):
        model.contrast(None, torch.full((N, C), 1 / C), views[1:])


def gradients(part):
    model = build()
    views, samples = batch()
    sum(model([v[part] for v in views], samples[part], mode='loss').values()).backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def half(rank, folder):
    torch.set_num_threads(1)
    store = dist.FileStore(f'{folder}/rendezvous', 2)
    dist.init_process_group('gloo', store=store, rank=rank, world_size=2)
    # The halves know different numbers of images.
    grads = gradients(slice(rank * N // 2, (rank + 1) * N // 2))
    for grad in grads.values():
        dist.all_reduce(grad)
        grad /= 2
    if rank == 0:
        torch.save(grads, f'{folder}/grads.pth')
    dist.destroy_process_group()


def test_two_processes_agree_with_one(tmp_path):
    expected = gradients(slice(0, N))
    mp.start_processes(half, (str(tmp_path),), nprocs=2, start_method='fork')
    found = torch.load(tmp_path / 'grads.pth', weights_only=True)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-5, msg=key)
