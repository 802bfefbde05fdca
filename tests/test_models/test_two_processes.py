"""Two processes with half the batch each do what one does with the whole batch."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmpretrain.structures import DataSample
from torch.nn.parallel import DistributedDataParallel

from ecl.registry import MODELS

N, C = 8, 5


def build(feature_loss, weighting):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='ECLClassifier',
            backbone=dict(
                type='MultiExpertBackbone',
                num_experts=3,
                # Statistics of the batch would differ between the two: they are frozen.
                backbone=dict(type='ResNetCIFAR', depth=8, norm_eval=True),
            ),
            head=dict(
                type='ECLHead',
                num_classes=C,
                reading='peers_and_labels',
                expert_losses=dict(
                    distill=dict(type='ReweightedDistillLoss', weighting=weighting),
                    feature=dict(type=feature_loss),
                ),
            ),
            contrast=dict(type='MomentumContrast', queue_size=16),
        )
    )
    model.init_weights()
    # Small initial logits would make every weight 1 and hide a local normalisation.
    for p in model.head.parameters():
        torch.nn.init.normal_(p)
    for module in model.modules():
        if hasattr(module, 'set_class_counts'):
            module.set_class_counts(range(1, C + 1))
    return model.train()


def step(model, part):
    generator = torch.Generator().manual_seed(1)
    views = [torch.rand(N, 3, 16, 16, generator=generator)[part] for _ in range(2)]
    samples = [DataSample().set_gt_label(i % C) for i in range(N)][part]
    for _ in range(2):
        sum(model(views, samples, mode='loss').values()).backward()
    module = getattr(model, 'module', model)
    grads = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    state = module.state_dict().items()
    buffers = {k: v for k, v in state if 'class_a' in k or 'queue' in k}
    return grads | buffers


def half(rank, folder, feature_loss, weighting):
    torch.set_num_threads(1)
    store = dist.FileStore(f'{folder}/rendezvous', 2)
    dist.init_process_group('gloo', store=store, rank=rank, world_size=2)
    model = DistributedDataParallel(build(feature_loss, weighting), broadcast_buffers=False)
    state = step(model, slice(rank * N // 2, (rank + 1) * N // 2))
    if rank == 0:
        torch.save(state, Path(folder) / 'state.pth')
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ('feature_loss', 'weighting'),
    [
        ('FeatureDistillLoss', dict(type='DistillWeighting')),
        ('RelationDistillLoss', dict(type='DistillWeighting', granularity='class')),
        ('FeatureDistillLoss', dict(type='TrustWeighting')),
    ],
)
def test_gradients_queue_and_class_averages_agree(tmp_path, feature_loss, weighting):
    expected = step(build(feature_loss, weighting), slice(0, N))
    args = (str(tmp_path), feature_loss, weighting)
    mp.start_processes(half, args, nprocs=2, start_method='fork')
    state = torch.load(tmp_path / 'state.pth', weights_only=True)
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(state[key], value, rtol=1e-3, atol=1e-5, msg=key)
