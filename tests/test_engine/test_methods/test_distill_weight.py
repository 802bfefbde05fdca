import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.logging import MessageHub, MMLogger
from PIL import Image

from ecl.engine import DistillWeightHook
from ecl.errors import UserError
from ecl.models.losses import DistillWeighting
from ecl.models.outputs import ExpertOutputs

HOOKS = ['ClassCountsHook', 'DistillWeightHook']
COUNTS = [120, 40, 6]
STEPS = 6  # of an epoch


def weights_in(folder):
    with np.load(folder / 'distill_weights.npz') as file:
        assert file['class_counts'].tolist() == COUNTS
        assert file['weights'].dtype == np.float32
        return file['weights']


def mean_by_class(batches):
    """(K, C) means of (labels, weights) pairs, by masks."""
    labels = torch.cat([labels for labels, _ in batches])
    weights = torch.cat([weights for _, weights in batches], dim=1)
    return torch.stack([weights[:, labels == c].mean(1) for c in range(3)], dim=1).numpy()


def test_file_holds_the_mean_of_each_expert_class_and_epoch(make_runner, tmp_path):
    runner = make_runner(HOOKS)
    runner.train()
    observed = runner.model.weights
    expected = [mean_by_class(observed[:STEPS]), mean_by_class(observed[STEPS:])]
    assert weights_in(tmp_path / 'run') == pytest.approx(np.stack(expected), rel=1e-5)


