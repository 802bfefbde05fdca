"""Habits of MMEngine and MMPretrain users, each tried on the digits.

Each habit is a change of a config, or a script, as such a user writes it without looking anything
up. The table of docs/en/migration.md is made of them: ``python tests/test_habits.py`` writes it.
"""

import json
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ecl import apis
from ecl.apis import train
from ecl.checkpoint_file import load_checkpoint
from ecl.errors import UserError

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / 'configs' / 'ecl' / 'ecl_r8_digits-lt.py'
PAGE = ROOT / 'docs' / 'en' / 'migration.md'
BEGIN, END = '<!-- habits: made by tests/test_habits.py -->', '<!-- end of habits -->'
SMALL = f"""
_base_ = {str(DIGITS)!r}
train_cfg = dict(max_epochs=2, val_interval=1)
model = dict(backbone=dict(num_experts=2))
train_dataloader = dict(dataset=dict(max_per_class=16, imbalance_factor=4))
default_hooks = dict(checkpoint=dict(interval=1))
"""
CLASSIFIER = """model = dict(
    _delete_=True, type='ImageClassifier', backbone=dict(type='ResNetCIFAR', depth=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64),
    data_preprocessor=dict(num_classes=10))
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.train_pipeline)))
"""


@dataclass
class Habit:
    """One habit.

    Args:
        title: What the user writes, for the table.
        config: Text of a config on top of the small digits.
        options: Arguments of :func:`ecl.apis.train`.
        script: Function of (folder, config file) instead of a training.
        check: Function of the work dir, after the training.
        refused: Pattern of the error, if the habit is refused.
        note: What to know, for the table.
    """

    title: str
    config: str = ''
    options: dict | None = None
    script: Callable[[Path, Path], None] | None = None
    check: Callable[[Path], None] | None = None
    refused: str | None = None
    note: str = ''


def _plain_runner(folder: Path, config: Path) -> None:
    cfg = Config.fromfile(config)
    cfg.work_dir = str(folder)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.epoch == 2


def _runner_type(folder: Path, config: Path) -> None:
    cfg = Config.fromfile(config)
    cfg.work_dir = str(folder)
    runner = RUNNERS.build(cfg)
    runner.train()
    assert type(runner).__name__ == 'ResumableRunner'


def _get_model(folder: Path, config: Path) -> None:
    from mmpretrain import get_model

    train(config, work_dir=folder)
    model = get_model(str(config), pretrained=str(folder / 'epoch_2.pth'))
    weights = load_checkpoint(folder / 'epoch_2.pth')['state_dict']
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    feats = model.extract_feat(torch.rand(3, 3, 8, 8))
    assert [tuple(feat.shape) for feat in feats] == [(3, 64)] * 2


def _inferencer(folder: Path, config: Path) -> None:
    from mmpretrain import ImageClassificationInferencer

    (result,) = ImageClassificationInferencer(str(config))(np.zeros((8, 8, 3), np.uint8))
    assert result['pred_scores'].shape == (10,)


def _feature_extractor(folder: Path, config: Path) -> None:
    from mmpretrain import FeatureExtractor

    (feats,) = FeatureExtractor(str(config))(np.zeros((8, 8, 3), np.uint8))
    assert [tuple(feat.shape) for feat in feats] == [(64,)] * 2


def _complexity(folder: Path, config: Path) -> None:
    from mmpretrain import get_model

    assert get_model_complexity_info(get_model(str(config)), (3, 8, 8))['flops'] > 0


def _has(name: str) -> Callable[[Path], None]:
    def check(folder: Path) -> None:
        assert list(folder.rglob(name)), name

    return check


def _averaged(folder: Path) -> None:
    saved = load_checkpoint(folder / 'epoch_2.pth')
    own, averaged = saved['ema_state_dict'], saved['state_dict']
    names = [key for key in averaged if key.endswith('conv1.weight') and 'contrast' not in key]
    assert any(not torch.equal(own[f'module.{key}'], averaged[key]) for key in names)


def _own_hook(folder: Path) -> None:
    assert (folder / 'results.json').is_file()  # a hook of this package still works
    assert load_checkpoint(folder / 'epoch_2.pth')['meta']['class_counts']


def _no_metrics(folder: Path) -> None:
    assert json.loads((folder / 'results.json').read_text())['metrics'] == {}


def _scaled(folder: Path) -> None:
    (group,) = load_checkpoint(folder / 'epoch_2.pth')['optimizer']['param_groups']
    assert group['initial_lr'] == pytest.approx(0.1 * 16 / 32)


