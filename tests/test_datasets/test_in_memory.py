from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from ecl.datasets import (
    Digits,
    ImageList,
    InMemoryDataset,
    LongTailDataset,
    count_classes,
    describe,
    in_memory,
)
from ecl.errors import UserError

PACK = [dict(type='PackInputs')]


@pytest.fixture
def source():
    return LongTailDataset(
        Digits(split='train', pipeline=PACK), imbalance_factor=10, max_per_class=20
    )


def test_images_labels_and_names_are_those_of_the_source(source):
    dataset = InMemoryDataset(source)
    assert len(dataset) == len(source)
    for index in (0, 7, len(source) - 1):
        ours, theirs = dataset[index], source[index]
        assert torch.equal(ours['inputs'], theirs['inputs'])
        assert torch.equal(ours['data_samples'].gt_label, theirs['data_samples'].gt_label)
    assert count_classes(dataset) == source.class_counts
    assert describe(dataset) == describe(source)
    assert dataset.CLASSES == source.CLASSES


def test_the_pipeline_runs_once(source, monkeypatch):
    dataset = InMemoryDataset(source)
    monkeypatch.setattr(LongTailDataset, '__getitem__', lambda *_: 1 / 0)
    assert dataset[3]['inputs'].shape == (3, 8, 8)


@pytest.mark.parametrize('kind', ['InMemoryDataset', 'ecl.InMemoryDataset', InMemoryDataset])
def test_the_source_is_found_in_a_config(kind):
    source = dict(type='Digits')
    assert in_memory.without_memory(dict(type=kind, dataset=source)) is source
    assert in_memory.without_memory(source) is source


def test_processes_share_the_images(source):
    assert InMemoryDataset(source).images.is_shared()


def test_without_shared_memory_the_images_are_the_same(source, monkeypatch):
    expected = InMemoryDataset(source).images

    def no_room(self):
        raise RuntimeError('unable to allocate shared memory(shm) for file </torch_1_2>')

    monkeypatch.setattr(torch.Tensor, 'share_memory_', no_room)
    images = InMemoryDataset(source).images
    assert not images.is_shared()
    assert torch.equal(images, expected)


def test_images_of_one_configuration_are_decoded_once(tmp_path):
    folder = tmp_path / 'class'
    folder.mkdir()
    for level in (10, 200):
        Image.new('RGB', (4, 4), (level,) * 3).save(folder / f'{level}.png')
    pipeline = [dict(type='LoadImageFromFile'), *PACK]
    source = dict(type='ImageFolder', data_root=str(tmp_path), pipeline=pipeline)
    first, second = InMemoryDataset(dict(source)), InMemoryDataset(dict(source))
    assert second.images is first.images
    assert Path(first[1]['data_samples'].img_path) == folder / '200.png'
    Image.new('RGB', (4, 4)).save(folder / '90.png')
    assert len(InMemoryDataset(dict(source)).images) == 3
    del first, second
    assert not in_memory._in_use


def test_another_configuration_of_as_many_images_has_images_of_its_own():
    plain = dict(type='Digits', split='test', pipeline=PACK)
    large = {**plain, 'pipeline': [dict(type='Resize', scale=16), *PACK]}
    first, second = InMemoryDataset(plain), InMemoryDataset(large)
    assert len(first) == len(second)
    assert (first.images.shape[-1], second.images.shape[-1]) == (8, 16)


class Sizes(Dataset):
    """Images of several sizes, or of several views."""

    def __init__(self, items):
        self.items = items

    def get_gt_labels(self):
        return np.zeros(len(self.items), dtype=np.int64)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return {'inputs': self.items[index]}


@pytest.mark.parametrize(
    ('items', 'message'),
    [
        ([torch.zeros(3, 4, 4), torch.zeros(3, 5, 4)], r'image 1 .* got \(3, 5, 4\)'),
        ([[torch.zeros(3, 4, 4)] * 2], 'several views of an image'),
        ([], 'no images'),
    ],
)
def test_data_that_do_not_fit_one_tensor_are_one_line(items, message):
    with pytest.raises(UserError, match=message):
        InMemoryDataset(Sizes(items))


def test_replaced_images_are_refused(tmp_path):
    for number in range(2):
        Image.new('RGB', (4, 4)).save(tmp_path / f'{number}.png')
    (tmp_path / 'list.txt').write_text('0.png 0\n1.png 1\n')
    pipeline = [dict(type='LoadImage', bad='replace'), dict(type='PackInputs')]
    listed = ImageList('list.txt', data_root=str(tmp_path), pipeline=pipeline)
    with pytest.raises(UserError, match="expected bad='stop'"):
        InMemoryDataset(LongTailDataset(listed, imbalance_factor=1))