def test_scalars_are_group_means_over_images_in_time_for_the_logger(make_runner, tmp_path):
    runner = make_runner(['ClassCountsHook', dict(type='DistillWeightHook', interval=2)])
    runner.train()
    (scalars,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    logged = [json.loads(line) for line in scalars.read_text().splitlines()]
    logged = [entry for entry in logged if 'distill_weight/many' in entry]
    assert [entry['step'] for entry in logged] == [2, 4, 6, 8, 10, 12]
    for entry, (start, end) in zip(
        logged, [(0, 2), (0, 4), (0, 6), (6, 8), (6, 10), (6, 12)], strict=True
    ):
        labels, weights = zip(*runner.model.weights[start:end], strict=True)
        labels, weights = torch.cat(labels), torch.cat(weights, dim=1)
        for name, label in [('many', 0), ('medium', 1), ('few', 2)]:
            if (labels == label).any():
                mean = float(weights[:, labels == label].mean())
                assert entry[f'distill_weight/{name}'] == pytest.approx(mean, rel=1e-4)


def test_no_logged_name_joins_the_total_loss_or_an_absent_group(make_runner):
    hooks = ['ClassCountsHook', dict(type='DistillWeightHook', thresholds=(0, 10))]
    runner = make_runner(hooks)
    runner.train()
    names = [key for key in runner.message_hub.log_scalars if 'distill_weight' in key]
    assert names == ['train/distill_weight/many', 'train/distill_weight/medium']
    assert not any('loss' in name for name in names)


def test_picture_is_written_after_training(make_runner, tmp_path):
    make_runner(HOOKS).train()
    with Image.open(tmp_path / 'run/distill_weights.png') as picture:
        assert min(picture.size) > 500
    assert not list((tmp_path / 'run').glob('.*'))


def test_watches_only_while_training(make_runner):
    runner = make_runner(HOOKS)
    comparison = runner.model.comparison
    runner.train()
    assert not comparison._forward_hooks
    runner.train_loop._epoch = runner.train_loop._iter = 0
    runner.train_loop.run()
    assert not comparison._forward_hooks


def test_validation_losses_do_not_count():
    hook = DistillWeightHook()
    comparison = DistillWeighting(2, 3).eval()
    comparison.register_forward_hook(hook.accumulate)
    logits = torch.randn(2, 5, 3)
    outputs = ExpertOutputs((), logits, logits)
    comparison(outputs, torch.zeros(5, dtype=torch.long))
    assert hook._step is None
    comparison.train()(outputs, torch.zeros(5, dtype=torch.long))
    assert hook._step[1].tolist() == [[5, 0, 0]] * 2


def test_survives_compilation():
    hook = DistillWeightHook()
    comparison = DistillWeighting(2, 3)
    comparison.register_forward_hook(hook.accumulate)
    compiled = torch.compile(comparison, backend='eager')
    logits, labels = torch.randn(2, 2, 5, 3), torch.tensor([0, 1, 1, 2, 2])
    for _ in range(2):
        weights = compiled(ExpertOutputs((), *logits), labels)
    assert hook._step[1].tolist() == [[2, 4, 4]] * 2
    assert hook._step[0, :, 1].float() == pytest.approx(2 * weights[:, 1:3].sum(1))


@pytest.mark.parametrize('epoch', [1, 2])
def test_resume_continues_the_file_from_the_resumed_epoch(make_runner, tmp_path, epoch):
    make_runner(HOOKS, max_epochs=3).train()
    before = weights_in(tmp_path / 'run')
    checkpoint = str(tmp_path / f'run/epoch_{epoch}.pth')
    make_runner(HOOKS, max_epochs=4, load_from=checkpoint, resume=True).train()
    after = weights_in(tmp_path / 'run')
    assert after.shape == (4, 2, 3)
    assert np.array_equal(after[:epoch], before[:epoch])
    assert not np.array_equal(after[epoch], before[epoch])


@pytest.mark.parametrize('file', ['absent', 'damaged', 'of other data'])
def test_resume_without_its_file_leaves_the_lost_epochs_empty(make_runner, tmp_path, file):
    make_runner(HOOKS).train()
    path = tmp_path / 'run/distill_weights.npz'
    if file == 'absent':
        path.unlink()
    elif file == 'damaged':
        path.write_bytes(path.read_bytes()[:100])
    else:
        np.savez(path, weights=weights_in(tmp_path / 'run'), class_counts=[120, 40, 7])
    checkpoint = str(tmp_path / 'run/epoch_2.pth')
    make_runner(HOOKS, max_epochs=3, load_from=checkpoint, resume=True).train()
    weights = weights_in(tmp_path / 'run')
    assert np.isnan(weights[:2]).all()
    assert not np.isnan(weights[2]).any()


def test_fresh_training_does_not_continue_an_old_file(make_runner, tmp_path):
    make_runner(HOOKS, max_epochs=3).train()
    make_runner(HOOKS, max_epochs=1).train()
    assert len(weights_in(tmp_path / 'run')) == 1


def test_model_without_comparison_gets_one_line_and_no_file(make_runner, tmp_path, capfd):
    make_runner(HOOKS, model=make_runner.Experts(compares=False)).train()
    assert ''.join(capfd.readouterr()).count('No distillation weights') == 1
    assert not list((tmp_path / 'run').glob('distill_weights*'))


def test_missing_class_counts_name_the_remedy(make_runner):
    with pytest.raises(UserError, match='ClassCountsHook'):
        make_runner(['DistillWeightHook']).train()


def record_half(rank, folder):
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=2
    )
    model = DistillWeighting(2, 3)
    hub = MessageHub.get_instance('two')
    hub.update_info('class_counts', COUNTS)
    runner = SimpleNamespace(
        model=model,
        message_hub=hub,
        epoch=0,
        work_dir=folder,
        train_dataloader=[0],
        logger=MMLogger.get_instance('two'),
    )
    hook = DistillWeightHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    by_labels, by_peers = torch.randn(2, 2, 8, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 0])
    half = slice(4 * rank, 4 * rank + 4)
    weights = model(ExpertOutputs((), by_labels[:, half], by_peers[:, half]), labels[half])
    hook.after_train_iter(runner, 0)
    hook.after_train_epoch(runner)
    hook.after_train(runner)
    many = float(hub.get_scalar('train/distill_weight/many').current())
    torch.save((labels[half], weights, many), f'{folder}/rank{rank}.pth')
    torch.distributed.destroy_process_group()


def test_two_processes_record_all_images_once(tmp_path):
    # Forked, because spawned processes cannot import a test module.
    mp.start_processes(record_half, args=(str(tmp_path),), nprocs=2, start_method='fork')
    halves = [torch.load(tmp_path / f'rank{rank}.pth') for rank in range(2)]
    expected = mean_by_class([half[:2] for half in halves])
    weights = weights_in(tmp_path)
    assert weights == pytest.approx(expected[None], rel=1e-5, nan_ok=True)
    assert np.isnan(weights[0, :, 2]).all()
    assert halves[0][2] == halves[1][2] == pytest.approx(expected[:, 0].mean(), rel=1e-5)
