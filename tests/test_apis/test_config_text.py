import math

import pytest
from mmengine.config import Config

from ecl.apis import load_config
from ecl.apis.config_text import parse_config, restrict_types
from ecl.checkpoint_file import trust_checkpoints
from ecl.errors import UserError


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
