from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecl.apps.data.split import divide_groups, keep_division, split_images
from ecl.errors import UserError


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
    with pytest.raises(
        UserError, match=r"too few different images .*'c\d' has \d+.* ask for fewer"
    ):
        split_images(classes, _distinct(classes), test, val)


def test_all_classes_too_small_are_named_with_what_helps():
    classes = _classes([9, 1, 8, 1])
    with pytest.raises(UserError, match=r"2 of 4 classes .*'c1' has 1; 'c3' has 1\.") as caught:
        split_images(classes, _distinct(classes))
    assert '--untested-below 2' in str(caught.value)
    assert 'fewer test' not in str(caught.value)  # than one there are none
    classes = _classes([1] * 50)
    with pytest.raises(UserError, match=r'50 of 50 classes .*and 30 more'):
        split_images(classes, _distinct(classes))


def test_a_class_whose_images_are_all_left_out_says_why():
    classes = _classes([9, 2])
    digests = {**_distinct(classes), 'c1/0.png': 'c0/0.png', 'c1/1.png': 'c0/1.png'}
    why = r"'c1' has 0 \(2 of its 2 are left out, c1/0\.png: the same image .* 'c0', 'c1'\)"
    with pytest.raises(UserError, match=f'{why}.* remove classes') as caught:
        split_images(classes, digests)
    assert '--untested-below' not in str(caught.value)
    with pytest.raises(UserError, match=why):
        split_images(classes, digests, untested_below=2)


def test_small_classes_are_for_training_only_if_asked_for():
    classes = _classes([30, 9, 2, 1])
    split = split_images(classes, _distinct(classes), val=1, untested_below=3)
    assert _labels(split.test) == {0: 3, 1: 3}
    assert _labels(split.val) == {0: 1, 1: 1}
    assert _labels(split.train) == {0: 26, 1: 5, 2: 2, 3: 1}
    with pytest.raises(UserError, match=r'no class is left to test: got 30 different .* least 31'):
        split_images(classes, _distinct(classes), untested_below=31)


CLASSES = {'a': ['a1', 'a2', 'a3', 'a4'], 'b': ['b1', 'b2', 'b3']}
DIVISION = dict(a1='train', a2='train', a3='test', a4='val', b1='train', b2='test', b3='val')


def test_a_division_is_kept():
    split = keep_division(CLASSES, _distinct(CLASSES), DIVISION)
    assert split.train == [('a1', 0), ('a2', 0), ('b1', 1)]
    assert (split.val, split.test) == ([('a4', 0), ('b3', 1)], [('a3', 0), ('b2', 1)])
    assert split.left_out == {}


def test_copies_of_tested_images_and_ambiguous_ones_are_left_out_of_a_division():
    digests = _distinct(CLASSES) | {'a2': 'a3', 'b3': 'a1'}
    classes = CLASSES | {'a': ['a0', *CLASSES['a']]}
    split = keep_division(classes, digests | {'a0': 'a0'}, DIVISION | {'a0': 'train'})
    assert split.train == [('a0', 0), ('b1', 1)]
    assert split.left_out['a2'] == 'a copy of a3, which is in test'
    assert split.left_out['a1'] == split.left_out['b3']
    with pytest.raises(UserError, match=r"class 'a' has no training image .*\(2 of its 4 are left"):
        keep_division(CLASSES, digests, DIVISION)


def test_without_test_images_the_validation_images_are_tested():
    division = {path: 'val' if split == 'test' else split for path, split in DIVISION.items()}
    split = keep_division(CLASSES, _distinct(CLASSES), division)
    assert (len(split.test), split.val) == (4, [])


@given(
    st.lists(st.lists(st.integers(0, 11), min_size=3, max_size=30), min_size=2, max_size=4),
    st.sampled_from([0.2, 0.25, 0.5]),
    st.sampled_from([0, 0.2]),
    st.integers(0, 9),
)
def test_groups_stay_in_one_split_and_every_class_is_trained(members, test, val, seed):
    classes = _classes([len(each) for each in members])
    groups = {
        path: f'shop{shop}'
        for paths, shops in zip(classes.values(), members, strict=True)
        for path, shop in zip(paths, shops, strict=True)
    }
    try:
        division = divide_groups(classes, groups, test, val, seed)
    except UserError as error:
        assert ', expected at least' in str(error)
        return
    assert division == divide_groups(classes, groups, test, val, seed)
    for shop in set(groups.values()):
        assert len({division[path] for path, group in groups.items() if group == shop}) == 1
    for paths in classes.values():
        assert 'train' in {division[path] for path in paths}


def test_the_fraction_of_groups_is_about_that_of_images():
    classes = _classes([120, 60])
    groups = {path: path[-6:-4] for members in classes.values() for path in members}
    division = divide_groups(classes, groups, 0.2, 0.2)
    numbers = Counter(division.values())
    assert 26 <= numbers['test'] <= 46
    assert 26 <= numbers['val'] <= 46


def test_every_class_with_two_groups_is_tested():
    # A fold holds 2 of 8 groups, so most classes of groups of their own would not be tested.
    classes = {name: [f'{name}{group}{i}' for group in 'xy' for i in '012'] for name in 'abcdefgh'}
    groups = {path: path[:2] for paths in classes.values() for path in paths}
    shared = dict.fromkeys(('k0', 'l0'), 'k') | {'k1': 'k1', 'l1': 'k1', 'l2': 'l2'}
    classes |= {'k': ['k0', 'k1'], 'l': ['l0', 'l1', 'l2'], 'm': ['m0', 'm1']}
    groups |= shared | dict.fromkeys(('m0', 'm1'), 'm')
    for seed in range(5):
        division = divide_groups(classes, groups, 0.25, 0, seed)
        for name, paths in classes.items():
            assert {division[path] for path in paths} == ({'train'} if name == 'm' else BOTH)
        assert len({division[path] for path in ('k0', 'l0')}) == 1


BOTH = {'train', 'test'}


@pytest.mark.parametrize(('test', 'val'), [(0.6, 0), (0.7, 0), (0.5, 0.3), (0.5, 0.5)])
def test_more_than_half_of_the_groups_cannot_be_held_out(test, val):
    classes = _classes([40, 40])
    with pytest.raises(UserError, match=r'expected at most 50%\. Lower --(test|val)-fraction'):
        divide_groups(classes, {}, test, val)
    assert divide_groups(classes, {}, 0.2, 0.4)


@pytest.mark.parametrize('seed', [-1, 2**32])
def test_a_seed_that_no_generator_takes(seed):
    classes = _classes([8, 8])
    with pytest.raises(UserError, match=r'seed: got -?\d+, expected a whole number of at least 0'):
        split_images(classes, _distinct(classes), seed=seed)
    with pytest.raises(UserError, match='seed: got'):
        divide_groups(classes, {}, seed=seed)


@pytest.mark.parametrize(('test', 'val'), [(3, 0), (0.2, 1)])
def test_groups_are_divided_by_fractions(test, val):
    classes = _classes([8, 8])
    with pytest.raises(UserError, match=r'groups.* --test-fraction'):
        divide_groups(classes, {}, test, val)
