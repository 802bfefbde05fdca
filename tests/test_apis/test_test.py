import csv
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from ecl.apis import load_config
from ecl.apis import test as evaluate
from ecl.apis.test import use_tta
from ecl.datasets import BatchRandomFlip, Digits, InMemoryDataset
from ecl.errors import UserError
from ecl.models.adjustment import ADJUSTMENTS

LISTS = f"""
_base_ = '{Path(__file__).parents[2]}/configs/ecl/ecl_r8_digits-lt.py'
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ImageList',
        data_root='{{root}}',
        ann_file='all.txt',
        classes=[str(digit) for digit in range(10)],
        pipeline=[dict(type='LoadImage'), dict(type='PackInputs')],
    )
)
"""


def test_a_checkpoint_repeats_the_metrics_of_its_training(
    digits_run, digits_config, tmp_path, capsys
):
    checkpoint = digits_run / 'epoch_3.pth'
    out = tmp_path / 'metrics.json'
    metrics = evaluate(digits_config, digits_run, work_dir=tmp_path, out=out)
    record = json.loads((digits_run / 'results.json').read_text())
    shots = {key: value for key, value in metrics.items() if key.startswith('shot/')}
    assert shots == pytest.approx({k: v for k, v in record['metrics'].items() if k in shots})
    assert json.loads(out.read_text()) == {
        'config': str(digits_config),
        'checkpoint': str(checkpoint),
        'metrics': metrics,
    }
    assert '| ensemble ' in capsys.readouterr().out


def test_the_files_of_the_training_stay_as_they_are(digits_run, digits_config, tmp_path):
    run = shutil.copytree(digits_run, tmp_path / 'run')
    before = {path: path.read_bytes() for path in run.rglob('*') if path.is_file()}
    options = {'model.head.predict_with': 'label'}
    evaluate(digits_config, run / 'epoch_3.pth', work_dir=run, cfg_options=options)
    assert {path: path.read_bytes() for path in before} == before
    assert "predict_with='label'" in (run / 'test' / f'{digits_config.stem}.py').read_text()


def test_no_training_data_is_needed(digits_run, digits_config, tmp_path):
    metrics = evaluate(
        digits_config,
        digits_run / 'epoch_3.pth',
        work_dir=tmp_path,
        cfg_options=dict.fromkeys(
            ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')
        ),
    )
    assert 'shot/few' in metrics


def test_a_checkpoint_of_another_model_is_refused(digits_run, digits_config, tmp_path, open_files):
    with pytest.raises(
        UserError, match=r'epoch_3.pth is a checkpoint of another model: .* \(3, 12\)'
    ):
        evaluate(
            digits_config,
            digits_run / 'epoch_3.pth',
            work_dir=tmp_path,
            cfg_options={'model.head.num_classes': 12},
        )
    assert not open_files()


@pytest.mark.parametrize('name', ['out', 'per_class'])
def test_an_output_file_that_cannot_be_written_is_found_before_the_work(
    digits_run, digits_config, tmp_path, name
):
    with pytest.raises(UserError, match='nowhere does not exist'):
        evaluate(
            digits_config,
            digits_run / 'epoch_3.pth',
            work_dir=tmp_path,
            **{name: tmp_path / 'nowhere' / 'metrics.json'},
        )


def test_a_file_of_predictions_holds_each_value_once(digits_run, digits_config, tmp_path):
    out = tmp_path / 'predictions.pkl'
    evaluate(digits_config, digits_run / 'epoch_3.pth', work_dir=tmp_path, out=out)
    tensors = [x for sample in pickle.loads(out.read_bytes()) for x in sample.values()]
    tensors = [x for x in tensors if isinstance(x, torch.Tensor)]
    assert tensors
    assert all(x.untyped_storage().nbytes() == x.nbytes for x in tensors)


