import errno
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from ecl.apis.checkpoint import latest_checkpoint
from ecl.checkpoint_file import load_checkpoint
from ecl.engine.resume.atomic_file import remove_temporary_files
from ecl.engine.resume.checkpoint_hook import AtomicBackend, kept_checkpoints
from ecl.errors import UserError


@pytest.fixture
def train(make_runner, tmp_path):
    """Train in a folder, from its latest checkpoint on if there is one."""

    def run(folder='run', max_epochs=4, loader=None, train_cfg=None, **settings):
        resumed = latest_checkpoint(tmp_path / folder)
        torch.manual_seed(0)  # the model is made before the runner sets its seed
        runner = make_runner(
            ['StepSeedHook'],
            work_dir=str(tmp_path / folder),
            train_cfg=dict(type='ResumableTrainLoop', max_epochs=max_epochs, **(train_cfg or {})),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', **settings)),
            loader=loader,
            load_from=resumed,
            resume=resumed is not None,
        )
        runner.train()
        return runner

    return run


@pytest.fixture
def work_dir(tmp_path):
    return tmp_path / 'run'


def files(folder):
    return {path.name for path in folder.iterdir() if path.suffix in ('.pth', '.tmp')}


@pytest.fixture
def writes(monkeypatch, work_dir):
    """What happens at each write of a checkpoint; by default a note of the files there."""
    seen, put = [], AtomicBackend.put

    def watch(self, obj, filepath):
        name = Path(filepath).name
        seen.append((name, files(work_dir)))
        fault = watch.faults.pop(len(seen), None)
        if fault:
            fault(obj, filepath)
        put(self, obj, filepath)
        assert load_checkpoint(filepath), 'whole as soon as it has its name'

    watch.faults, watch.seen = {}, seen
    monkeypatch.setattr(AtomicBackend, 'put', watch)
    return watch


def no_space(obj, filepath):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(filepath))


def test_an_old_checkpoint_goes_after_the_new_one_is_there(train, writes, work_dir):
    train(interval=1, max_keep_ckpts=1)
    assert writes.seen == [
        ('epoch_1.pth', set()),
        ('epoch_2.pth', {'epoch_1.pth'}),
        ('epoch_3.pth', {'epoch_2.pth'}),
        ('epoch_4.pth', {'epoch_3.pth'}),
    ]
    assert files(work_dir) == {'epoch_4.pth'}


def test_a_full_disk_costs_a_checkpoint_and_nothing_else(train, writes, work_dir, capfd):
    writes.faults = {2: no_space, 4: no_space}
    runner = train(interval=1, max_keep_ckpts=1)
    assert runner.epoch == 4
    # The second failed, so the first stayed until the third was there; the fourth failed too.
    assert writes.seen[2] == ('epoch_3.pth', {'epoch_1.pth'})
    assert files(work_dir) == {'epoch_3.pth'}
    assert kept_checkpoints(work_dir) == ['epoch_3.pth']
    log = ''.join(capfd.readouterr())
    assert log.count('epoch_2.pth could not be saved ([Errno 28] No space left on device') == 1
    assert latest_checkpoint(work_dir) == str(work_dir / 'epoch_3.pth')


def test_a_kill_amid_a_save_leaves_the_checkpoint_before(train, writes, work_dir):
    def die(obj, filepath):
        def kill(path):
            os.kill(os.getpid(), signal.SIGKILL)

        os.fsync = kill  # of the temporary, its bytes written

    writes.faults = {3: die}
    process = multiprocessing.get_context('fork').Process(target=train, kwargs={'interval': 1})
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    (temporary,) = (name for name in files(work_dir) if name.endswith('.tmp'))
    assert temporary.startswith('.epoch_3.pth.')
    assert latest_checkpoint(work_dir) == str(work_dir / 'epoch_2.pth')
    remove_temporary_files(work_dir)
    assert files(work_dir) == {'epoch_1.pth', 'epoch_2.pth'}


def test_the_best_is_kept_apart_and_replaced_after_the_better_one_is_there(
    train, writes, work_dir, monkeypatch
):
    scores = iter([10.0, 30.0, 20.0, 40.0])
    monkeypatch.setattr(
        'mmengine.evaluator.Evaluator.evaluate', lambda *_: {'accuracy': next(scores)}
    )
    writes.faults = {9: no_space}  # the last best
    train(interval=1, max_keep_ckpts=1, save_best='accuracy', rule='greater')
    best = 'best_accuracy_epoch_{}.pth'.format
    assert files(work_dir) == {'epoch_4.pth', best(2)}
    written = [name for name, _ in writes.seen]
    # After a better validation its checkpoint is written again, to know of the best.
    assert written == [
        *('epoch_1.pth', best(1), 'epoch_1.pth', 'epoch_2.pth', best(2), 'epoch_2.pth'),
        *('epoch_3.pth', 'epoch_4.pth', best(4), 'epoch_4.pth'),
    ]
    assert writes.seen[4] == (best(2), {'epoch_2.pth', best(1)})
    known = load_checkpoint(work_dir / 'epoch_4.pth')['message_hub']['runtime_info']
    assert (known['best_score'], Path(known['best_ckpt']).name) == (30.0, best(2))


