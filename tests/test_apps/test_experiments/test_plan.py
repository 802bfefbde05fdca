import json
from pathlib import Path

import pytest

from ecl.apps.experiments.plan import Row, Run, plan, read_matrix
from ecl.errors import UserError


@pytest.mark.parametrize('seeds', [[0, 0], ['a'], [-1], [True], 3])
def test_seeds_are_whole_numbers_and_all_different(tmp_path, seeds):
    path = tmp_path / 'm.json'
    path.write_text(json.dumps(dict(title='T', seeds=seeds, rows=[{'name': 'A'}])))
    with pytest.raises(UserError, match=r'm\.json: seeds: got .*, all different\.'):
        read_matrix(path)


@pytest.mark.parametrize('rows', [{'name': 'A'}, 'A', 3])
def test_rows_are_a_list(tmp_path, rows):
    path = tmp_path / 'm.json'
    path.write_text(json.dumps(dict(title='T', seeds=[0], rows=rows)))
    with pytest.raises(UserError, match=r'm\.json: rows: got .*, expected a list of rows\.'):
        read_matrix(path)


def test_names_in_any_script_have_folders_of_their_own(tmp_path, digits_config):
    path = tmp_path / 'm.json'
    rows = [{'name': name, 'config': str(digits_config)} for name in ('长尾', '分布', 'ECL, τ_1')]
    path.write_text(json.dumps(dict(title='T', seeds=[0], rows=rows)))
    _, seeds, read = read_matrix(path)
    runs = plan(read, seeds, tmp_path, tmp_path / 'table.json')
    assert [run.work_dir.parent.name for run in runs] == ['长尾', '分布', 'ecl-τ-1']


def test_epochs_are_counted_whatever_the_last_line_of_the_log(tmp_path, digits_config):
    (tmp_path / 'now' / 'vis_data').mkdir(parents=True)
    run = Run(Row('A', digits_config, {}, {}), 0, tmp_path, 60, '')
    assert run.finished_epochs() == 0
    log = tmp_path / 'now' / 'vis_data' / 'scalars.json'
    training = '{"loss": 1.0, "epoch": 7, "iter": 70, "step": 70}\n'
    for last in ('', '{"shot/overall": 80.0, "step": 7}\n', '{"loss": 1.0, "ep'):
        log.write_text(training.replace('7', '6') + training + last)
        assert run.finished_epochs() == 7


def test_the_matrices_of_the_package_need_no_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    title, seeds, rows = read_matrix(Path('configs/comparison/digits-lt.yaml'))
    assert (title, seeds) == ('Methods on Digits-LT', [0, 1, 2, 3, 4])
    assert all(row.config.is_file() for row in rows)


def test_a_configuration_on_another_drive_is_named_in_full(tmp_path, digits_config, other_drive):
    path = tmp_path / 'm.json'
    rows = [{'config': str(digits_config)}]
    path.write_text(json.dumps(dict(title='T', seeds=[0], rows=rows)))
    assert read_matrix(path)[2][0].config == digits_config


def _planned(folder, config, options):
    (run,) = plan([Row('A', config, options, {})], [0], folder, folder / 'table.json')
    return run


@pytest.mark.parametrize(
    ('options', 'another'),
    [
        ({'model.backbone.num_experts': 2}, True),
        ({'data_preprocessor.mean': [1.0, 2.0, 3.0]}, True),
        ({'train_dataloader.dataset.imbalance_factor': 5}, True),
        ({'val_dataloader.dataset.test_per_class': 20}, True),
        ({'val_evaluator.thresholds': [5, 10]}, True),
        ({'optim_wrapper.optimizer.lr': 0.01}, True),
        ({'param_scheduler': []}, True),
        ({'train_cfg.max_epochs': 3}, True),
        ({'load_from': 'weights.pth'}, True),
        ({'custom_hooks': [dict(type='EMAHook')]}, True),
        ({'default_hooks.weights': dict(type='DistillWeightHook')}, True),
        ({'test_dataloader.batch_size': 7}, False),
        ({'default_hooks.checkpoint.interval': 1}, False),
        ({'load_from': None}, False),
    ],
)
def test_what_the_weights_depend_on_makes_another_training(
    tmp_path, digits_config, options, another
):
    plain, changed = (
        _planned(tmp_path, digits_config, given).fingerprint for given in ({}, options)
    )
    assert (plain != changed) == another


@pytest.mark.parametrize('name', ['results.json', 'last_checkpoint'])
def test_a_folder_of_another_training_is_not_used(tmp_path, digits_config, name):
    run = _planned(tmp_path, digits_config, {})
    (run.work_dir / name).touch()
    _planned(tmp_path, digits_config, {})
    with pytest.raises(UserError, match='holds a run of another configuration'):
        _planned(tmp_path, digits_config, {'optim_wrapper.optimizer.lr': 0.01})
