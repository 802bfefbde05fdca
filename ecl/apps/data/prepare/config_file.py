"""The configuration that prepared data are trained with."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import ecl
from ecl.errors import UserError

#: Shorter side, in pixels, up to which images are taken for small ones.
SMALL = 64
_BASES = {True: 'ecl_r32_lists-32px.py', False: 'ecl_r50_lists-224px.py'}


def find_base(sizes: Sequence[tuple[int, int]]) -> Path:
    """The configuration to build on: one for small images, or one for photographs.

    Args:
        sizes: Width and height of the images.

    Raises:
        UserError: If the repository's configurations are neither beside the package nor in the
            current folder.
    """
    small = float(np.median([min(size) for size in sizes])) <= SMALL
    for root in (Path(ecl.__file__).parents[1], Path.cwd()):
        path = root / 'configs' / 'ecl' / _BASES[small]
        if path.is_file():
            return path
    raise UserError(
        'the folder configs/ of the repository is neither beside the package nor here: run this '
        'in the repository, or name a configuration to build on with --base'
    )


def config_text(
    source: Path, out: Path, base: Path, class_counts: Sequence[int], has_val: bool
) -> str:
    """Text of a configuration that trains on ``out/train.txt``.

    Args:
        source: Folder that the paths in the lists start from.
        out: Folder of the lists and of the configuration.
        base: Configuration to inherit from.
        class_counts: Training images of each class.
        has_val: Whether there is a list for validation; else the test list serves.

    Returns:
        Python text. A batch holds at most a quarter of the images, a queue at most half.
    """
    images = sum(class_counts)
    inside = out.resolve().is_relative_to(base.resolve().parents[2])
    shown = os.path.relpath(base, out) if inside else base.resolve()
    batch = min(64, _power_of_two(images // 4))
    queue = min(1024, _power_of_two(images // 2))
    lists = {'train': 'train', 'val': 'val' if has_val else 'test', 'test': 'test'}
    datasets = {
        split: f"dict(data_root=data_root, ann_file=lists + '/{name}.txt', classes=classes)"
        for split, name in lists.items()
    }
    return f'''"""{images} training images in {len(class_counts)} classes, \
{max(class_counts)} to {min(class_counts)} a class.

Lists and class names lie beside this file, the images in data_root. Written by prepare.py.
"""

_base_ = {str(shown)!r}

work_dir = {f'work_dirs/{out.name}'!r}
data_root = {str(source.resolve())!r}
lists = '{{{{ fileDirname }}}}'
classes = lists + '/classes.txt'

model = dict(head=dict(num_classes={len(class_counts)}), contrast=dict(queue_size={queue}))
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


def _power_of_two(limit: int) -> int:
    return 1 << max(limit.bit_length() - 1, 1)
