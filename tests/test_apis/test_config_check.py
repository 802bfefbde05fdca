from pathlib import Path

import mmpretrain
import pytest
from mmengine.config import Config
from mmengine.hooks import CheckpointHook, EMAHook
from torch.utils.data import DataLoader

from ecl.apis.config_check import accepted_keys, check_config, top_level_keys, walk
from ecl.errors import UserError
from ecl.models import ECLClassifier

MMPRETRAIN_CONFIGS = Path(mmpretrain.__file__).parent / '.mim' / 'configs'

LOADER = dict(
    batch_size=2,
    num_workers=0,
    pin_memory=True,
    persistent_workers=False,
    num_batch_per_epoch=3,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='RepeatDataset',
        times=2,
        dataset=dict(
            type='CustomDataset',
            data_root='data',
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='ResizeEdge', scale=256, edge='short'),
                dict(type='torchvision/RandomResizedCrop', size=176),
                dict(
                    type='RandAugment',
                    policies=[dict(type='Rotate', magnitude_key='angle', magnitude_range=(0, 30))],
                    num_policies=1,
                    magnitude_level=5,
                ),
                dict(type='PackInputs'),
            ],
        ),
    ),
)
GOOD = dict(
    max_epochs=3,
    dataset_type='CustomDataset',
    norm_cfg=dict(type='BN', requires_grad=True),
    model=dict(
        type='ImageClassifier',
        data_preprocessor=dict(type='ClsDataPreprocessor', mean=[0, 0, 0]),
        backbone=dict(
            type='mmpretrain.ResNet',
            depth=18,
            norm_cfg=dict(type='BN', requires_grad=True),
            init_cfg=dict(type='Pretrained', checkpoint='x.pth', prefix='backbone'),
        ),
        head=dict(
            type='LinearClsHead',
            num_classes=3,
            in_channels=4,
            loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
            topk=(1,),
        ),
        train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8)]),
    ),
    train_dataloader=LOADER,
    optim_wrapper=dict(
        optimizer=dict(type='SGD', lr=0.1, nesterov=True, momentum=0.9),
        paramwise_cfg=dict(norm_decay_mult=0),
        clip_grad=dict(type='value', clip_value=1),
    ),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.1, by_epoch=True, end=5, convert_to_iter_based=True),
        dict(type='CosineAnnealingLR', T_max=10, eta_min_ratio=0.1, begin=5),
    ],
    train_cfg=dict(by_epoch=True, max_epochs=3, val_interval=1),
    val_cfg=dict(),
    test_cfg=dict(fp16=False),
    val_evaluator=dict(type='Accuracy', topk=(1, 5), prefix='top'),
    default_hooks=dict(
        logger=dict(type='LoggerHook', interval=50, priority='LOW'),
        checkpoint=dict(type='CheckpointHook', interval=1, save_best='auto'),
    ),
    custom_hooks=[dict(type='EMAHook', momentum=4e-5, priority='ABOVE_NORMAL')],
    env_cfg=dict(cudnn_benchmark=False, dist_cfg=dict(backend='nccl')),
    visualizer=dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]),
    log_processor=dict(window_size=10),
    randomness=dict(seed=0, deterministic=False),
    auto_scale_lr=dict(base_batch_size=256),
    default_scope='ecl',
)


def _check(options: dict) -> None:
    cfg = Config(GOOD)
    cfg.merge_from_dict(options)
    check_config(cfg, 'some.py')


def test_a_sound_configuration_passes():
    _check({})


