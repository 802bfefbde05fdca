import math
import pickle

import pytest
import torch
from mmengine.config import Config
from torch import nn

from ecl.apis import load_config
from ecl.apis.checkpoint import (
    check_resumable,
    find_checkpoint,
    latest_checkpoint,
    parse_config,
    restrict_types,
)
from ecl.checkpoint_file import load_checkpoint, trust_checkpoints
from ecl.errors import UserError


class _Opens:
    def __reduce__(self):
        return open, ('stolen', 'w')


def test_a_checkpoint_comes_back(tmp_path):
    saved = {'state_dict': nn.Linear(2, 3).state_dict(), 'meta': {'epoch': 1}}
    torch.save(saved, tmp_path / 'a.pth')
    loaded = load_checkpoint(tmp_path / 'a.pth')
    assert loaded['meta'] == {'epoch': 1}
    assert torch.equal(loaded['state_dict']['weight'], saved['state_dict']['weight'])


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'not a checkpoint',
        pickle.dumps({'state_dict': _Opens()}, protocol=2),
        b'PK\x03\x04rest',
    ],
)
def test_a_damaged_or_foreign_file_is_named_and_never_run(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(UserError, match=r'a\.pth cannot be loaded') as caught:
        load_checkpoint(tmp_path / 'a.pth')
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'stolen').exists()


def test_a_truncated_file_is_named(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': nn.Linear(20, 30).state_dict()}, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r'a\.pth cannot be loaded'):
        load_checkpoint(path)


def test_a_missing_file_and_one_without_weights_are_named(tmp_path):
    with pytest.raises(UserError, match=r'b\.pth does not exist'):
        load_checkpoint(tmp_path / 'b.pth')
    torch.save({'weights': {}}, tmp_path / 'c.pth')
    with pytest.raises(UserError, match=r'c\.pth is not a checkpoint'):
        load_checkpoint(tmp_path / 'c.pth')


@pytest.fixture
def three_checkpoints(tmp_path):
    """A work dir as a training left it, with the newest checkpoint last."""
    for epoch in (1, 2, 3):
        torch.save({'state_dict': nn.Linear(2, 3).state_dict()}, tmp_path / f'epoch_{epoch}.pth')
    (tmp_path / 'last_checkpoint').write_text('epoch_3.pth\nepoch_2.pth\n')
    return tmp_path


def test_latest_checkpoint_is_the_one_the_training_names(three_checkpoints):
    assert latest_checkpoint(three_checkpoints) == str(three_checkpoints / 'epoch_3.pth')
    (three_checkpoints / 'last_checkpoint').write_text('epoch_1.pth\n')
    assert latest_checkpoint(three_checkpoints) == str(three_checkpoints / 'epoch_1.pth')
    assert latest_checkpoint(three_checkpoints / 'missing') is None


def test_latest_checkpoint_of_a_folder_that_was_moved(three_checkpoints):
    # As MMEngine itself writes it.
    (three_checkpoints / 'last_checkpoint').write_text('/somewhere/else/epoch_2.pth')
    assert latest_checkpoint(three_checkpoints) == str(three_checkpoints / 'epoch_2.pth')


def test_a_damaged_newest_checkpoint_is_named_and_passed_over(three_checkpoints, capsys):
    newest = three_checkpoints / 'epoch_3.pth'
    newest.write_bytes(newest.read_bytes()[:-100])
    assert latest_checkpoint(three_checkpoints) == str(three_checkpoints / 'epoch_2.pth')
    assert f'warning: {newest} cannot be loaded: it is damaged' in capsys.readouterr().err
    (three_checkpoints / 'epoch_2.pth').unlink()
    # epoch_1.pth may be another training's.
    assert latest_checkpoint(three_checkpoints) is None


TEXT = """
train_cfg = dict(by_epoch=True, max_epochs=20)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=20)]
"""


def resumable(text=TEXT, **parts):
    meta = {'epoch': 1, 'iter': 9, 'cfg': text}
    return dict(meta=meta, optimizer={}, message_hub={}, param_schedulers=[{}]) | parts


def config(changes):
    cfg = Config.fromstring(TEXT, '.py')
    cfg.merge_from_dict(changes)
    return cfg


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'optim_wrapper.clip_grad': dict(max_norm=1)},
        {'train_cfg.val_interval': 5},
        {'train_cfg.by_epoch': False},
    ],
)
def test_settings_that_take_effect_may_change(changes):
    check_resumable(resumable(), config(changes), 'a.pth')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'train_cfg.max_epochs': 30}, r'train_cfg\.max_epochs was 20 and is now 30, .* keep 20'),
        ({'train_cfg.max_epochs': 10}, r'train_cfg\.max_epochs was 20 and is now 10'),
        ({'train_cfg.max_iters': 9}, r'train_cfg\.max_iters was None and is now 9'),
        ({'optim_wrapper.optimizer.lr': 0.01}, r'optimizer\.lr was 0\.1 and is now 0\.01'),
        ({'optim_wrapper.optimizer.type': 'Adam'}, r"type was 'SGD' and is now 'Adam'"),
        ({'param_scheduler.0.T_max': 30}, 'param_scheduler was .* and is now'),
    ],
)
def test_settings_that_the_checkpoint_overrules_are_refused(changes, message):
    with pytest.raises(UserError, match=f'^cannot resume a.pth: .*{message}') as caught:
        check_resumable(resumable(), config(changes), 'a.pth')
    assert 'load_from=a.pth' in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('text', [None, '', 'a = (', 'a = open("b")', [1]])
