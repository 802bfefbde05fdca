import json
import re

import pytest
import torch

import device_check
from device_check import check_device, difference, refuses
from ecl.errors import UserError


def test_all_checks_pass_on_a_cpu(tmp_path, capsys, fresh_engine_state):
    assert check_device(tmp_path, steps=2)
    told = json.loads((tmp_path / 'checks.json').read_text())
    assert len(told) == 10
    assert not [line for line in told.values() if 'FAILED' in line]
    assert re.fullmatch(r'[\d.]+ ms a step, 0 kernels, busy 0.00 ms, 0 waits', told['step'])
    assert f'iteration {device_check.WARM_UP + 3}' in told['loss not finite, graph']
    shown = capsys.readouterr().out
    assert all(f'{name}: {line}' in shown for name, line in told.items() if name != 'machine')


def test_a_check_that_fails_is_told_and_the_others_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(device_check, 'step', lambda *args, **kwargs: 'timed')
    monkeypatch.setattr(device_check, 'resumes', lambda folder, graph: 'equal')
    monkeypatch.setattr(device_check, 'together_agrees', lambda *args: 'equal')
    monkeypatch.setattr(device_check, 'refuses', lambda *args, **kwargs: 'refused')

    def weights(folder, **options):
        return {'weight': torch.tensor([2.0, 1.0 + bool(options)])}

    monkeypatch.setattr(device_check, 'weights', weights)
    assert not check_device(tmp_path)
    shown = capsys.readouterr().out
    assert 'graph as one by one: FAILED: UserError: weights differ by 5.0e-01' in shown
    assert 'out of memory: refused' in shown
    assert 'UserError' in (tmp_path / 'errors.txt').read_text()


def test_a_difference_is_relative_to_the_largest_weight():
    one = {'a': torch.tensor([4.0, 0.0]), 'b': torch.ones(3)}
    other = {'a': torch.tensor([4.0, 1.0]), 'b': torch.ones(3)}
    assert difference(one, other) == 0.25


def test_a_training_that_goes_on_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(device_check, 'weights', lambda folder, **options: {})
    with pytest.raises(UserError, match='did not end'):
        refuses('memory', tmp_path)
