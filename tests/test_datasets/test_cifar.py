import collections
import hashlib
import io
import os
import pickle
import struct
import subprocess

import numpy as np
import pytest

from ecl.datasets import CIFAR10, CIFAR100, count_classes, describe
from ecl.datasets.cifar import load_array_pickle
from ecl.errors import UserError
from ecl.registry import DATASETS


class _Python2Pickler(pickle._Pickler):
    """Writes strings the way Python 2 did, as the authors' files have them."""

    def _save_string(self, text):
        data = text.encode('latin1') if isinstance(text, str) else text
        self.write(pickle.BINSTRING + struct.pack('<i', len(data)) + data)
        self.memoize(text)

    dispatch = {**pickle._Pickler.dispatch, str: _save_string, bytes: _save_string}


def _python2_pickle(content):
    file = io.BytesIO()
    _Python2Pickler(file, 2).dump(content)
    return file.getvalue().replace(b'numpy._core.multiarray', b'numpy.core.multiarray')


def _batch(seed, key, num_classes, size=6):
    rng = np.random.default_rng(seed)
    return {
        'data': rng.integers(0, 256, (size, 3072), dtype=np.uint8),
        key: rng.integers(0, num_classes, size).tolist(),
        'filenames': [f'image_{i}.png' for i in range(size)],
        'batch_label': 'training batch',
    }


@pytest.fixture(params=[CIFAR10, CIFAR100])
def archive(request, tmp_path, monkeypatch):
    """A small archive in the authors' layout: (dataset class, root, contents by file name)."""
    cls = request.param
    key, num_classes = ('labels', 10) if cls is CIFAR10 else ('fine_labels', 100)
    folder = tmp_path / cls.base_folder
    folder.mkdir()
    contents = {}
    for attribute in ('train_list', 'test_list'):
        entries = []
        for name, _ in getattr(cls, attribute):
            contents[name] = _batch(len(contents), key, num_classes)
            data = _python2_pickle(contents[name])
            assert b'cnumpy.core.multiarray\n_reconstruct' in data
            (folder / name).write_bytes(data)
            entries.append([name, hashlib.md5(data).hexdigest()])
        monkeypatch.setattr(cls, attribute, entries)
    return cls, tmp_path, contents


def _names(cls, split):
    return [name for name, _ in (cls.train_list if split == 'train' else cls.test_list)]


@pytest.mark.parametrize('split', ['train', 'test'])
def test_images_and_labels_come_in_file_order(archive, split):
    cls, root, contents = archive
    dataset = cls(str(root), split)
    batches = [contents[name] for name in _names(cls, split)]
    rows = np.concatenate([batch['data'] for batch in batches])
    key = 'labels' if cls is CIFAR10 else 'fine_labels'
    labels = [label for batch in batches for label in batch[key]]
    assert dataset.get_gt_labels().tolist() == labels
    assert len(dataset) == len(rows)
    for i, row in enumerate(rows):
        image = dataset[i]['img']
        # A row holds the red plane, then green, then blue; each plane row by row.
        assert image.shape == (32, 32, 3)
        assert (image[0, 5, 0], image[0, 5, 2]) == (row[5], row[2048 + 5])
        assert image[7, 0, 1] == row[1024 + 7 * 32]


def test_known_to_registry_protocol_and_counts(archive):
    cls, root, _ = archive
    dataset = DATASETS.build(dict(type=cls.__name__, data_root=str(root), split='test'))
    assert type(dataset) is cls
    assert sum(count_classes(dataset)) == 6
    record = describe(dataset)
    assert (record['source'], record['split']) == (f'{cls.__name__} {root.name}', 'test')
    assert record['num_classes'] == (10 if cls is CIFAR10 else 100)


def test_home_folder_is_expanded(archive, monkeypatch):
    cls, root, _ = archive
    monkeypatch.setenv('HOME', str(root.parent))
    assert len(cls(f'~/{root.name}', 'test')) == 6


def test_one_split_is_enough(archive):
    cls, root, _ = archive
    for name in _names(cls, 'train'):
        (root / cls.base_folder / name).unlink()
    assert len(cls(str(root), 'test')) == 6


