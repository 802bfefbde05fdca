from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecl.apps.data import scan as module
from ecl.apps.data.scan import image_keys, inspect_all, scan_images
from ecl.datasets import Digits
from ecl.errors import UserError


def test_results_come_in_the_order_of_the_files(tmp_path):
    paths = [str(tmp_path / f'{number}.png') for number in range(150)]
    for number, path in enumerate(paths):
        if number % 10:
            Image.fromarray(np.full((2, 3 + number), number, np.uint8)).save(path)
    widths = [facts.size[0] for facts in scan_images(paths, workers=2)]
    assert widths == [3 + number if number % 10 else 0 for number in range(150)]


@pytest.fixture
def paths(tmp_path):
    paths = [str(tmp_path / f'{number}.png') for number in range(4)]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((3, 3), number, np.uint8)).save(path)
    return paths


@pytest.fixture
def read(monkeypatch):
    """Files that were read, in order."""
    seen, scan = [], module.scan_images

    def watch(paths, workers):
        for path, facts in zip(paths, scan(paths, workers), strict=True):
            seen.append(path)
            yield facts

    monkeypatch.setattr(module, 'scan_images', watch)
    return seen


def test_a_second_examination_reads_what_changed(paths, read, tmp_path):
    memory = tmp_path / 'work' / 'memory.jsonl'
    missing = str(tmp_path / 'missing.png')
    first = inspect_all([*paths, *paths, missing], memory, 2)
    assert read == [*paths, missing]
    Image.fromarray(np.full((9, 9), 7, np.uint8)).save(paths[2])
    read.clear()
    second = inspect_all([*paths, missing], memory, 2)
    assert read == [paths[2], missing]
    assert second[paths[2]].size == (9, 9)
    assert [second[path] for path in paths if path != paths[2]] == [
        first[path] for path in paths if path != paths[2]
    ]
    assert first[missing].fault == 'the file is missing'


def test_a_faulty_image_is_looked_at_again(paths, read, tmp_path):
    # The fault may have gone with a package that was installed, and the file is as before.
    memory = tmp_path / 'memory.jsonl'
    Path(paths[1]).write_bytes(b'no image')
    inspect_all(paths, memory, 1)
    read.clear()
    assert inspect_all(paths, memory, 1)[paths[1]].fault
    assert read == [paths[1]]
    with pytest.raises(UserError, match='--workers must be at least 1'):
        inspect_all([paths[1]], memory, -1)


def test_an_interrupted_examination_goes_on(paths, read, tmp_path):
    memory = tmp_path / 'memory.jsonl'
    inspect_all(paths, memory, 1)
    lines = memory.read_text().splitlines(keepends=True)
    memory.write_text(''.join(lines[:2]) + lines[2][:20])
    read.clear()
    inspect_all(paths, memory, 1)
    assert read == paths[2:]


def test_images_in_memory_go_by_their_pixels(tmp_path):
    dataset = Digits(split='test')
    keys = image_keys(dataset)
    pixels = {dataset.get_data_info(index)['img'].tobytes() for index in range(len(dataset))}
    assert len(set(keys)) == len(pixels)
    facts = inspect_all(keys, tmp_path / 'memory.jsonl')
    assert all(found.digest == key and not found.fault for key, found in facts.items())
    assert not (tmp_path / 'memory.jsonl').exists()
