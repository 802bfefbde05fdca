import json
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook

from ecl.checkpoint_file import load_checkpoint
from ecl.engine.hooks.run_record import device_name, machine

HOOKS = ['ClassCountsHook', 'RunRecordHook']


class Watch(Hook):
    """Keeps the metrics of every validation."""

    priority = 'LOWEST'

    def __init__(self):
        self.seen = []

    def after_val_epoch(self, runner, metrics=None):
        self.seen.append((runner.epoch, metrics))


class Serial(BaseMetric):
    """Numbers the validations."""

    default_prefix = 'serial'
    number = 0

    def process(self, data_batch, data_samples):
        self.results.extend(data_samples)

    def compute_metrics(self, results):
        self.number += 1
        return {'number': float(self.number)}


def record_in(folder):
    def refuse(constant):
        raise AssertionError(f'{constant} is not JSON')

    return json.loads((folder / 'results.json').read_text(), parse_constant=refuse)


@pytest.fixture
def train(make_runner, tmp_path):
    def run(**settings):
        runner = make_runner(HOOKS, **settings)
        watch = Watch()
        runner.register_hook(watch)
        runner.train()
        return record_in(tmp_path / 'run'), watch.seen

    return run


def test_holds_what_a_reader_of_the_result_needs(train):
    record, seen = train(seed=7)
    assert record['config'] is None
    assert record['seed'] == 7
    assert record['epochs'] == 2
    assert record['wall_seconds'] > 0
    assert record['class_counts'] == [120, 40, 6]
    assert set(record['versions']) == {
        *('python', 'torch', 'torchvision', 'numpy', 'mmengine', 'mmcv', 'mmpretrain', 'ecl')
    }
    assert record['machine']['device'] == 'CPU'
    assert record['machine']['cores'] >= 1
    assert record['commit'] is None or re.fullmatch('[0-9a-f]{7,}', record['commit'])
    protocol = record['protocol']
    assert protocol['source'] == 'Vectors'
    assert protocol['imbalance_factor'] == 20
    assert protocol['subset']
    assert protocol['shot_thresholds'] == [20, 100]
    assert protocol['evaluated']['split'] == 'val'
    assert protocol['evaluated']['num_images'] == 15
    assert protocol['epoch_used'] == 'last'
    assert record['metrics'] == seen[-1][1]
    assert {'shot/overall', 'shot/expert1/few'} <= record['metrics'].keys()


def test_a_device_of_any_kind_has_a_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: f'GPU {device.index}')
    names = [device_name(torch.device(device)) for device in ('cpu', 'mps', 'cuda:1')]
    assert names == ['CPU', 'MPS', 'GPU 1']
    assert machine(torch.device('mps'))['device'] == 'MPS'


def test_config_is_named_as_given(make_runner, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs/mine.py').write_text('')
    make_runner(HOOKS, cfg=Config.fromfile('configs/mine.py')).train()
    assert record_in(tmp_path / 'run')['config'] == 'configs/mine.py'


def test_a_config_on_another_drive_is_named_in_full(make_runner, tmp_path, other_drive):
    (tmp_path / 'mine.py').write_text('')
    make_runner(HOOKS, cfg=Config.fromfile(tmp_path / 'mine.py')).train()
    assert record_in(tmp_path / 'run')['config'] == str(tmp_path / 'mine.py')


def test_metrics_are_those_of_the_last_epoch_whatever_the_interval(train, capfd):
    record, seen = train(
        train_cfg=dict(by_epoch=True, max_epochs=3, val_interval=2), val_evaluator=[Serial()]
    )
    assert seen == [(2, {'serial/number': 1.0}), (3, {'serial/number': 2.0})]
    assert record['metrics'] == {'serial/number': 2.0}
    assert 'further metrics: serial/number 2' in ''.join(capfd.readouterr())


def test_training_that_never_validated_is_validated_at_its_end(train):
    record, seen = train(train_cfg=dict(by_epoch=True, max_epochs=2, val_begin=5))
    assert [epoch for epoch, _ in seen] == [2]
    assert record['metrics'] == seen[0][1]


def test_resuming_a_complete_training_writes_the_record_again(train, tmp_path):
    first, _ = train()
    (tmp_path / 'run/results.json').unlink()
    again, _ = train(load_from=str(tmp_path / 'run/epoch_2.pth'), resume=True)
    assert again['metrics'] == first['metrics']
    assert again['epochs'] == 2


def test_wall_time_adds_up_over_a_resume_but_not_over_fine_tuning(train, tmp_path, monkeypatch):
    monkeypatch.setattr('ecl.engine.hooks.run_record.time', Clock(step=1))
    train()
    checkpoint = load_checkpoint(tmp_path / 'run/epoch_2.pth')
    before = checkpoint['meta']['wall_seconds']
    assert 0 < before < 10
    start = str(tmp_path / 'run/epoch_2.pth')
    monkeypatch.setattr('ecl.engine.hooks.run_record.time', Clock(step=1000))
    resumed, _ = train(load_from=start, resume=True, max_epochs=3)
    # The slow clock is read at the start, for the checkpoint of epoch 3 and for the record.
    assert resumed['wall_seconds'] == 2000 + before
    start = str(tmp_path / 'run/epoch_3.pth')
    assert load_checkpoint(start)['meta']['wall_seconds'] == 1000 + before
    monkeypatch.setattr('ecl.engine.hooks.run_record.time', Clock(step=1))
    tuned, _ = train(load_from=start, max_epochs=1)
    assert tuned['wall_seconds'] < 10


class Clock:
    def __init__(self, step):
        self.step, self.now = step, 0

    def monotonic(self):
        self.now += self.step
        return self.now


def test_without_validation_metrics_are_empty(train):
    record, seen = train(val_cfg=None, val_dataloader=None, val_evaluator=None)
    assert not seen
    assert record['metrics'] == {}
    assert record['protocol']['evaluated'] is None


def test_values_that_json_lacks_are_left_out(train):
    evaluator = [
        dict(type='ShotAccuracy'),
        dict(type='SingleLabelMetric', average=None),
        dict(type='ConfusionMatrix'),
    ]
    record, _ = train(val_evaluator=evaluator)
    assert 'shot/overall' in record['metrics']
    assert all(isinstance(value, float) for value in record['metrics'].values())


def test_table_and_path_end_the_log(train, capfd, tmp_path):
    train()
    log = ''.join(capfd.readouterr())
    assert f'Results, for {tmp_path / "run/results.json"}:\n| accuracy (%)' in log
    assert log.count('| ensemble') == 1


def test_evaluation_alone_writes_nothing(make_runner, tmp_path):
    runner = make_runner(HOOKS)
    runner.val()
    assert not (tmp_path / 'run/results.json').exists()
    assert isinstance(runner._train_loop, dict), 'an evaluation must not read the training data'
