import pickle
from hashlib import md5

import numpy as np
import pytest
from PIL import Image

from ecl.apps.data.class_folders import write_class_folders
from ecl.datasets import CIFAR100
from ecl.errors import UserError


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A small archive in the authors' layout, and its planes and labels by split."""
    folder, contents = tmp_path / 'got' / 'cifar-100-python', {}
    folder.mkdir(parents=True)
    for split, labels in (('train', [3, 0, 3]), ('test', [99])):
        planes = np.random.randint(0, 256, (len(labels), 3 * 32 * 32), dtype=np.uint8)
        data = pickle.dumps({'data': planes, 'fine_labels': labels})
        (folder / split).write_bytes(data)
        monkeypatch.setattr(CIFAR100, f'{split}_list', [(split, md5(data).hexdigest())])
        contents[split] = planes, labels
    return folder, contents


@pytest.mark.parametrize('inside', [True, False])
def test_every_pixel_is_kept_in_the_folder_of_its_class(archive, tmp_path, inside):
    folder, contents = archive
    told = write_class_folders(folder if inside else folder.parent, tmp_path / 'data')
    classes = CIFAR100.METAINFO['classes']
    for split, (planes, labels) in contents.items():
        root = tmp_path / 'data/cifar100' / split
        assert {path.name for path in root.iterdir()} == set(classes)
        assert len(list(root.rglob('*.png'))) == len(labels)
        for index, (plane, label) in enumerate(zip(planes, labels, strict=True)):
            read = np.asarray(Image.open(root / classes[label] / f'{index:05d}.png'))
            assert (read == plane.reshape(3, 32, 32).transpose(1, 2, 0)).all()
    assert told[0].endswith('cifar100/train: 3 images in 100 classes')


def test_nothing_is_overwritten_or_half_written(archive, tmp_path):
    folder, _ = archive
    (tmp_path / 'data/cifar100/test').mkdir(parents=True)
    with pytest.raises(UserError, match='cifar100/test already exists'):
        write_class_folders(folder, tmp_path / 'data')
    assert not (tmp_path / 'data/cifar100/train').exists()
    (folder / 'test').unlink()
    with pytest.raises(UserError, match='test is missing'):
        write_class_folders(folder, tmp_path / 'other')
    assert not (tmp_path / 'other').exists()
