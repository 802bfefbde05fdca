"""Write CIFAR-100 as class folders of PNG files, which most of its configurations read."""

from pathlib import Path

from PIL import Image

from ecl.apps.data.prepare_folder import whole_folder
from ecl.datasets.cifar import CIFAR100
from ecl.errors import UserError


def write_class_folders(images: str | Path, root: str | Path = 'data') -> list[str]:
    """Write ``ROOT/cifar100/{train,test}/<class>/<number>.png`` from the original archive.

    PNG keeps every pixel. The number of an image is its place in the archive.

    Args:
        images: Folder of the unpacked archive, ``cifar-100-python``, or the folder around it.
        root: Folder of the data, where the configurations start from.

    Returns:
        One line for each split.

    Raises:
        UserError: If the archive is not complete, or a split exists already.
    """
    images, target = Path(images), Path(root) / 'cifar100'
    folder = images.parent if images.name == CIFAR100.base_folder else images
    splits = {split: CIFAR100(str(folder), split) for split in ('train', 'test')}
    for split in splits:
        if (target / split).exists():
            raise UserError(f'{target / split} already exists. Remove it to write it again.')
    told = []
    for split, dataset in splits.items():
        classes = dataset.metainfo['classes']
        with whole_folder(target / split) as draft:
            for name in classes:
                (draft / name).mkdir()
            for index in range(len(dataset)):
                found = dataset.get_data_info(index)
                path = draft / classes[found['gt_label']] / f'{index:05d}.png'
                Image.fromarray(found['img']).save(path)
        told.append(f'{target / split}: {len(dataset)} images in {len(classes)} classes')
    return told
