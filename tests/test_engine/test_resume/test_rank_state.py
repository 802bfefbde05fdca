import os
import pickle
import random

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.hooks import EMAHook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import distributed, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from ecl.checkpoint_file import load_checkpoint
from ecl.engine import epoch_worker_init_fn
from ecl.engine.resume import rank_state
from ecl.engine.resume.rank_state import (
    SeededBatch,
    SeededBatches,
    SyncNormHook,
    gather_states,
    restore_state,
    seed_generators,
)


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


@pytest.mark.parametrize('alone', [True, False])
def test_the_cpu_is_seeded_alike_with_and_without_a_gpu(monkeypatch, alone):
    seed_generators(3, 1, 4)
    expected = torch.rand(5)
    monkeypatch.setattr(rank_state, '_cpu_alone', lambda: alone)
    seed_generators(3, 1, 4)
    assert torch.equal(torch.rand(5), expected)


def test_one_process_has_nothing_of_its_own():
    (state,) = gather_states(Runner(network(), 0))
    assert state == {'buffers': {}, 'gradients': {}, 'hooks': {}}


def _run(rank, folder):
    torch.set_num_threads(1)
    store = distributed.FileStore(f'{folder}/rendezvous', 2)
    distributed.init_process_group('gloo', store=store, rank=rank, world_size=2)
    model = network()
    model[1].running_mean.fill_(rank)
    model[1].running_var.fill_(2 + 2 * rank)
    model.mask[1] = rank == 1
    runner = Runner(model, rank)
    average = EMAHook()
    average.before_run(runner)
    runner.hooks = (average,)
    states = gather_states(runner)
    SyncNormHook().after_train_epoch(runner)
    averaged = torch.stack([model[1].running_mean, model[1].running_var])
    if rank == 0:
        checkpoint = {'state_dict': model.state_dict()}
        average.before_save_checkpoint(runner, checkpoint)
        saved = checkpoint['state_dict']['1.running_mean'].clone()
        torch.save((states, averaged, saved), folder / 'states.pth')
    distributed.barrier()
    restore_state(runner, torch.load(folder / 'states.pth')[0])
    torch.save(model[1].running_mean, folder / f'{rank}.pth')
    os._exit(0)


def test_only_what_differs_is_sent_and_each_rank_gets_its_own_back(tmp_path):
    mp.start_processes(_run, (tmp_path,), nprocs=2, start_method='fork')
    states, averaged, saved = torch.load(tmp_path / 'states.pth')
    assert [list(state['buffers']) for state in states] == [
        ['mask', '1.running_mean', '1.running_var']
    ] * 2
    assert averaged.tolist() == [[0.5] * 4, [3.0] * 4]
    assert saved.tolist() == [0.5] * 4
    for rank in (0, 1):
        assert torch.load(tmp_path / f'{rank}.pth').tolist() == [rank] * 4


def _step(rank, folder):
    torch.set_num_threads(1)
    store = distributed.FileStore(f'{folder}/rendezvous', 2)
    distributed.init_process_group('gloo', store=store, rank=rank, world_size=2)
    means = []
    for kind in (EpochBasedTrainLoop, IterBasedTrainLoop):
        runner = Runner(network(), rank)
        runner.train_loop = kind.__new__(kind)
        runner.model[1].running_mean.fill_(rank)
        SyncNormHook().after_train_iter(runner, 0)
        means.append(float(runner.model[1].running_mean[0]))
    torch.save(means, folder / f'{rank}.pth')
    distributed.barrier()
    os._exit(0)


def test_a_training_that_counts_iterations_may_be_saved_after_any_of_them(tmp_path):
    mp.start_processes(_step, (tmp_path,), nprocs=2, start_method='fork')
    assert [torch.load(tmp_path / f'{rank}.pth') for rank in (0, 1)] == [[0.0, 0.5], [1.0, 0.5]]


