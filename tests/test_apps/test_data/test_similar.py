import numpy as np
import pytest
from PIL import Image

from ecl.apps.data.prepare_folder import prepare_folder
from ecl.apps.data.similar import DISTANCE, Pair, similar_images
from ecl.apps.data.summary import print_summary
from ecl.datasets.image_file import inspect_image


@pytest.fixture
def scene():
    """A picture with large and small structure, (96, 96, 3)."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return coarse.resize((96, 96), Image.Resampling.BICUBIC)


def test_changed_copies_look_alike_and_other_scenes_do_not(scene, tmp_path):
    smaller = scene.resize((70, 70))
    brighter = Image.fromarray((np.asarray(scene) * 0.8 + 40).astype(np.uint8))
    other = scene.rotate(90)
    looks = {}
    for name, image in dict(scene=scene, small=smaller, bright=brighter, other=other).items():
        image.save(tmp_path / f'{name}.jpg', quality=60)
        looks[name] = inspect_image(tmp_path / f'{name}.jpg').look
    changed = {name: looks[name] for name in ('small', 'bright', 'other')}
    found = similar_images(changed, {'scene': looks['scene']})
    assert {pair.held_out for pair in found} == {'small', 'bright'}


def test_every_pair_is_compared_bit_by_bit():
    rng = np.random.default_rng(0)
    held_out, trained = (
        {f'{kind}{i}': f'{code:016x}' for i, code in enumerate(rng.integers(0, 2**40, number))}
        for kind, number in (('a', 700), ('b', 50))
    )
    expected = []
    for one, code in held_out.items():
        bits = {two: (int(code, 16) ^ int(other, 16)).bit_count() for two, other in trained.items()}
        nearest = min(bits, key=bits.get)
        if bits[nearest] <= DISTANCE:
            expected.append(Pair(one, nearest, bits[nearest]))
    found = similar_images(held_out, trained)
    assert 0 < len(found) < 700
    assert sorted(found) == sorted(expected)
    assert [pair.distance for pair in found] == sorted(pair.distance for pair in found)


def test_images_without_a_hash_are_left_out():
    assert not similar_images({'a': ''}, {'b': '0' * 16})
    assert not similar_images({'a': '0' * 16}, {})


def test_similar_images_are_named_when_images_are_prepared(scene, tmp_path, write_image, capsys):
    for name in ('heron', 'owl'):
        for index in range(6):
            write_image(
                tmp_path / 'photos' / name / f'{index}.png', 10 * index + len(name), (64, 64)
            )
    for index in range(6):  # a burst
        scene.rotate(0.2 * index).save(tmp_path / 'photos' / 'owl' / f'burst{index}.png')
    prepared = prepare_folder(tmp_path / 'photos', tmp_path / 'mine', test=4)
    assert prepared.similar
    assert all('burst' in path for pair in prepared.similar for path in pair[:2])
    lines = (tmp_path / 'mine' / 'similar.txt').read_text().splitlines()
    assert len(lines) == len(prepared.similar)
    print_summary(prepared)
    printed = capsys.readouterr().out
    assert f'{len(lines)} of 8 test and validation images look like' in printed
    assert '--group-by' in printed


def test_a_division_that_is_kept_gets_no_advice_to_divide(scene, tmp_path, write_image, capsys):
    for split in ('train', 'test'):
        for index, name in enumerate(('heron', 'owl')):
            write_image(
                tmp_path / 'photos' / split / name / '0.png', 10 * index + len(split), (64, 64)
            )
    for index, split in enumerate(('train', 'test')):
        scene.rotate(index).save(tmp_path / 'photos' / split / 'owl' / 'burst.png')
    print_summary(prepare_folder(tmp_path / 'photos', tmp_path / 'mine'))
    printed = capsys.readouterr().out
    assert '1 of 3 test and validation images look like' in printed
    assert '--group-by' not in printed
