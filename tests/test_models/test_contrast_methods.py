"""What every contrastive branch must do, in a whole model."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmpretrain.structures import DataSample
from torch.nn.parallel import DistributedDataParallel

from ecl.registry import MODELS

N, C = 8, 5
NECK = dict(type='ContrastiveNeck', hid_channels=16, out_channels=16)
BRANCHES = {
    'MomentumContrast': dict(type='MomentumContrast', queue_size=16, neck=NECK),
    'ParametricContrast': dict(type='ParametricContrast', queue_size=16, neck=NECK),
    'BalancedContrast': dict(type='BalancedContrast', neck=NECK),
    'ProbabilisticContrast': dict(type='ProbabilisticContrast', neck=NECK),
    'MixtureConsistency': dict(type='MixtureConsistency', hid_channels=16),
}
branches = pytest.mark.parametrize('contrast', BRANCHES.values(), ids=BRANCHES)


def build(contrast, num_experts=2, num_classes=C, norm_eval=False):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='ECLClassifier',
            backbone=dict(
                type='MultiExpertBackbone',
                num_experts=num_experts,
                backbone=dict(type='ResNetCIFAR', depth=8, norm_eval=norm_eval),
            ),
            head=dict(type='ECLHead', num_classes=num_classes),
            contrast=contrast,
        )
    )
    model.init_weights()
    for module in model.modules():
        if hasattr(module, 'set_class_counts'):
            module.set_class_counts(range(1, num_classes + 1))
        if hasattr(module, 'set_progress'):
            module.set_progress(0.5)
    return model.train()


def batch(num_views=3, num_classes=C):
    generator = torch.Generator().manual_seed(1)
    views = [torch.rand(N, 3, 16, 16, generator=generator) for _ in range(num_views)]
    return views, [DataSample().set_gt_label(i % num_classes) for i in range(N)]


def loss_of(model, views, samples):
    return sum(model(views, samples, mode='loss').values())


@branches
@pytest.mark.parametrize('num_experts', [1, 3])
def test_every_parameter_learns(contrast, num_experts):
    model = build(contrast, num_experts)
    loss_of(model, *batch()).backward()
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]


@branches
def test_buffers_are_updated_in_place(contrast):
    model = build(contrast)
    places = {k: v.data_ptr() for k, v in model.contrast.state_dict().items()}
    for _ in range(3):
        loss_of(model, *batch()).backward()
    assert {k: v.data_ptr() for k, v in model.contrast.state_dict().items()} == places


@branches
def test_a_saved_branch_goes_on_as_if_never_stopped(contrast):
    whole, resumed = build(contrast), build(contrast)
    loss_of(whole, *batch())
    resumed.load_state_dict(whole.state_dict())
    losses = []
    for model in (whole, resumed):
        torch.manual_seed(1)
        losses.append(loss_of(model, *batch()))
    assert torch.equal(*losses)
    for one, other in zip(whole.buffers(), resumed.buffers(), strict=True):
        assert torch.equal(one, other)


@branches
def test_mixed_precision_and_as_many_classes_as_inaturalist(contrast):
    model = build(contrast, num_classes=8142)
    for _ in range(2):
        model.zero_grad()
        with torch.autocast('cpu', torch.bfloat16):
            loss = loss_of(model, *batch(num_classes=8142))
        loss.backward()
        assert loss.isfinite()
        assert loss.dtype == torch.float32
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def step(model, part):
    views, samples = batch()
    # The images stay as they are, so that both see the same.
    contrast = getattr(model, 'module', model).contrast
    if hasattr(contrast, 'mix_views'):
        contrast.mix_views = lambda views, targets: (
            views,
            torch.nn.functional.one_hot(targets, C).float(),
        )
    for _ in range(2):
        loss_of(model, [view[part] for view in views], samples[part]).backward()
    module = getattr(model, 'module', model)
    grads = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    # Averages of momentum encoders follow parameters, which the step leaves alone.
    return grads | dict(module.contrast.named_buffers())


def half(rank, folder, contrast):
    torch.set_num_threads(1)
    store = dist.FileStore(f'{folder}/rendezvous', 2)
    dist.init_process_group('gloo', store=store, rank=rank, world_size=2)
    model = DistributedDataParallel(build(contrast, norm_eval=True), broadcast_buffers=False)
    state = step(model, slice(rank * N // 2, (rank + 1) * N // 2))
    torch.save(state, Path(folder) / f'state_{rank}.pth')
    dist.destroy_process_group()


@branches
def test_two_processes_do_what_one_does_with_the_whole_batch(contrast, tmp_path):
    expected = step(build(contrast, norm_eval=True), slice(0, N))
    mp.start_processes(half, (str(tmp_path), contrast), nprocs=2, start_method='fork')
    for rank in range(2):
        state = torch.load(tmp_path / f'state_{rank}.pth', weights_only=True)
        assert state.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(state[key], value, rtol=1e-3, atol=1e-5, msg=key)