def test_a_configuration_that_cannot_be_read_is_not_compared(text):
    check_resumable(resumable(text), config({'train_cfg.max_epochs': 30}), 'a.pth')


def test_without_a_schedule_a_training_may_be_prolonged():
    saved = resumable(param_schedulers=[])
    check_resumable(saved, config({'train_cfg.max_epochs': 30}), 'a.pth')


@pytest.mark.parametrize(
    ('parts', 'missing'),
    [
        ({'meta': None}, 'meta'),
        ({'meta': {'iter': 9}}, 'meta.epoch'),
        ({'meta': {'epoch': 'x', 'iter': 9}}, 'meta.epoch'),
        ({'optimizer': None}, 'optimizer'),
        ({'message_hub': []}, 'message_hub'),
    ],
)
def test_weights_alone_are_no_training_to_resume(parts, missing):
    with pytest.raises(UserError, match=rf'\({missing} is missing\)'):
        check_resumable(resumable(**parts), config({}), 'a.pth')


def test_what_the_engine_writes_comes_back(digits_config):
    cfg = load_config(digits_config)
    assert parse_config(cfg.pretty_text, 'x.pth').to_dict() == cfg.to_dict()


def test_unusual_values_come_back():
    values = {
        'a': {'b c': 1, 2: [(), {}, -1e-3]},
        'd': math.inf,
        'e': ('x', [None, True]),
        'f': dict(paramwise_cfg=dict(custom_keys={'.bias': dict(decay_mult=0.0)})),
    }
    assert parse_config(Config(values).pretty_text, 'x.pth').to_dict() == values


@pytest.mark.parametrize(
    'text',
    [
        'import os',
        "a = __import__('os').system('touch stolen')",
        "a = open('stolen', 'w')",
        'a = [x for x in (1,)]',
        'a = b',
        'a = dict(**{})',
        'a.b = 1',
        'a, b = 1, 2',
        "a = f'{1}'",
        'a = (',
        'a = ' + '(' * 500 + ')' * 500,
        'a = \x00',
    ],
)
def test_anything_but_plain_values_is_refused_and_never_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r'^x\.pth: the configuration in it is more than plain'):
        parse_config(text, 'x.pth')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('kind', ['subprocess.run', 'os.system', 'Misspelt', 'builtins.exec'])
def test_a_type_that_is_not_registered_is_refused(kind):
    parts = {'model': {'head': {'type': kind}}}
    with pytest.raises(UserError, match=rf"x\.pth: model\.head\.type '{kind}' is not registered"):
        restrict_types(parts, None, 'x.pth')
    with trust_checkpoints():
        restrict_types(parts, None, 'x.pth')


@pytest.mark.parametrize('key', ['targets', 'on_trace_ready'])
def test_types_under_any_key_are_looked_at(key):
    parts = {'model': {'head': {key: [{'type': 'subprocess.run', 'args': ['true']}]}}}
    with pytest.raises(UserError, match=rf"model\.head\.{key}\.0\.type 'subprocess.run' is not"):
        restrict_types(parts, None, 'x.pth')


def test_a_path_to_a_registered_class_becomes_its_name_and_a_scope_stays():
    parts = {'a': {'type': 'mmpretrain.models.ResNet'}, 'b': {'type': 'mmpretrain.ResNet'}}
    restrict_types(parts, {'imports': ['no_such_module']}, 'x.pth')
    assert [part['type'] for part in parts.values()] == ['ResNet', 'mmpretrain.ResNet']


def test_modules_are_imported_for_a_trusted_file_only(tmp_path, monkeypatch):
    (tmp_path / 'mine_to_import.py').write_text("open('imported', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    imports = {'imports': ['mine_to_import']}
    restrict_types({}, imports, 'x.pth')
    assert not (tmp_path / 'imported').exists()
    with trust_checkpoints():
        restrict_types({}, imports, 'x.pth')
    assert (tmp_path / 'imported').exists()


def test_a_work_dir_means_its_final_checkpoint(digits_run, tmp_path):
    assert find_checkpoint(digits_run) == str(digits_run / 'epoch_3.pth')
    assert find_checkpoint('ecl_r8_digits-lt') == 'ecl_r8_digits-lt'
    assert find_checkpoint(tmp_path / 'gone.pth') == str(tmp_path / 'gone.pth')
    with pytest.raises(UserError, match=f'{tmp_path} holds no checkpoint'):
        find_checkpoint(tmp_path)