def test_a_folder_that_was_moved_goes_on_with_its_last_and_best(train, tmp_path, monkeypatch):
    scores = iter([10.0, 20.0, 30.0])
    monkeypatch.setattr(
        'mmengine.evaluator.Evaluator.evaluate', lambda *_: {'accuracy': next(scores)}
    )
    settings = dict(interval=1, max_keep_ckpts=1, save_best='accuracy', rule='greater')
    train('old', max_epochs=2, **settings)
    shutil.move(tmp_path / 'old', tmp_path / 'new')
    runner = train('new', max_epochs=3, **settings)
    assert runner.epoch == 3
    assert files(tmp_path / 'new') == {'epoch_3.pth', 'best_accuracy_epoch_3.pth'}
    assert not (tmp_path / 'old').exists()


def test_a_training_is_resumed_from_another_drive(make_runner, train, tmp_path, other_drive):
    train('first', max_epochs=2, interval=1)
    runner = make_runner(
        ['StepSeedHook'],
        max_epochs=3,
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        load_from=str(tmp_path / 'first' / 'epoch_2.pth'),
        resume=True,
    )
    runner.train()
    assert latest_checkpoint(tmp_path / 'run') == str(tmp_path / 'run' / 'epoch_3.pth')


def test_a_damaged_checkpoint_is_trained_again(train, work_dir):
    train('whole', interval=1)
    train(max_epochs=3, interval=1)
    newest = work_dir / 'epoch_3.pth'
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    train(interval=1, max_keep_ckpts=3)
    assert kept_checkpoints(work_dir) == ['epoch_4.pth', 'epoch_3.pth', 'epoch_2.pth']
    whole, mended = (
        load_checkpoint(folder / 'epoch_4.pth')['state_dict']
        for folder in (work_dir.with_name('whole'), work_dir)
    )
    assert all(torch.equal(whole[name], mended[name]) for name in whole)


def test_a_new_training_forgets_the_checkpoints_of_the_one_before(make_runner, train, work_dir):
    train(max_epochs=2, interval=1)
    hooks = dict(checkpoint=dict(type='CheckpointHook', interval=5, save_last=False))
    make_runner(['StepSeedHook'], work_dir=str(work_dir), default_hooks=hooks).train()
    assert latest_checkpoint(work_dir) is None


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('batch_size', 8, r'epoch_1\.pth: batch_size was 8 and is now 32; .* Keep 8'),
        ('world_size', 2, r'number of processes was 2 and is now 1'),
        ('iterations', 7, r'number of steps in an epoch was 7 and is now 6'),
        ('accumulative_counts', 4, r'accumulative_counts was 4 and is now 1'),
    ],
)
def test_another_course_than_the_one_begun_is_refused(train, work_dir, key, value, message):
    train(max_epochs=1, interval=1)
    checkpoint = load_checkpoint(work_dir / 'epoch_1.pth')
    course = dict(world_size=1, batch_size=32, iterations=6, accumulative_counts=1)
    assert checkpoint['meta']['course'] == course
    checkpoint['meta']['course'][key] = value
    torch.save(checkpoint, work_dir / 'epoch_1.pth')
    with pytest.raises(UserError, match=message):
        train(interval=1)


@pytest.mark.parametrize('resumed', [True, False])
def test_processes_that_begin_at_different_steps_are_refused(train, monkeypatch, resumed):
    if resumed:
        train(max_epochs=1, interval=1)
    other = (0, 0) if resumed else (1, 6)  # another process, with a work dir of its own
    monkeypatch.setattr(
        'ecl.engine.resume.checkpoint_hook.all_gather_object', lambda own: [own, other]
    )
    with pytest.raises(
        UserError, match=r'different steps.* iteration 6 .*a disk that all machines'
    ):
        train(interval=1)


def test_a_checkpoint_of_another_hook_tells_no_course_and_is_resumed(train, work_dir):
    train(max_epochs=1, interval=1)
    checkpoint = load_checkpoint(work_dir / 'epoch_1.pth')
    del checkpoint['meta']['course']
    torch.save(checkpoint, work_dir / 'epoch_1.pth')
    assert train(max_epochs=2, interval=1).epoch == 2


def test_only_local_disks(make_runner):
    hooks = dict(checkpoint=dict(type='CheckpointHook', backend_args=dict(backend='petrel')))
    with pytest.raises(UserError, match='local disks only'):
        make_runner([], default_hooks=hooks)


def test_a_metric_that_is_not_there_is_told(train, monkeypatch):
    monkeypatch.setattr('mmengine.evaluator.Evaluator.evaluate', lambda *_: {'accuracy': 1.0})
    with pytest.raises(UserError, match=r"save_best: got 'few', expected one of accuracy"):
        train(interval=1, save_best='few', rule='greater')
