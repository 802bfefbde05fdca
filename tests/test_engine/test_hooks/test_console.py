import json
import logging
import re
from types import SimpleNamespace

import pytest
from mmengine.logging import HistoryBuffer

from ecl.apis import train
from ecl.apis.checkpoint import latest_checkpoint
from ecl.checkpoint_file import load_checkpoint
from ecl.engine.hooks.console import ConsoleHook, duration


@pytest.mark.parametrize(
    ('seconds', 'expected'),
    [
        (0, '0 s'),
        (59.4, '59 s'),
        (59.6, '1 min 0 s'),
        (3599.4, '59 min 59 s'),
        (3600, '1 h 0 min'),
        (90061, '25 h 1 min'),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds, expected):
    assert duration(seconds) == expected


def test_a_line_fits_100_columns_and_counts_the_time_from_this_start(monkeypatch, capsys):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr('ecl.engine.hooks.console.time.monotonic', lambda: clock.now)
    losses = HistoryBuffer()
    runner = SimpleNamespace(
        epoch=100,
        max_epochs=400,
        logger=logging.getLogger('nobody'),
        train_dataloader=range(2),
        train_loop=SimpleNamespace(validates_after=lambda epoch: epoch == 102),
        message_hub=SimpleNamespace(log_scalars={'train/loss': losses}),
    )
    hook = ConsoleHook()
    hook.before_train(runner)
    for values, metrics in (((9.0, 11.0), None), ((1.0, 3.0), {'shot/overall': 55.55})):
        clock.now += 60
        for value in values:
            losses.update(value)
        hook.after_train_epoch(runner)
        runner.epoch += 1
        if metrics:
            hook.after_val_epoch(runner, {**metrics, 'shot/many': 71.2, 'shot/few': 30.0})
    first, second = capsys.readouterr().out.splitlines()
    assert re.split(r'\s{2,}', first) == ['epoch 101/400', 'loss 10', '4 h 59 min left']
    assert re.split(r'\s{2,}', second)[1:] == [
        'loss 2',
        'accuracy 55.5',
        'many 71.2',
        'few 30.0',
        '4 h 58 min left',
    ]
    assert len(second) <= 100


@pytest.mark.parametrize('begin', [0, 1, 5])  # a resumed training begins within an epoch
def test_the_time_of_a_step_is_told_after_the_third(monkeypatch, capsys, begin):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr('ecl.engine.hooks.console.time.monotonic', lambda: clock.now)
    runner = SimpleNamespace(epoch=4, iter=0, max_iters=61, logger=logging.getLogger('nobody'))
    hook = ConsoleHook()
    hook.before_train(runner)
    for batch_idx in range(begin, begin + 5):
        clock.now += 2
        hook.after_train_iter(runner, batch_idx)
    assert capsys.readouterr().out.splitlines() == ['2 s per step   about 2 min 0 s in all']


@pytest.mark.parametrize('verbose', [False, True])
def test_the_log_file_is_complete_whatever_the_console_shows(
    digits_config, tmp_path, capfd, verbose
):
    options = {'train_cfg.max_epochs': 2, 'default_hooks.logger.interval': 5}
    train(digits_config, tmp_path / 'run', cfg_options=options, verbose=verbose)
    logging.shutdown()
    console = capfd.readouterr().out
    (log,) = (tmp_path / 'run').glob('*/*.log')
    steps = log.read_text().count('Epoch(train)')
    assert steps >= 4
    assert console.count('Epoch(train)') == (steps if verbose else 0)
    lines = [line for line in console.splitlines() if line.startswith('epoch ')]
    assert len(lines) == (0 if verbose else 2)
    assert console.count('| ensemble') == 1


def test_old_values_leave_memory_and_stay_in_the_files(digits_config, tmp_path, monkeypatch):
    monkeypatch.setattr('ecl.engine.hooks.console.KEPT', 8)
    options = {'train_cfg.max_epochs': 3, 'default_hooks.logger.interval': 5}
    train(digits_config, work_dir=tmp_path, cfg_options=options, validate=False)
    saved = load_checkpoint(latest_checkpoint(tmp_path))['message_hub']['log_scalars']
    assert max(len(history.data[0]) for history in saved.values()) == 8
    lines = next(tmp_path.glob('*/vis_data/scalars.json')).read_text().splitlines()
    assert [json.loads(line)['step'] for line in lines if 'loss' in line] == [5, 10, 16, 21, 27, 32]