PIPELINE = 'train_dataloader.dataset.dataset.pipeline'


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('train_cfgg', "unknown key 'train_cfgg'; did you mean 'train_cfg'?"),
        ('optim_wraper', "unknown key 'optim_wraper'; did you mean 'optim_wrapper'?"),
        ('param_schedulers', "unknown key 'param_schedulers'; did you mean 'param_scheduler'?"),
        ('custom_hook', "unknown key 'custom_hook'; did you mean 'custom_hooks'?"),
        (
            'model.bakbone',
            "model.bakbone is not an argument of ImageClassifier; did you mean 'backb",
        ),
        ('model.backbone.dept', "dept is not an argument of ResNet; did you mean 'depth'?"),
        ('model.head.loss.los_weight', "did you mean 'loss_weight'?"),
        ('train_dataloader.batchsize', "not a key of train_dataloader; did you mean 'batch_size'?"),
        ('train_dataloader.sampler.shufle', "of DefaultSampler; did you mean 'shuffle'?"),
        ('train_dataloader.dataset.tims', "of RepeatDataset; did you mean 'times'?"),
        ('train_dataloader.dataset.dataset.data_rot', "CustomDataset; did you mean 'data_root'?"),
        (f'{PIPELINE}.1.egde', f'{PIPELINE}.1.egde is not an argument of ResizeEdge; did you mean'),
        ('optim_wrapper.optimizer.momentun', "of SGD; did you mean 'momentum'?"),
        ('optim_wrapper.accumulativ_counts', "did you mean 'accumulative_counts'?"),
        ('param_scheduler.1.T_mx', "of CosineAnnealingLR; did you mean 'T_max'?"),
        ('train_cfg.max_epoch', 'train_cfg.max_epoch is not a key of train_cfg; did you mean'),
        ('val_evaluator.topks', "of Accuracy; did you mean 'topk'?"),
        ('default_hooks.checkpoint.intervall', "of CheckpointHook; did you mean 'interval'?"),
        ('env_cfg.cudnn_benchmarks', "a key of env_cfg; did you mean 'cudnn_benchmark'?"),
        ('randomness.sed', "a key of randomness; did you mean 'seed'?"),
        ('log_processor.window', "a key of log_processor; did you mean 'window_size'?"),
        ('val_cfg.fp61', "a key of val_cfg; did you mean 'fp16'?"),
        ('data_preprocessor.meann', "a key of data_preprocessor; did you mean 'mean'?"),
        ('env_cfg.mp_cfg.mp_start_metod', "env_cfg.mp_cfg; did you mean 'mp_start_method'?"),
        ('env_cfg.dist_cfg.backends', "env_cfg.dist_cfg; did you mean 'backend'?"),
        ('auto_scale_lr.base_batchsize', "auto_scale_lr; did you mean 'base_batch_size'?"),
        ('model.train_cfg.augment', "a key of model.train_cfg; did you mean 'augments'?"),
        ('optim_wrapper.paramwise_cfg.norm_decay_mul', "did you mean 'norm_decay_mult'?"),
        ('optim_wrapper.clip_grad.clip_values', "clip_grad_value_; did you mean 'clip_value'?"),
    ],
)
def test_a_misspelt_key_is_named_with_its_path_and_the_nearest(option, message):
    with pytest.raises(UserError) as caught:
        _check({option: 1})
    assert str(caught.value).startswith('some.py: ')
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ('option', 'name', 'message'),
    [
        ('model.type', 'ImageClasifier', "model.type 'ImageClasifier' is not registered; did you"),
        ('model.backbone.type', 'mmpretrain.ResNett', "registered; did you mean 'ResNet"),
        (f'{PIPELINE}.4.type', 'PackInput', "did you mean 'PackInputs'?"),
        ('custom_hooks.0.type', 'EMAHoook', "did you mean 'EMAHook'?"),
        ('model.type', 'mmengine.nothing.Here', "'mmengine.nothing.Here' is not registered"),
    ],
)
def test_a_misspelt_type_is_named_with_its_path_and_the_nearest(option, name, message):
    with pytest.raises(UserError) as caught:
        _check({option: name})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ('type', 'key', 'near'),
    [
        ('Digits', 'test_per_clas', 'test_per_class'),
        ('Digits', 'pipelin', 'pipeline'),
        ('ImageFolder', 'train_spilt', 'train_split'),
        ('CIFAR100', 'lazy_inti', 'lazy_init'),
        ('InvalidLossHook', 'priorit', 'priority'),
        ('BadImageHook', 'priorit', 'priority'),
        ('CheckpointHook', 'max_keep_ckpt', 'max_keep_ckpts'),
        ('ResNetCIFAR', 'norm_eva', 'norm_eval'),
        ('MomentumContrast', 'temprature', 'temperature'),
        ('RepeatFactorSampler', 'treshold', 'threshold'),
    ],
)
def test_keys_of_this_package_are_checked_at_any_depth(type, key, near):
    hidden = Config(dict(custom_hooks=[dict(more=[dict(type=type, **{key: 1})])]))
    with pytest.raises(UserError, match=rf'^some\.py: custom_hooks\.0\.more\.0\.{key} .* {near!r}'):
        check_config(hidden, 'some.py')


