import os

import pytest
import torch
import torch.multiprocessing as mp
from torch import distributed, nn

from ecl.engine.resume import rank_state
from ecl.engine.resume.rank_state import SyncNormHook, gather_states, restore_state


class Runner:
    hooks = ()

    def __init__(self, model, rank):
        self.model, self.rank = model, rank


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model.register_buffer('queue', torch.randn(5, 7))
    model.register_buffer('mask', torch.tensor([True, False]))
    return model


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_a_checksum_tells_apart_what_differs_in_one_place(dtype, monkeypatch):
    monkeypatch.setattr(rank_state, '_CHUNK', 8)
    tensor = torch.arange(30).to(dtype)
    same = rank_state._checksum(tensor)
    assert torch.equal(same, rank_state._checksum(tensor.clone()))
    for place in (0, 17, 29):
        other = tensor.clone()
        other[place] += 1
        assert not torch.equal(same, rank_state._checksum(other))
    swapped = tensor.clone()
    swapped[[3, 20]] = tensor[[20, 3]]
    assert not torch.equal(same, rank_state._checksum(swapped))


def test_one_process_has_nothing_of_its_own():
    (state,) = gather_states(Runner(network(), 0))
    assert state == {'buffers': {}, 'gradients': {}, 'hooks': {}}


def _run(rank, folder):
    torch.set_num_threads(1)
    store = distributed.FileStore(f'{folder}/rendezvous', 2)
    distributed.init_process_group('gloo', store=store, rank=rank, world_size=2)
    model = network()
    model[1].running_mean.fill_(rank)
    runner = Runner(model, rank)
    states = gather_states(runner)
    SyncNormHook().after_train_epoch(runner)
    averaged = model[1].running_mean.clone()
    if rank == 0:
        torch.save((states, averaged), folder / 'states.pth')
    distributed.barrier()
    restore_state(runner, torch.load(folder / 'states.pth')[0])
    torch.save(model[1].running_mean, folder / f'{rank}.pth')
    os._exit(0)


def test_only_what_differs_is_sent_and_each_rank_gets_its_own_back(tmp_path):
    mp.start_processes(_run, (tmp_path,), nprocs=2, start_method='fork')
    states, averaged = torch.load(tmp_path / 'states.pth')
    assert [list(state['buffers']) for state in states] == [['1.running_mean']] * 2
    assert averaged.tolist() == [0.5] * 4
    for rank in (0, 1):
        assert torch.load(tmp_path / f'{rank}.pth').tolist() == [rank] * 4
