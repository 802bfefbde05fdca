from math import comb

import numpy as np
import pytest
from PIL import Image

from ecl.apps.data.prepare_folder import prepare_folder
from ecl.apps.data.similar import Pair, similar_distance, similar_images
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
        if bits[nearest] <= similar_distance(700 * 50):
            expected.append(Pair(one, nearest, bits[nearest]))
    found = similar_images(held_out, trained)
    assert 0 < len(found) < 700
    assert sorted(found) == sorted(expected)
    assert [pair.distance for pair in found] == sorted(pair.distance for pair in found)


@pytest.mark.parametrize(('bits', 'number'), [(10, 1), (8, 400)])
def test_the_more_pairs_there_are_the_more_alike_similar_images_are(bits, number):
    rng = np.random.default_rng(0)
    others = {
        f'other{i}': f'{code:016x}' for i, code in enumerate(rng.integers(2**63, size=30_000))
    }
    held_out = {name: others[name] for name in list(others)[1:number]}
    for different in (bits, bits + 1):
        code = int(others['other0'], 16) ^ (2**different - 1)
        found = similar_images({'copy': f'{code:016x}', **held_out}, others)
        assert ('copy' in {pair.held_out for pair in found}) == (different == bits)


@pytest.mark.parametrize('pairs', [10**7 + 1, 10**8, 10**8 + 1, 10_700_000_000])
def test_few_images_are_similar_by_chance(pairs):
    # Hashes have 32 of 64 bits set: 2j differ with probability C(32, j)^2 / C(64, 32).
    within = sum(comb(32, j) ** 2 for j in range(similar_distance(pairs) // 2 + 1))
    assert pairs * within / comb(64, 32) < 1


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
