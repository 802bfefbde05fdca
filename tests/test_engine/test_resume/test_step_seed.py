import random

import numpy as np
import pytest
import torch

from ecl.checkpoint_file import load_checkpoint

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
    drawn = []
    for rank, iteration in ((0, 0), (0, 1), (1, 0), (0, 0)):
        runner._rank, runner.train_loop._iter = rank, iteration
        hook.before_train_iter(runner, 0)
        drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))
    assert len({number for draw in drawn[:3] for number in draw}) == 9
    assert drawn[3] == drawn[0]


def test_resume_takes_over_the_seed_of_the_checkpoint_in_the_sampler(make_runner, tmp_path):
    whole = make_runner(['StepSeedHook'], seed=5)
    whole.train()
    checkpoint = str(tmp_path / 'run/epoch_1.pth')
    assert load_checkpoint(checkpoint)['meta']['seed'] == 5
    resumed = make_runner(['StepSeedHook'], seed=0, load_from=checkpoint, resume=True)
    resumed.train()
    assert torch.equal(epochs_of(resumed)[0], epochs_of(whole)[1])


def test_own_worker_function_stays(make_runner):
    named = dict(type='epoch_worker_init_fn')
    runner = make_runner(
        ['StepSeedHook'], max_epochs=1, loader={**loader(1), 'worker_init_fn': named}
    )
    before = runner.train_dataloader.worker_init_fn
    runner.train()
    assert runner.train_dataloader.worker_init_fn is before
