import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecl.apps.data import split as class_folders
from ecl.apps.data.split import find_images, split_images
from ecl.errors import UserError


def test_classes_and_images_are_sorted_and_nested_ones_found(birds):
    found = find_images(birds)
    assert list(found) == ['Uhu é', 'grey heron', '雀']
    assert [len(paths) for paths in found.values()] == [8, 12, 5]
    assert '雀/a b/c/no 3.bmp' in found['雀']
    for paths in found.values():
        assert paths == sorted(paths)
        assert all((birds / path).is_file() for path in paths)


def test_linked_folders_are_followed(birds, tmp_path, write_image):
    write_image(tmp_path / 'elsewhere' / 'x.png', 99)
    (birds / '雀' / 'more').symlink_to(tmp_path / 'elsewhere')
    assert '雀/more/x.png' in find_images(birds)['雀']


def test_a_link_to_nowhere_is_found_so_that_it_can_be_told(birds):
    (birds / '雀' / 'gone.png').symlink_to(birds / 'nowhere.png')
    assert '雀/gone.png' in find_images(birds)['雀']


def test_a_link_loop_is_named(birds):
    (birds / '雀' / 'again').symlink_to(birds / '雀')
    with pytest.raises(UserError, match=r'雀/again is a symbolic link to a folder that it lies in'):
        find_images(birds)


def test_missing_folder_and_file(birds):
    with pytest.raises(UserError, match=r'gone does not exist; .*<folder>/<class>/<image>'):
        find_images(birds / 'gone')
    with pytest.raises(UserError, match=r'notes.txt is a file'):
        find_images(birds / 'notes.txt')


def test_one_class_is_too_few(birds, write_image):
    with pytest.raises(UserError, match='holds 1 class folders; at least two'):
        find_images(birds / 'grey heron' / 'a b')


def test_no_class(tmp_path):
    with pytest.raises(UserError, match='holds 0 class folders'):
        find_images(tmp_path)


def test_empty_class_is_named(birds):
    (birds / 'dodo' / 'deeper').mkdir(parents=True)
    (birds / 'dodo' / 'deeper' / 'notes.txt').write_text('')
    with pytest.raises(UserError, match=r'my birds/dodo holds no image; .*\.webp'):
        find_images(birds)


def test_image_among_the_class_folders_is_named(birds, write_image):
    write_image(birds / 'loose.PNG', 1)
    with pytest.raises(UserError, match=r'loose.PNG lies beside the class folders'):
        find_images(birds)


def test_splits_are_no_classes(birds, tmp_path):
    for name in ('train', 'Test'):
        (tmp_path / 'split' / name).mkdir(parents=True)
    with pytest.raises(UserError, match=r'is divided into Test, train already; give .*/Test'):
        find_images(tmp_path / 'split')


def test_folder_without_permission_is_named(birds, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if path.name == '雀':
            raise PermissionError
        return scandir(path)

    monkeypatch.setattr(class_folders.os, 'scandir', refuse)
    with pytest.raises(UserError, match='雀 may not be read'):
        find_images(birds)


def _classes(sizes):
    return {f'c{i}': [f'c{i}/{j}.png' for j in range(size)] for i, size in enumerate(sizes)}


def _distinct(classes):
    return {path: path for paths in classes.values() for path in paths}


def _labels(rows):
    return Counter(label for _, label in rows)


@given(
    st.lists(st.integers(4, 40), min_size=2, max_size=5),
    st.integers(1, 2),
    st.integers(0, 1),
    st.integers(0, 50),
    st.data(),
)
def test_every_image_is_somewhere_and_no_content_in_two_splits(sizes, test, val, seed, data):
    classes = _classes(sizes)
    paths = [path for members in classes.values() for path in members]
    # The first four of a class differ from all; the others may repeat anything.
    digests = {
        path: path if int(path[3:-4]) < 4 else data.draw(st.sampled_from(paths)) for path in paths
    }
    crossing = {
        path
        for path in paths
        if len({other[:2] for other in paths if digests[other] == digests[path]}) > 1
    }
    kept = {name: [p for p in members if p not in crossing] for name, members in classes.items()}
    if any(len({digests[p] for p in members}) <= test + val for members in kept.values()):
        return
    split = split_images(classes, digests, test, val, seed)
    placed = [path for rows in split[:3] for path, _ in rows] + list(split.left_out)
    assert sorted(placed) == sorted(paths)
    contents = [{digests[path] for path, _ in rows} for rows in split[:3]]
    assert not (contents[0] & contents[1] or contents[0] & contents[2] or contents[1] & contents[2])
    assert crossing <= set(split.left_out)
    assert set(_labels(split.test).values()) == {test}
    assert set(_labels(split.val).values()) == ({val} if val else set())
    assert set(_labels(split.train)) == set(range(len(sizes)))


def test_default_is_a_third_of_the_smallest_class_but_no_more_than_fifty():
    for smallest, expected in ((2, 1), (9, 3), (300, 50)):
        classes = _classes([smallest, 400])
        assert _labels(split_images(classes, _distinct(classes)).test) == {0: expected, 1: expected}


def test_a_fraction_is_taken_of_each_class():
    classes = _classes([40, 10, 3])
    split = split_images(classes, _distinct(classes), test=0.2, val=0.1)
    assert _labels(split.test) == {0: 8, 1: 2, 2: 1}
    assert _labels(split.val) == {0: 4, 1: 1, 2: 1}


def test_copies_train_together_or_leave_one_to_the_test():
    classes = {'a': ['a/1', 'a/2', 'a/3', 'a/4'], 'b': ['b/1', 'b/2']}
    digests = {'a/1': 'x', 'a/2': 'x', 'a/3': 'x', 'a/4': 'y', 'b/1': 'z', 'b/2': 'w'}
    outcomes = set()
    for seed in range(20):
        split = split_images(classes, digests, test=1, seed=seed)
        tested = next(path for path, label in split.test if label == 0)
        trained = [path for path, label in split.train if label == 0]
        outcomes.add(tested)
        if tested == 'a/1':
            assert trained == ['a/4']
            assert split.left_out == {'a/2': 'a copy of a/1', 'a/3': 'a copy of a/1'}
        else:
            assert trained == ['a/1', 'a/2', 'a/3']
            assert not split.left_out
    assert outcomes == {'a/1', 'a/4'}


def test_an_image_in_two_classes_is_left_out_with_both_names():
    classes = _classes([4, 4])
    split = split_images(classes, {**_distinct(classes), 'c0/2.png': 'x', 'c1/0.png': 'x'}, test=1)
    reason = "the same image is in the classes 'c0', 'c1'"
    assert split.left_out == {'c0/2.png': reason, 'c1/0.png': reason}


def test_same_seed_same_split_other_seed_another():
    classes = _classes([30, 30])
    first, again, other = (split_images(classes, _distinct(classes), 5, 5, s) for s in (1, 1, 2))
    assert first == again
    assert first.test != other.test


@pytest.mark.parametrize(('test', 'val'), [(3, 0), (1, 2), (0.1, 0.9)])
def test_a_class_too_small_is_named(test, val):
    classes = _classes([50, 3])
    with pytest.raises(UserError, match=r"class 'c\d' has \d+ different images, too few for "):
        split_images(classes, _distinct(classes), test, val)
