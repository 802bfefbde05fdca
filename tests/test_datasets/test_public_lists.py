import subprocess

import pytest

from ecl.datasets import ImageList, LongTailDataset, describe
from ecl.datasets import protocol as module
from ecl.datasets.protocol import PUBLIC_LISTS, PublicList, blob_sum, find_public_list


@pytest.mark.parametrize('content', [b'', b'a.jpg 0\n', 'é 1\r\n'.encode() * 1000])
def test_sum_is_that_of_git(content):
    command = ['git', 'hash-object', '--stdin']
    assert blob_sum(content) == subprocess.check_output(command, input=content).decode().strip()


def test_entries_agree_with_each_other():
    assert len({entry.blob for entry in PUBLIC_LISTS}) == len(PUBLIC_LISTS)
    by_dataset = {}
    for entry in PUBLIC_LISTS:
        by_dataset.setdefault(entry.name.split('_')[0], set()).add(entry.classes)
        assert entry.least <= entry.images / entry.classes <= entry.most
        balanced = entry.most == entry.least
        assert not balanced or entry.images == entry.classes * entry.most
        assert find_public_list(entry.blob) is entry
    assert by_dataset == {'ImageNet': {1000}, 'Places': {365}, 'iNaturalist18': {8142}}


def test_protocol_tells_the_public_list_from_a_variant(tmp_path, monkeypatch):
    public = PublicList('Places_LT_val', blob_sum(b'a.jpg 0\nb.jpg 1\n'), 2, 2, 1, 1)
    monkeypatch.setattr(module, 'PUBLIC_LISTS', (public,))
    told = {
        'renamed.txt': (b'a.jpg 0\nb.jpg 1\n', 'Places_LT_val (public, verified)'),
        'Places_LT_val.txt': (b'a.jpg 0\nc.jpg 1\n', 'Places_LT_val (local variant)'),
        'birds.txt': (b'a.jpg 0\nc.jpg 1\n', 'birds (local)'),
    }
    for name, (content, record) in told.items():
        (tmp_path / name).write_bytes(content)
        dataset = ImageList(name, data_root=str(tmp_path))
        assert describe(dataset)['list'] == record
        assert describe(LongTailDataset(dataset, imbalance_factor=1))['list'] == record