class Draws(Dataset):
    """Every item is its index and what the three generators give."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return torch.tensor([index, random.random(), np.random.rand(), float(torch.rand(()))])


def batches_of(seed=0, rank=0, begin=(0, 0), num_workers=0):
    batches = SeededBatches(BatchSampler(SequentialSampler(range(10)), 2, False), seed, rank)
    batches.begin(*begin)
    return list(DataLoader(Draws(), batch_sampler=batches, num_workers=num_workers))


def test_equal_numbers_give_equal_draws_and_others_do_not():
    drawn = []
    for entropy in ((1, 2), (1, 2), (2, 1), (1, 2, 1)):
        seed_generators(*entropy)
        drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))
    assert drawn[0] == drawn[1]
    assert len({number for draw in drawn[1:] for number in draw}) == 9


@pytest.mark.parametrize('num_workers', [0, 2])
def test_skipping_leaves_the_rest_as_it_was(num_workers):
    whole, rest = batches_of(), batches_of(begin=(3, 3), num_workers=num_workers)
    assert len(rest) == 2
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[3:], strict=True))


def test_a_further_pass_goes_on_where_the_one_before_ended():
    batches = SeededBatches(BatchSampler(SequentialSampler(range(10)), 2, False), 0, 0)
    batches.begin(3, 3)
    entropy = [batch.entropy for batch in (*batches, *batches)]
    assert entropy == [(0, 0, iteration) for iteration in range(3, 3 + 2 + 5)]


def test_seed_process_and_iteration_decide():
    first = torch.cat(batches_of())
    for other in (batches_of(seed=1), batches_of(rank=1), batches_of(begin=(5, 0))):
        other = torch.cat(other)
        assert torch.equal(other[:, 0], first[:, 0])
        assert (other[:, 1:] != first[:, 1:]).all()


def test_is_what_it_wraps_otherwise():
    inner = BatchSampler(SequentialSampler(range(10)), 4, False)
    batches = pickle.loads(pickle.dumps(SeededBatches(inner, 0, 0)))
    assert (len(batches), batches.batch_size, batches.drop_last) == (3, 4, False)
    assert len(batches.sampler) == 10


def test_sending_a_batch_to_a_worker_seeds_nothing():
    (batch, *_) = SeededBatches(BatchSampler(SequentialSampler(range(4)), 2, False), 0, 0)
    random.seed(5)
    expected = random.random()
    random.seed(5)
    assert list(pickle.loads(pickle.dumps(batch)).indices) == [0, 1]
    assert random.random() == expected


STEPS = 6  # of an epoch


def epochs_of(runner):
    """What the model saw, one tensor an epoch."""
    batches = runner.model.batches
    return [torch.cat(batches[i : i + STEPS]) for i in range(0, len(batches), STEPS)]


def loader(num_workers, persistent_workers=False):
    return dict(num_workers=num_workers, persistent_workers=persistent_workers)


@pytest.mark.parametrize('noise', ['torch', 'numpy'])
@pytest.mark.parametrize('workers', [(0,), (2,), (2, True)])
def test_resume_repeats_what_an_uninterrupted_training_sees(make_runner, tmp_path, workers, noise):
    settings = dict(dataset=make_runner.Vectors(noise=noise), loader=loader(*workers))
    whole = make_runner(['StepSeedHook'], max_epochs=2, **settings)
    whole.train()
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)
    resumed = make_runner(
        ['StepSeedHook'],
        load_from=str(tmp_path / 'run/epoch_1.pth'),
        resume=True,
        max_epochs=2,
        **settings,
    )
    resumed.train()
    first, second = epochs_of(whole)
    (repeated,) = epochs_of(resumed)
    assert torch.equal(repeated, second)
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name])
    noise_drawn = [epoch - epoch.round() for epoch in (first, second)]
    assert not set(noise_drawn[0][:, -1].tolist()) & set(noise_drawn[1][:, -1].tolist())


@pytest.mark.parametrize('num_workers', [0, 2])
def test_seed_decides(make_runner, num_workers):
    seen = []
    for seed in (1, 1, 2):
        runner = make_runner(['StepSeedHook'], seed=seed, max_epochs=1, loader=loader(num_workers))
        runner.train()
        seen += epochs_of(runner)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


def test_the_number_of_workers_does_not_change_what_is_drawn(make_runner):
    seen = []
    for workers in ((0,), (1,), (3, True)):
        runner = make_runner(['StepSeedHook'], loader=loader(*workers))
        runner.train()
        seen.append(torch.cat(epochs_of(runner)))
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_processes_and_steps_draw_different_numbers(make_runner):
    runner = make_runner(['StepSeedHook'], max_epochs=1)
    runner.train()
    (hook,) = [hook for hook in runner.hooks if type(hook).__name__ == 'StepSeedHook']
    list(SeededBatch([], (runner.seed, 0, 0)))  # as the batch of the first step
    drawn = [(random.random(), float(np.random.rand()), float(torch.rand(())))]
    for rank, iteration in ((0, 0), (0, 1), (1, 0), (0, 0)):
        runner._rank, runner.train_loop._iter = rank, iteration
        hook.before_train_iter(runner, 0)
        drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))
    assert len({number for draw in drawn[:4] for number in draw}) == 12
    assert drawn[4] == drawn[1]


def test_resume_takes_over_the_seed_of_the_checkpoint_in_the_sampler(make_runner, tmp_path):
    whole = make_runner(['StepSeedHook'], seed=5)
    whole.train()
    checkpoint = str(tmp_path / 'run/epoch_1.pth')
    assert load_checkpoint(checkpoint)['meta']['seed'] == 5
    resumed = make_runner(['StepSeedHook'], seed=0, load_from=checkpoint, resume=True)
    resumed.train()
    assert torch.equal(epochs_of(resumed)[0], epochs_of(whole)[1])


def test_the_workers_of_every_loader_are_prepared(make_runner):
    loader = dict(
        batch_size=8,
        dataset=make_runner.Vectors([5, 5, 5], split='val'),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    evaluation = dict(test_cfg=dict(), test_evaluator=dict(type='ShotAccuracy'))
    runner = make_runner(['StepSeedHook'], max_epochs=1, test_dataloader=loader, **evaluation)
    runner.train()
    runner.test()
    for each in (runner.train_dataloader, runner.val_dataloader, runner.test_dataloader):
        assert each.worker_init_fn.func is epoch_worker_init_fn


def test_own_worker_function_stays(make_runner):
    named = dict(type='epoch_worker_init_fn')
    runner = make_runner(
        ['StepSeedHook'], max_epochs=1, loader={**loader(1), 'worker_init_fn': named}
    )
    before = runner.train_dataloader.worker_init_fn
    runner.train()
    assert runner.train_dataloader.worker_init_fn is before
