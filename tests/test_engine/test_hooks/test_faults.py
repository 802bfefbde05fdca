import errno
import json
import math
import os
from types import SimpleNamespace

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.dataset import RepeatDataset
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from torch import distributed, nn

from ecl.checkpoint_file import load_checkpoint
from ecl.datasets import ImageList
from ecl.engine import BadImageHook
from ecl.engine.hooks.faults import REPORT
from ecl.engine.resume.checkpoint_hook import AtomicBackend
from ecl.errors import UserError

STEPS = 6  # of an epoch


@pytest.fixture
def make_poisoned(make_runner):
    """A training whose second loss is ``value`` at step 9, and whose buffers that step spoils."""

    class Poisoned(make_runner.Experts):
        def __init__(self, value, rank=0):
            super().__init__()
            self.norm = nn.BatchNorm1d(4)
            self.register_buffer('seen', torch.zeros((), dtype=torch.long))
            self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
            self.value, self.rank, self.before = value, rank, None

        def forward(self, inputs, data_samples=None, mode='tensor'):
            if mode != 'loss':
                return super().forward(inputs, data_samples, mode)
            poisoned = self.seen == 9 and distributed.is_initialized() * 1 == self.rank
            self.before = {k: v.clone() for k, v in self.state_dict().items()}
            self.seen += 1
            self.frozen.mul_(2)
            self.norm(torch.stack(inputs) * (math.nan if poisoned else 1.0))
            good = super().forward(inputs, data_samples, mode)['loss']
            return {
                'label_loss': good,
                'extra_loss': [0 * good + (self.value if poisoned else 0.0)],
                'accuracy': torch.tensor(math.nan),
            }

    def make(value=math.nan, rank=0, hooks=(), **settings):
        dataset = make_runner.Vectors()
        plain = dataset.__getitem__

        class Named(type(dataset)):
            def __getitem__(self, index):
                item = plain(index)
                item['data_samples'].set_metainfo({'img_path': f'{index}.png'})
                return item

        hooks = ['StepSeedHook', 'InvalidLossHook', *hooks]
        model = Poisoned(value, rank)
        loader = {'drop_last': True, 'batch_size': 25}
        options = {'default_hooks': {'checkpoint': {'type': 'CheckpointHook'}}, **settings}
        return make_runner(hooks, model=model, dataset=Named(), loader=loader, **options)

    return make


@pytest.mark.parametrize('value', [math.nan, -math.inf])
def test_the_training_stops_with_the_state_before_the_step(make_poisoned, tmp_path, value):
    runner = make_poisoned(value)
    message = (
        rf'^extra_loss is {value} in epoch 2, iteration 10, on \d+\.png, .* and 22 more images'
    )
    with pytest.raises(UserError, match=message):
        runner.train()
    report = json.loads((tmp_path / 'run' / REPORT).read_text())
    assert (report['epoch'], report['iteration'], len(report['images'])) == (2, 10, 25)
    saved = load_checkpoint(tmp_path / 'run/resume_iter_9.pth')
    assert saved['meta']['iter'] == 9
    assert saved['state_dict'].keys() == runner.model.before.keys()
    for name, tensor in runner.model.before.items():
        torch.testing.assert_close(saved['state_dict'][name], tensor, rtol=0, atol=0, msg=name)
    assert not saved['ranks'][0]['gradients']


def test_a_buffer_that_was_replaced_is_not_saved_in_part(make_poisoned, tmp_path):
    runner = make_poisoned()
    runner.model.register_forward_pre_hook(
        lambda model, _: setattr(model, 'seen', model.seen.clone())
    )
    with pytest.raises(UserError, match='extra_loss is nan') as caught:
        runner.train()
    assert 'is saved' not in str(caught.value)
    assert not (tmp_path / 'run/resume_iter_9.pth').exists()