@pytest.mark.parametrize('prefix', ['', 'model.'])
@pytest.mark.parametrize('kind', ['ECLClassifier', ECLClassifier, 'ImageClassifier'])
def test_the_model_chooses_the_data_preprocessor_without_a_type(prefix, kind):
    delete = dict(_delete_=True) if prefix else {}

    def check(key):
        own = {f'{prefix}data_preprocessor': {key: [[]], **delete}}
        _check({'model.type': kind, 'model.head.in_channels': 4, **own})

    if kind == 'ImageClassifier':
        with pytest.raises(UserError, match=r'data_preprocessor\.views is not a key'):
            check('views')
    else:
        check('views')
        with pytest.raises(UserError, match="data_preprocessor; did you mean 'views'"):
            check('view')


def test_variables_of_the_file_pass():
    _check({'num_classes': 10, 'train_pipeline': [], 'bgr_mean': 1, '_private': 2, 'img_size': 32})


def test_an_importable_type_and_a_class_itself_pass():
    _check(
        {
            'model.backbone': dict(
                _delete_=True, type='torch.nn.Linear', in_features=1, out_features=2
            )
        }
    )
    with pytest.raises(UserError, match='infeatures is not an argument of Linear'):
        _check({'model.backbone': dict(_delete_=True, type='torch.nn.Linear', infeatures=1)})


def test_walk_names_every_dict():
    tree = dict(a=dict(b=[dict(c=1), 2]), d=3)
    assert [path for path, _ in walk(tree)] == ['', 'a', 'a.b.0']
    assert [path for path, _ in walk(tree, skip={'b'})] == ['', 'a']


def test_dicts_of_foreign_types_pass():
    foreign = dict(
        type='LoRAModel', module=dict(type='ResNet', depth=18), targets=[dict(type='.*qkv')]
    )
    _check({'model.backbone': dict(_delete_=True, **foreign)})


def test_known_keys_are_those_of_the_runner():
    assert {'model', 'train_dataloader', 'custom_hooks', 'resume'} <= top_level_keys()
    assert 'self' not in top_level_keys()


@pytest.mark.skipif(not MMPRETRAIN_CONFIGS.is_dir(), reason='installed without its configs')
@pytest.mark.parametrize(
    'folder',
    ['resnet', 'seresnet', 'swin_transformer', 'vision_transformer', 'mae', 'mocov2', 'convnext'],
)
def test_no_false_alarm_on_the_configurations_of_mmpretrain(folder):
    # The last ones of vision_transformer need an accelerator package that is not there.
    names = [p for p in sorted((MMPRETRAIN_CONFIGS / folder).glob('*.py')) if 'ipu' not in p.name]
    assert names
    for path in names[:12]:
        check_config(Config.fromfile(path), path.name)


class Root:
    def __init__(self, root=1):
        pass


class HandsUp(Root):
    def __init__(self, own, **kwargs):
        super().__init__(**kwargs)


class KeepsItsOwn(Root):
    def __init__(self, own, **kwargs):
        self.extra = kwargs
        super().__init__()


class KeepsItsParents(Root):
    pass


@pytest.mark.parametrize(
    ('target', 'expected'),
    [
        (Root, ({'root'}, False)),
        (HandsUp, ({'own', 'root'}, True)),
        (KeepsItsOwn, ({'own', 'root'}, True)),
        (KeepsItsParents, ({'root'}, False)),
        (lambda a, *, b: None, ({'a', 'b'}, False)),
        (lambda a, **rest: None, ({'a'}, True)),
    ],
)
def test_accepted_keys_follow_keyword_arguments_up_the_parents(target, expected):
    assert accepted_keys(target) == expected


def test_what_a_builder_takes_out_first_is_accepted():
    assert 'priority' in accepted_keys(EMAHook).names
    assert {'batch_size', 'num_batch_per_epoch'} <= accepted_keys(DataLoader).names


def test_a_hook_that_stores_its_keyword_arguments_may_take_any():
    names, any_other = accepted_keys(CheckpointHook)
    assert {'interval', 'priority'} <= names
    assert any_other


def test_a_type_that_is_not_registered_says_how_to_register_it():
    with pytest.raises(UserError) as caught:
        _check({'model.type': 'Qqq'})
    assert 'is not registered. Register your own class' in str(caught.value)
    assert '@MODELS.register_module()' in str(caught.value)
    assert 'custom_imports' in str(caught.value)