def test_missing_file_names_file_layout_and_page(archive):
    cls, root, _ = archive
    missing = root / cls.base_folder / _names(cls, 'train')[-1]
    missing.unlink()
    with pytest.raises(UserError) as error:
        cls(str(root))
    message = str(error.value)
    assert message.startswith(f'{missing} is missing')
    assert f'<data_root>/{cls.base_folder}/' in message
    assert 'cs.toronto.edu/~kriz/cifar.html' in message
    assert '\n' not in message


def test_changed_file_is_refused(archive):
    cls, root, _ = archive
    changed = root / cls.base_folder / _names(cls, 'test')[0]
    data = bytearray(changed.read_bytes())
    data[-100] ^= 1
    changed.write_bytes(data)
    with pytest.raises(UserError, match=f'{changed.name} is damaged or not the original'):
        cls(str(root), 'test')


class _MakesFolder:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_file_with_code_is_not_run_even_if_its_sum_agrees(archive, monkeypatch):
    cls, root, _ = archive
    data = pickle.dumps({'data': _MakesFolder(str(root / 'was-here'))}, 2)
    name = _names(cls, 'test')[0]
    (root / cls.base_folder / name).write_bytes(data)
    monkeypatch.setattr(cls, 'test_list', [[name, hashlib.md5(data).hexdigest()]])
    with pytest.raises(UserError, match=rf'{name} would run \w+\.mkdir'):
        cls(str(root), 'test')
    assert not (root / 'was-here').exists()


def test_unknown_split():
    with pytest.raises(UserError, match=r"CIFAR100\.split: got 'val', expected 'train' or 'test'"):
        CIFAR100('data', split='val')


def test_files_and_sums_are_the_published_ones():
    # From the dataset's page and torchvision, which checks the same archives.
    from torchvision.datasets import cifar as reference

    for ours, theirs in ((CIFAR10, reference.CIFAR10), (CIFAR100, reference.CIFAR100)):
        assert ours.base_folder == theirs.base_folder
        assert ours.train_list == theirs.train_list
        assert ours.test_list == theirs.test_list


class _Runs:
    """Unpickling it calls a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('protocol', [0, 1, 2, 3, 4])
def test_arrays_come_back(protocol):
    content = {
        'data': np.arange(12, dtype=np.uint8).reshape(3, 4),
        'labels': [1, 2],
        'raw': b'\xff',
    }
    loaded = load_array_pickle(pickle.dumps(content, protocol), 'batch')
    np.testing.assert_array_equal(loaded['data'], content['data'])
    assert loaded['data'].dtype == np.uint8
    assert (loaded['labels'], loaded['raw']) == ([1, 2], b'\xff')


@pytest.mark.parametrize('protocol', [0, 2, 4])
@pytest.mark.parametrize('where', [lambda x: x, lambda x: {'data': [x]}])
def test_nothing_is_run(tmp_path, protocol, where):
    trace = tmp_path / 'was-here'
    harmful = _Runs(os.mkdir, str(trace))
    with pytest.raises(UserError, match=r'data_batch_1 would run (posix|nt)\.mkdir'):
        load_array_pickle(pickle.dumps(where(harmful), protocol), 'data_batch_1')
    assert not trace.exists()


@pytest.mark.parametrize(
    'harmful',
    [
        _Runs(eval, '1'),
        _Runs(getattr, 'text', 'format'),
        _Runs(subprocess.Popen, ['true']),
        _Runs(np.load, 'file.npy'),
        collections.OrderedDict(a=1),
        np.save,
    ],
    ids=['eval', 'getattr', 'Popen', 'numpy.load', 'harmless type', 'numpy function'],
)
def test_every_other_name_is_refused(harmful):
    with pytest.raises(UserError, match='would run'):
        load_array_pickle(pickle.dumps(harmful), 'batch')


def test_dotted_names_do_not_reach_through_an_admitted_one():
    # Protocol 4 may ask for an attribute of a name: numpy / ndarray.tofile.
    data = pickle.dumps(np.ndarray.tofile, 4)
    with pytest.raises(UserError, match='would run'):
        load_array_pickle(data, 'batch')


def test_cut_file():
    with pytest.raises(UserError, match='batch is not a complete pickle'):
        load_array_pickle(pickle.dumps({'data': np.zeros(9)}, 2)[:-20], 'batch')
    with pytest.raises(UserError, match='batch is not a complete pickle'):
        load_array_pickle(b'', 'batch')