@pytest.mark.parametrize('name', ['metrics.csv', 'metrics'])
def test_an_output_file_of_another_kind_is_refused(digits_run, digits_config, tmp_path, name):
    with pytest.raises(UserError, match=rf'{name}: got the suffix .*, expected \.json or \.pkl'):
        evaluate(digits_config, digits_run / 'epoch_3.pth', out=tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_other_distributions_and_each_class(digits_run, digits_config, tmp_path, capsys):
    out = tmp_path / 'classes.csv'
    metrics = evaluate(
        digits_config,
        digits_run / 'epoch_3.pth',
        work_dir=tmp_path,
        per_class=out,
        imbalance_factors=[50],
        # As in the configuration of a training that is resumed, with groups of its own.
        cfg_options={'resume': True, 'test_evaluator.thresholds': [5, 60]},
    )
    rows = list(csv.DictReader(out.open()))
    assert [row['shot_group'] for row in rows][:3] == ['many', 'many', 'medium']
    assert [int(row['training_images']) for row in rows][:3] == [120, 77, 50]
    accuracies = [float(row['expert 1']) for row in rows]
    assert sum(accuracies) / 10 == pytest.approx(metrics['shot/expert1/balanced'])
    assert metrics['distribution/uniform'] == pytest.approx(metrics['shot/balanced'])
    assert metrics['distribution/forward50'] > metrics['distribution/backward50']
    printed = capsys.readouterr().out
    assert '| backward50 ' in printed
    assert 'on 500 images' in printed
    assert f'{metrics["calibration/expert2/ECE"]:.2f} |' in printed


def test_lists_of_some_of_the_test_images(digits_run, tmp_path, monkeypatch):
    images = Digits(split='test')
    for i in range(20):
        Image.fromarray(images[i]['img']).save(tmp_path / f'{i}.png')
    lines = [f'{i}.png {images[i]["gt_label"]}\n' for i in range(20)]
    for name, chosen in (('all', lines), ('half', lines[::2])):
        (tmp_path / f'{name}.txt').write_text(''.join(chosen))
    # A list is found from the current folder, not from that of the data.
    (tmp_path / 'lists').mkdir()
    shutil.copy(tmp_path / 'half.txt', tmp_path / 'lists' / 'part.txt')
    monkeypatch.chdir(tmp_path / 'lists')
    config = tmp_path / 'lists.py'
    config.write_text(LISTS.format(root=tmp_path))
    metrics = evaluate(
        config,
        digits_run / 'epoch_3.pth',
        work_dir=tmp_path,
        per_class=tmp_path / 'classes.csv',
        test_lists=['part.txt', tmp_path / 'all.txt'],
    )
    assert metrics['distribution/all'] == pytest.approx(metrics['shot/overall'])
    alone = evaluate(
        config,
        digits_run / 'epoch_3.pth',
        work_dir=tmp_path,
        cfg_options={'test_dataloader.dataset.ann_file': 'half.txt'},
    )
    assert metrics['distribution/part'] == pytest.approx(alone['shot/overall'])


def test_an_adjustment_of_custom_imports(digits_config, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(ADJUSTMENTS, 'forget', None)  # removed again after the test
    del ADJUSTMENTS['forget']
    (tmp_path / 'forgetting.py').write_text(
        'from ecl.models.adjustment import ADJUSTMENTS\n'
        'def forget(head, tau, class_counts):\n'
        '    head.label_classifiers.requires_grad_(False)\n'
        '    for parameter in head.label_classifiers.parameters():\n'
        '        parameter *= 1 - tau\n'
        "ADJUSTMENTS['forget'] = forget\n"
    )
    config = tmp_path / 'own.py'
    config.write_text(
        f"_base_ = {str(digits_config)!r}\ncustom_imports = dict(imports=['forgetting'])\n"
    )
    arguments = dict(checkpoint='ecl_r8_digits-lt', work_dir=tmp_path / 'work', tau=1.0)
    metrics = evaluate(config, adjust='forget', **arguments)
    assert metrics['unadjusted/shot/overall'] > 80
    assert metrics['shot/overall'] < 20
    with pytest.raises(UserError, match=r"method: got 'forgot', expected .*'forget'"):
        evaluate(config, adjust='forgot', **arguments)


def test_lists_need_test_data_given_as_a_list(digits_run, digits_config, tmp_path):
    with pytest.raises(UserError, match=r'a\.txt: the test data of the configuration is not given'):
        evaluate(digits_config, digits_run / 'epoch_3.pth', test_lists=['a.txt'])


def _config(*training_steps):
    steps = [dict(type='LoadImage'), dict(type='PackInputs')]
    return Config(
        dict(
            model=dict(type='ECLClassifier'),
            train_dataloader=dict(dataset=dict(pipeline=list(training_steps))),
            test_dataloader=dict(dataset=dict(dataset=dict(pipeline=steps))),
        )
    )


def test_images_and_their_mirror_images_where_training_mirrors():
    cfg = _config(dict(type='MultiView', transforms=[[dict(type='RandomFlip', prob=0.5)]]))
    use_tta(cfg, 'a.py')
    load, views = cfg.test_dataloader.dataset.dataset.pipeline
    assert load.type == 'LoadImage'
    flips = [(flip.prob, flip.direction) for flip in views.transforms[0]]
    assert flips == [(0.0, 'horizontal'), (1.0, 'horizontal')]
    assert views.transforms[1] == [dict(type='PackInputs')]
    assert cfg.model.module.type == 'ECLClassifier'


def test_the_wrapper_of_the_configuration_averages_its_own_views():
    cfg = _config()
    cfg.tta_model = dict(type='MyTTA')
    cfg.tta_pipeline = [dict(type='LoadImage'), dict(type='TestTimeAug', transforms=[])]
    use_tta(cfg, 'a.py')
    assert cfg.model.type == 'MyTTA'
    assert cfg.model.module.type == 'ECLClassifier'
    assert [step.type for step in cfg.test_dataloader.dataset.dataset.pipeline] == [
        'LoadImage',
        'TestTimeAug',
    ]


@pytest.mark.parametrize(
    ('memory', 'flip'),
    [('InMemoryDataset', 'BatchRandomFlip'), (InMemoryDataset, BatchRandomFlip)],
)
@pytest.mark.parametrize('inside', [True, False])
def test_images_are_mirrored_where_the_batch_is_and_memory_has_one_view(memory, flip, inside):
    cfg = _config()
    (cfg.model if inside else cfg).data_preprocessor = dict(views=[[dict(type=flip)]])
    cfg.test_dataloader.dataset = dict(type=memory, **cfg.test_dataloader.dataset)
    use_tta(cfg, 'a.py')
    assert cfg.test_dataloader.dataset.pipeline[-1].type == 'TestTimeAug'


@pytest.mark.parametrize('steps', [(), (dict(type='RandomFlip', direction='vertical'),)])
def test_views_are_asked_for_where_training_does_not_mirror(steps):
    with pytest.raises(UserError, match=r'a\.py: training does not mirror .* tta_pipeline'):
        use_tta(_config(*steps), 'a.py')


def test_the_views_of_a_configuration_are_used(digits_run, digits_config, tmp_path):
    views = load_config(digits_config).tta_pipeline[0].transforms[0]
    assert sorted(view.magnitude for view in views) == [-0.125, -0.125, 0, 0.125, 0.125]
    checkpoint = digits_run / 'epoch_3.pth'
    plain = evaluate(digits_config, checkpoint, work_dir=tmp_path)
    averaged = evaluate(digits_config, checkpoint, work_dir=tmp_path, tta=True)
    assert plain.keys() == averaged.keys()
    assert plain['calibration/ECE'] != averaged['calibration/ECE']
    assert plain['calibration/expert1/ECE'] != averaged['calibration/expert1/ECE']