def _test_outputs(folder: Path, config: Path) -> None:
    train(config, work_dir=folder)
    out, pictures = folder / 'predictions.pkl', folder / 'pictures'
    options = {'test_dataloader.dataset.indices': 20}
    apis.test(
        config, folder / 'epoch_2.pth', folder, out=out, show_dir=pictures, cfg_options=options
    )
    predictions = pickle.loads(out.read_bytes())
    assert len(predictions) == 20
    assert predictions[0]['pred_score'].shape == (10,)
    assert len(list(pictures.rglob('*.png'))) == 20


def _pure_python(folder: Path, config: Path) -> None:
    bases = ROOT / 'configs' / '_base_'
    names = ('models/ecl_resnet_cifar', 'datasets/digits_lt', 'default_runtime')
    for name in names:
        (folder / f'{Path(name).name}.py').write_text((bases / f'{name}.py').read_text())
    imports = ''.join(f'    from .{Path(name).name} import *\n' for name in names)
    pure = folder / 'pure.py'
    pure.write_text(
        'from mmengine.config import read_base\nfrom torch.optim import SGD\n'
        'from ecl.models import ResNetCIFAR\n'
        f'with read_base():\n{imports}'
        'model.update(head=dict(model["head"], num_classes=10), contrast=None)\n'
        'model["backbone"].update(backbone=dict(type=ResNetCIFAR, depth=8), num_experts=2)\n'
        'train_dataloader["dataset"].update(max_per_class=16, imbalance_factor=4)\n'
        'train_cfg = dict(by_epoch=True, max_epochs=2)\n'
        'val_cfg = dict()\n'
        'test_cfg = dict()\n'
        'optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type=SGD, lr=0.1))\n'
    )
    assert train(pure, work_dir=folder / 'run')['epochs'] == 2


