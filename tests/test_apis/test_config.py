from pathlib import Path

import pytest
from mmengine.optim import OptimWrapper

import ecl
from ecl.apis import load_config
from ecl.apis.config import use_mixed_precision, use_resumable_loop
from ecl.errors import UserError

TINY = """
lr = 0.1
model = dict(type='ImageClassifier', head=dict(type='LinearClsHead', num_classes=3, in_channels=4))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=lr))
val_evaluator = [dict(type='Accuracy', topk=(1, 5)), dict(type='SingleLabelMetric')]
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / 'tiny.py'
    path.write_text(TINY)
    return path


def test_defaults_are_filled_in(tiny):
    cfg = load_config(tiny)
    assert cfg.work_dir == 'work_dirs/tiny'
    assert cfg.randomness.seed == 0


def test_the_file_keeps_its_own_seed_and_work_dir_unless_told_otherwise(tiny):
    tiny.write_text(TINY + "randomness = dict(seed=3)\nwork_dir = 'here'\n")
    cfg = load_config(tiny)
    assert (cfg.randomness.seed, cfg.work_dir) == (3, 'here')
    cfg = load_config(tiny, work_dir='there', seed=0)
    assert (cfg.randomness.seed, cfg.work_dir) == (0, 'there')


def test_options_reach_dicts_and_list_items(tiny):
    options = {'model.head.num_classes': 7, 'val_evaluator.0.topk': (1,), 'log_level': 'ERROR'}
    cfg = load_config(tiny, cfg_options=options)
    assert cfg.model.head.num_classes == 7
    assert cfg.val_evaluator[0].topk == (1,)
    assert cfg.val_evaluator[1].type == 'SingleLabelMetric'
    assert cfg.log_level == 'ERROR'


def test_options_may_open_a_section_that_the_file_leaves_out(tiny):
    cfg = load_config(tiny, cfg_options={'env_cfg.dist_cfg.backend': 'gloo'})
    assert cfg.env_cfg.dist_cfg.backend == 'gloo'


def test_there_may_be_nothing_to_delete(tiny):
    added = {'env_cfg.dist_cfg': dict(_delete_=True, backend='gloo')}
    assert load_config(tiny, cfg_options=added).env_cfg.dist_cfg == dict(backend='gloo')


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('model.head.num_clases', "head.num_clases is not .* LinearClsHead; did you mean 'num_cl"),
        ('model.hed.num_classes', "model.hed is not an .* ImageClassifier; did you mean 'head'"),
        ('modle.head.num_classes', "unknown key 'modle'.*; did you mean 'model'"),
        ('val_evaluator.2.topk', '--cfg-options: Index 2 exceeds the length of list'),
        ('log_level.high', '--cfg-options: .*log_level'),
        ('lr', "unknown key 'lr'; did you mean 'optim_wrapper.optimizer.lr'"),
        ('gibberish', "unknown key 'gibberish'$"),
    ],
)
def test_an_option_that_leads_nowhere_is_an_error(tiny, option, message):
    tiny.write_text(TINY + "log_level = 'INFO'\n")
    with pytest.raises(UserError, match=f'tiny.py[:,] .*{message}'):
        load_config(tiny, cfg_options={option: 1})


@pytest.mark.parametrize(
    'text',
    [
        'model = dict(',
        'model = undefined_name',
        "_base_ = ['missing.py']",
        'import a_module_that_does_not_exist',
        "custom_imports = dict(imports=['a_module_that_does_not_exist'])",
        "a = {'b': 1}\nc = '{{missing_variable}}'\n_base_ = ['./other.py']",
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path, text):
    (tmp_path / 'other.py').write_text('a = 1\n')
    path = tmp_path / 'broken.py'
    path.write_text(text)
    with pytest.raises(UserError, match=r'broken\.py') as caught:
        load_config(path)
    assert '\n' not in str(caught.value)


def test_a_missing_file_is_named():
    with pytest.raises(UserError, match=r'nowhere\.py does not exist'):
        load_config('nowhere.py')


@pytest.mark.parametrize(
    'kind',
    [
        None,
        'OptimWrapper',
        'AmpOptimWrapper',
        'Bfloat16OptimWrapper',
        OptimWrapper,
    ],
)
def test_mixed_precision_replaces_the_wrapper_and_keeps_its_optimizer(tiny, kind):
    cfg = load_config(tiny)
    if kind:
        cfg.optim_wrapper.type = kind
    if kind == 'AmpOptimWrapper':
        cfg.optim_wrapper.loss_scale = 'dynamic'
    use_mixed_precision(cfg, 'tiny.py')
    assert cfg.optim_wrapper == dict(
        type='Bfloat16OptimWrapper', optimizer=dict(type='SGD', lr=0.1)
    )


@pytest.mark.parametrize('wrapper', [None, dict(type='OptimWrapperDict')])
def test_mixed_precision_leaves_other_wrappers_alone(tiny, wrapper):
    cfg = load_config(tiny)
    cfg.optim_wrapper = wrapper
    with pytest.raises(UserError, match=r'tiny\.py: mixed precision'):
        use_mixed_precision(cfg, 'tiny.py')


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        (dict(by_epoch=True, max_epochs=2), dict(type='ResumableTrainLoop', max_epochs=2)),
        (dict(max_epochs=2), dict(type='ResumableTrainLoop', max_epochs=2)),
        (dict(by_epoch=False, max_iters=9), dict(by_epoch=False, max_iters=9)),
        (dict(by_epoch=True, type='LinearProbeLoop'), dict(type='LinearProbeLoop')),
        (dict(type='LinearProbeLoop'), dict(type='LinearProbeLoop')),
    ],
)
def test_a_training_by_epochs_can_be_resumed_unless_the_file_names_a_loop(tiny, given, expected):
    cfg = load_config(tiny)
    cfg.train_cfg = given
    use_resumable_loop(cfg)
    assert cfg.train_cfg == expected


def fault(path):
    with pytest.raises(UserError) as caught:
        load_config(path)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_a_module_that_fails_to_import_is_told_from_one_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'imp_nopkg.py').write_text('import nopkgxyz\n')
    path = tmp_path / 'mine.py'
    path.write_text("custom_imports = dict(imports=['imp_nopkg'])\n")
    message = fault(path)
    assert "imp_nopkg: No module named 'nopkgxyz'" in message
    assert 'PYTHONPATH' not in message
    path.write_text("custom_imports = dict(imports=['imp_gone'])\n")
    message = fault(path)
    assert "No module named 'imp_gone'" in message
    assert 'PYTHONPATH' in message


@pytest.mark.parametrize(
    ('base', 'expected'),
    [
        ('./missing.py', 'missing.py does not exist'),
        ('ecl_r8_digits-lt.py', "did you mean 'ecl::ecl/ecl_r8_digits-lt.py'?"),
        ('ecl::ecl/ecl_r8_digit-lt.py', "did you mean 'ecl::ecl/ecl_r8_digits-lt.py'?"),
        ('../_base_/default_runtime.py', "did you mean 'ecl::_base_/default_runtime.py'?"),
        ('nothing::a/b.py', 'nothing'),
        ('ecl::b.py', 'relative config path'),
    ],
)
def test_a_missing_base_is_named(tmp_path, base, expected):
    path = tmp_path / 'mine.py'
    path.write_text(f'_base_ = {base!r}\n')
    message = fault(path)
    assert message.startswith(f'{path} cannot be read: ')
    assert expected in message


def test_a_packaged_configuration_is_inherited_by_name(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        "_base_ = 'ecl::ecl/ecl_r8_digits-lt.py'\nmodel = dict(backbone=dict(num_experts=4))\n"
    )
    mine, base = load_config(path).to_dict(), load_config('ecl_r8_digits-lt').to_dict()
    assert mine['model']['backbone'].pop('num_experts') == 4
    assert base['model']['backbone'].pop('num_experts') == 3
    assert mine.pop('work_dir') != base.pop('work_dir')
    assert mine == base


def test_a_clone_without_symbolic_links_is_told(tmp_path, monkeypatch):
    links = tmp_path / 'ecl' / '.mim'
    links.mkdir(parents=True)
    for name in ('configs', 'model-index.yml'):
        (links / name).write_text(f'../../{name}')
    monkeypatch.setattr(ecl, '__file__', str(links.parent / '__init__.py'))
    monkeypatch.setattr('mmengine.config.config.get_installed_path', lambda _: str(links.parent))
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'ecl::ecl/ecl_r8_digits-lt.py'\n")
    message = fault(path)
    assert str(links / 'configs') in message
    assert 'core.symlinks' in message


@pytest.mark.parametrize('key', ['lr', 'weight_decay', 'momentum'])
def test_a_negative_number_of_the_optimizer_is_named(tiny, key):
    option = f'optim_wrapper.optimizer.{key}'
    with pytest.raises(UserError, match=rf'tiny\.py: {option}: got -0\.1, expected a number'):
        load_config(tiny, cfg_options={option: -0.1})
