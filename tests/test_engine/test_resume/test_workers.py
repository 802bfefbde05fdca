import random

import numpy as np
import pytest
import torch
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from ecl.engine import epoch_worker_init_fn


class Draws(Dataset):
    """Every item is what the three generators give."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.tensor([random.random(), np.random.rand(), float(torch.rand(()))])


def draw(seed, num_workers):
    loader = DataLoader(
        Draws(), batch_size=2, num_workers=num_workers, worker_init_fn=epoch_worker_init_fn
    )
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return torch.cat(list(loader))


@pytest.mark.parametrize('num_workers', [0, 2])
def test_draws_follow_the_seed_of_the_main_process(num_workers):
    first, again, other = draw(1, num_workers), draw(1, num_workers), draw(2, num_workers)
    assert torch.equal(first, again)
    assert (first != other).all()


def test_workers_draw_different_numbers():
    draws = draw(1, 2)
    assert all(len(column.unique()) == 8 for column in draws.T)


def test_a_data_loader_config_names_it():
    assert FUNCTIONS.get('epoch_worker_init_fn') is epoch_worker_init_fn
    loader = Runner.build_dataloader(
        dict(
            dataset=Draws(),
            batch_size=2,
            num_workers=2,
            sampler=dict(type='DefaultSampler', shuffle=True),
            worker_init_fn=dict(type='epoch_worker_init_fn'),
            collate_fn=dict(type='default_collate'),
        )
    )
    assert len(torch.cat(list(loader)).unique()) == 24