HOOKS = 'custom_hooks = [dict({})]'
HABITS = [
    Habit('`Runner.from_cfg(Config.fromfile(...)).train()`', script=_plain_runner),
    Habit('`RUNNERS.build(cfg)` in an OpenMMLab `train.py`', script=_runner_type),
    Habit("`model = dict(type='ImageClassifier', ...)`", CLASSIFIER),
    Habit(
        "`train_cfg=dict(augments=[dict(type='Mixup', alpha=0.4)])` in the model",
        "model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.4)]))",
        note='Every label loss receives the mixed labels.',
    ),
    Habit(
        "`label_loss=dict(type='LabelSmoothLoss', ...)` and other losses of MMPretrain",
        "model = dict(head=dict(label_loss=dict(_delete_=True, type='LabelSmoothLoss', "
        "label_smooth_val=0.1, mode='original')))",
    ),
    Habit(
        '`RepeatDataset`',
        'train_dataloader = dict(dataset=dict(_delete_=True, type="RepeatDataset", times=2, '
        'dataset=_base_.train_dataloader.dataset))',
        note='Losses count an image as often as it is shown; shot groups count it once.',
    ),
    Habit(
        '`ClassBalancedDataset`',
        'train_dataloader = dict(dataset=dict(_delete_=True, type="ClassBalancedDataset", '
        'oversample_thr=0.2, dataset=_base_.train_dataloader.dataset))',
        note='Losses count an image as often as it is shown; shot groups count it once.',
    ),
    Habit(
        '`ConcatDataset`',
        'train_dataloader = dict(dataset=dict(_delete_=True, type="ConcatDataset", '
        'datasets=[_base_.train_dataloader.dataset, _base_.train_dataloader.dataset]))',
    ),
    Habit(
        '`KFoldDataset`',
        'train_dataloader = dict(dataset=dict(_delete_=True, type="KFoldDataset", '
        'num_splits=5, fold=0, seed=0, dataset=_base_.train_dataloader.dataset))',
    ),
    Habit(
        '`num_workers=2, persistent_workers=True`',
        'train_dataloader = dict(num_workers=2, persistent_workers=True)',
    ),
    Habit(
        "`val_evaluator = dict(type='Accuracy', topk=(1, 5))`",
        "val_evaluator = dict(_delete_=True, type='Accuracy', topk=(1, 5))",
    ),
    Habit(
        "`val_evaluator = [dict(type='Accuracy'), dict(type='ShotAccuracy')]`",
        "val_evaluator = [dict(type='Accuracy'), dict(type='ShotAccuracy')]",
    ),
    Habit(
        "`optimizer=dict(type='AdamW', ...)`",
        "optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-3))",
    ),
    Habit(
        '`paramwise_cfg=dict(norm_decay_mult=0.)`',
        'optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult=0.0))',
    ),
    Habit(
        '`accumulative_counts=2`',
        'optim_wrapper = dict(accumulative_counts=2)',
        note='With `images_per_step` the images of a step stay the same.',
    ),
    Habit('`clip_grad=dict(max_norm=1.0)`', 'optim_wrapper = dict(clip_grad=dict(max_norm=1.0))'),
    Habit(
        "`type='AmpOptimWrapper'`, or `--amp`",
        options=dict(amp=True),
        note='`--amp` trains in bfloat16, on a CPU too.',
    ),
    Habit(
        "`param_scheduler = dict(type='OneCycleLR', ...)`",
        "param_scheduler = dict(_delete_=True, type='OneCycleLR', eta_max=0.1, total_steps=40, "
        'by_epoch=False)',
    ),
    Habit(
        "`param_scheduler = dict(type='ReduceOnPlateauLR', ...)`",
        "param_scheduler = dict(_delete_=True, type='ReduceOnPlateauLR', monitor='shot/overall', "
        "rule='greater')",
    ),
    Habit(
        "`train_cfg = dict(type='IterBasedTrainLoop', max_iters=...)`",
        "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=8, val_interval=4)\n"
        'default_hooks = dict(checkpoint=dict(by_epoch=False, interval=4))',
        note='Methods that change with the epochs (LDAM-DRW, GLMC, MDCS, second stages) refuse it. '
        'A resumed training is exact with `by_epoch=True` only.',
    ),
    Habit(
        "`custom_hooks = [dict(type='EMAHook')]`",
        HOOKS.format("type='EMAHook'"),
        check=_averaged,
        note='The averaged weights are validated, saved, tested and exported. '
        '`AdjustmentHook` refuses it.',
    ),
    Habit(
        "`EMAHook(ema_type='StochasticWeightAverage')`",
        HOOKS.format("type='EMAHook', ema_type='StochasticWeightAverage'"),
        check=_averaged,
    ),
    Habit(
        "`custom_hooks = [dict(type='ProfilerHook', ...)]`",
        HOOKS.format(
            "type='ProfilerHook', by_epoch=False, profile_times=2, activity_with_cuda=False"
        ),
        check=_own_hook,
    ),
    Habit(
        "`EarlyStoppingHook(monitor='shot/overall')`",
        HOOKS.format("type='EarlyStoppingHook', monitor='shot/overall'"),
        check=_own_hook,
    ),
    Habit(
        "`custom_imports` and a hook of one's own",
        "custom_imports = dict(imports=['my_hook'], allow_failed_imports=False)\n"
        + HOOKS.format("type='MyHook'"),
        check=_has('my_hook.txt'),
    ),
    Habit(
        "`default_hooks.checkpoint.save_best='auto'`",
        "default_hooks = dict(checkpoint=dict(save_best='auto'))",
        check=_has('best_shot_overall_epoch_*.pth'),
        note='`shot/few` and the other metrics need no `rule` either.',
    ),
    Habit('`default_hooks.logger.interval=10`', 'default_hooks = dict(logger=dict(interval=10))'),
    Habit(
        "`default_hooks.visualization=dict(type='VisualizationHook', enable=True)`",
        "default_hooks = dict(visualization=dict(type='VisualizationHook', enable=True, "
        'interval=100))',
    ),
    Habit(
        "`vis_backends = [dict(type='TensorboardVisBackend')]`",
        "vis_backends = [dict(type='TensorboardVisBackend')]\n"
        'visualizer = dict(vis_backends=vis_backends)',
        check=_has('events.out.tfevents*'),
    ),
    Habit(
        'another backbone, such as `MobileNetV2`, as expert',
        "model = dict(backbone=dict(backbone=dict(_delete_=True, type='MobileNetV2')))",
    ),
    Habit(
        'five experts by one key, `model.backbone.num_experts=5`',
        options=dict(cfg_options={'model.backbone.num_experts': 5}),
    ),
    Habit(
        '`load_from` of another data set',
        "model = dict(head=dict(num_classes=10))\nload_from = 'weights.pth'",
        note='The log counts weights that are loaded, missing, unexpected.',
    ),
    Habit(
        "`init_cfg=dict(type='Pretrained', checkpoint=...)` in the backbone",
        "model = dict(backbone=dict(backbone=dict(init_cfg=dict(type='Pretrained', "
        "checkpoint='backbone.pth'))))",
        note='Files of torchvision, timm, Lightning and safetensors are unwrapped.',
    ),
    Habit(
        '`load_from` of a file that fits nothing',
        "load_from = 'nothing.pth'",
        refused='holds no weight of this model',
        note='MMEngine would train from random weights.',
    ),
    Habit(
        '`get_model(config, pretrained=...)`',
        script=_get_model,
        note='`extract_feat` returns one feature an expert.',
    ),
    Habit('`ImageClassificationInferencer(config)`', script=_inferencer),
    Habit('`FeatureExtractor(config)`', script=_feature_extractor),
    Habit('`get_model_complexity_info(model, shape)`', script=_complexity),
    Habit(
        '`default_hooks.step_seed=None`',
        'default_hooks = dict(step_seed=None)',
        note='The log says in one line what is lost.',
    ),
    Habit(
        '`compile=True`',
        'compile = True',
        refused='compile: got True, expected False',
        note='It would compile each step for minutes. Use `--amp`.',
    ),
    Habit(
        'a misspelt key',
        'train_dataloder = dict(batch_size=4)',
        refused="did you mean 'train_dataloader'",
        note='The error names the key that is meant.',
    ),
    Habit(
        '`--no-validate`',
        options=dict(validate=False),
        check=_no_metrics,
        note='`results.json` has no metrics then.',
    ),
    Habit(
        '`--auto-scale-lr`',
        options=dict(auto_scale_lr=True, cfg_options={'train_dataloader.batch_size': 16}),
        check=_scaled,
        note='The base is `images_per_step`; accumulated iterations count.',
    ),
    Habit('`test.py --show-dir DIR`, `--out FILE.pkl`', script=_test_outputs),
    Habit(
        'a pure Python config, `with read_base(): from ... import *`',
        script=_pure_python,
        note='From the files of `configs/_base_/`, which inherit nothing. A config with `_base_` '
        'can be loaded by `Config.fromfile` and changed in a script.',
    ),
]
HOOK = """
from pathlib import Path
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class MyHook(Hook):
    def after_train(self, runner):
        Path(runner.work_dir, 'my_hook.txt').write_text('done')
"""


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the small config, a hook, and weights of other frameworks."""
    folder = tmp_path_factory.mktemp('habits')
    (folder / 'small.py').write_text(SMALL)
    (folder / 'my_hook.py').write_text(HOOK)
    cfg = Config.fromfile(folder / 'small.py')
    from ecl.registry import MODELS

    head = {**cfg.model.head, 'num_classes': 7}
    other = MODELS.build({**cfg.model, 'head': head, 'data_preprocessor': cfg.data_preprocessor})
    names = {f'module.{key}': value for key, value in other.state_dict().items()}
    torch.save({'model': names}, folder / 'weights.pth')
    backbone = other.backbone.experts[0].state_dict()
    more = {'fc.weight': torch.ones(10, 64)}
    torch.save(
        {f'model.{key}': v for key, v in {**backbone, **more}.items()}, folder / 'backbone.pth'
    )
    torch.save({'elsewhere': torch.ones(2)}, folder / 'nothing.pth')
    return folder


@pytest.mark.parametrize('habit', HABITS, ids=lambda habit: habit.title)
def test_habit(habit, files, tmp_path, monkeypatch):
    monkeypatch.chdir(files)
    monkeypatch.syspath_prepend(files)
    config = files / 'habit.py'
    config.write_text(f"_base_ = ['./small.py']\n{habit.config}\n")
    if habit.script is not None:
        habit.script(tmp_path, config)
        return
    if habit.refused:
        with pytest.raises(UserError, match=habit.refused) as caught:
            train(config, work_dir=tmp_path)
        assert '\n' not in str(caught.value)
        return
    record = train(config, work_dir=tmp_path, **(habit.options or {}))
    assert record['epochs'] == 2 or 'IterBased' in habit.title
    assert all(math.isfinite(value) for value in record['metrics'].values())
    if habit.check is not None:
        habit.check(tmp_path)


def table() -> str:
    """Return the table of the habits, in Markdown."""
    lines = ['| habit | here |', '|---|---|']
    for habit in HABITS:
        works = 'refused with a line that says what to do.' if habit.refused else 'works.'
        lines.append(f'| {habit.title} | {works}{" " + habit.note if habit.note else ""} |')
    return '\n'.join(lines)


def test_the_page_has_the_table():
    assert f'{BEGIN}\n\n{table()}\n\n{END}' in PAGE.read_text()


if __name__ == '__main__':
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f'{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}')