def test_on_a_full_disk_the_loss_is_named_all_the_same(make_poisoned, monkeypatch, capfd):
    def full(path, *_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr('ecl.engine.hooks.faults.write_text', full)
    monkeypatch.setattr(AtomicBackend, 'put', full)
    with pytest.raises(UserError, match=r'^extra_loss is nan in epoch 2') as caught:
        make_poisoned().train()
    assert 'is saved' not in str(caught.value)
    assert f'{REPORT} could not be written' in ''.join(capfd.readouterr())


def test_the_batch_that_failed_is_not_in_the_recorded_weights(make_poisoned, tmp_path):
    runner = make_poisoned(hooks=['ClassCountsHook', 'DistillWeightHook'])
    with pytest.raises(UserError, match='epoch 2, iteration 10'):
        runner.train()
    state = load_checkpoint(tmp_path / 'run/resume_iter_9.pth')['ranks'][0]['hooks']
    images = state['DistillWeightHook']['sums'][1]
    assert images.sum(1).tolist() == [3 * 25] * 2  # of three steps, for each expert


def test_resumed_it_fails_at_the_same_step(make_poisoned, tmp_path):
    with pytest.raises(UserError) as first:
        make_poisoned().train()
    state = str(tmp_path / 'run/resume_iter_9.pth')
    with pytest.raises(UserError) as second:
        make_poisoned(load_from=state, resume=True).train()
    assert str(first.value) == str(second.value)


def test_accumulated_gradients_wait_for_no_step(make_poisoned):
    optimizer = dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=6)
    with pytest.raises(UserError, match='epoch 2, iteration 10'):
        make_poisoned(optim_wrapper=optimizer).train()


def test_weights_that_were_spoilt_before_are_said_to_be(make_poisoned):
    runner = make_poisoned()
    with torch.no_grad():
        runner.model.label_layers[0].weight.fill_(math.nan)
    with pytest.raises(UserError, match=r'label_loss is nan .* weights were not finite'):
        runner.train()


def test_finite_losses_pass_and_nothing_stays_behind(make_poisoned):
    runner = make_poisoned(rank=5)
    runner.train()
    assert runner.iter == 2 * STEPS
    assert not runner.model._forward_hooks
    assert not runner.optim_wrapper.optimizer._optimizer_step_pre_hooks


def _train_as(rank, folder, make_poisoned):
    torch.set_num_threads(1)
    store = distributed.FileStore(f'{folder}/rendezvous', 2)
    distributed.init_process_group('gloo', store=store, rank=rank, world_size=2)
    runner = make_poisoned(rank=1 if rank else 2, max_epochs=4)
    try:
        runner.train()
    except UserError as error:
        (folder / f'{rank}.txt').write_text(str(error))
    # Without teardown, which would wait for a process that failed.
    os._exit(0)


def test_every_process_stops_when_one_has_a_bad_loss(make_poisoned, tmp_path):
    mp.start_processes(_train_as, (tmp_path, make_poisoned), nprocs=2, start_method='fork')
    told = [(tmp_path / f'{rank}.txt').read_text() for rank in (0, 1)]
    assert told[0] == told[1]
    assert 'extra_loss is nan in epoch 4, iteration 10, on ' in told[0]
    assert 'and 22 more images' in told[0]  # those of the one process
    assert (tmp_path / 'run/resume_iter_9.pth').is_file()


@pytest.fixture
def runner(tmp_path, fresh_engine_state):
    init_default_scope('ecl')
    (tmp_path / 'list.txt').write_text('a.png 0\n')
    pipeline = [dict(type='Cached', transforms=[dict(type='LoadImage', bad='replace')])]
    dataset = ImageList('list.txt', data_root=str(tmp_path), pipeline=pipeline)
    told = []
    return SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=RepeatDataset(dataset, 2)),
        message_hub=MessageHub.get_instance('bad images'),
        logger=SimpleNamespace(warning=told.append),
        counter=dataset.pipeline.transforms[0].transforms[0].replaced,
        told=told,
    )


def test_each_epoch_reports_its_own_number(runner):
    hook = BadImageHook()
    hook.before_train(runner)
    for replaced in (2, 0, 1):
        for _ in range(replaced):
            runner.counter.add_one()
        hook.after_train_epoch(runner)
    assert [text.split(': ')[1][0] for text in runner.told] == ['2', '1']
    assert runner.message_hub.get_scalar('train/replaced_images').data[0].tolist() == [2, 1]


def test_data_without_such_a_pipeline_are_left_alone(make_runner):
    make_runner(['BadImageHook'], max_epochs=1).train()


def test_losses_without_a_gradient_end_the_training(make_runner):
    class Detached(make_runner.Experts):
        def forward(self, inputs, data_samples=None, mode='tensor'):
            result = super().forward(inputs, data_samples, mode)
            if mode != 'loss':
                return result
            return {'label_loss': result['loss'].detach(), 'extra_loss': [torch.ones(())]}

    with pytest.raises(UserError, match=r'^label_loss and extra_loss: no gradient'):
        make_runner(['InvalidLossHook'], model=Detached()).train()
