from types import SimpleNamespace

import pytest
from torch.utils.data import Subset

from ecl.datasets import Digits
from ecl.datasets.class_names import (
    CLASS_NAMES,
    check_same_classes,
    class_names,
    known_num_classes,
    read_classes,
    read_text,
    sort_classes,
)
from ecl.errors import UserError


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['10', '2', '1'], ('1', '2', '10')),
        (['b', '10', '2'], ('10', '2', 'b')),
        (['02', '2', '1'], ('1', '02', '2')),
        (['2', '02', '1'], ('1', '02', '2')),
        (['\u00b2', '10', '2'], ('10', '2', '\u00b2')),  # a superscript is no number
        ([], ()),
    ],
)
def test_numbers_are_sorted_by_value_and_other_names_alphabetically(names, expected):
    assert sort_classes(names) == expected


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_text_files_of_windows(tmp_path, encoding):
    content = '\u96c0 one\r\nowl \r\n\r\n'.encode(encoding)
    (tmp_path / 'names.txt').write_bytes(content)
    assert read_classes(str(tmp_path / 'names.txt')) == ['\u96c0 one', 'owl']
    assert read_text(content, 'names.txt') == '\u96c0 one\r\nowl \r\n\r\n'


def test_accents_of_a_mac_are_composed_as_in_the_names_of_folders(tmp_path):
    (tmp_path / 'names.txt').write_text('cafe\u0301\n')
    assert read_classes(str(tmp_path / 'names.txt')) == ['caf\u00e9']


def test_text_in_another_encoding_is_named():
    with pytest.raises(UserError, match=r'names\.txt is not UTF-8'):
        read_text('caf\u00e9'.encode('latin-1'), 'names.txt')


def test_known_names_lists_and_none_pass():
    assert read_classes('places365') is CLASS_NAMES['places365']
    assert len(CLASS_NAMES['places365']) == 365
    assert read_classes(['a', 'b']) == ['a', 'b']
    assert read_classes(None) is None
    with pytest.raises(UserError, match=r'places is missing.* imagenet, places365'):
        read_classes('places')


def test_a_file_of_classes_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'classes.txt').write_text('ant\nbee\n')
    assert read_classes('~/classes.txt') == ['ant', 'bee']


@pytest.mark.parametrize(
    ('tested', 'fault'),
    [
        (['a', 'c'], "class 'b' is missing, so the labels shift"),
        (['a', 'b', 'x'], "unknown classes 'x'"),
        (['a', 'c', 'b'], "label 1 is 'c', expected 'b'"),
        (list('uvwxyz'), "'u', 'v', 'w', 'x', 'y' and 1 more"),
    ],
)
def test_other_classes_than_in_training_are_refused_by_name(tested, fault):
    with pytest.raises(UserError, match=fault) as caught:
        check_same_classes(('a', 'b', 'c'), tested, 'photos/test')
    assert str(caught.value).startswith('photos/test has other classes')


def test_the_same_or_unknown_classes_pass():
    check_same_classes(('a', 'b'), ['a', 'b'], 'photos/test')
    check_same_classes(None, ['a', 'b'], 'photos/test')
    check_same_classes(('a', 'b'), None, 'photos/test')


def test_names_are_those_of_the_metainfo():
    digits = Digits(split='test')
    for dataset in (digits, Subset(digits, [0]), Subset(Subset(digits, [3, 4]), [1])):
        assert class_names(dataset) == tuple('0123456789')
        assert known_num_classes(dataset) == 10
    for dataset in ([], SimpleNamespace(metainfo=None), SimpleNamespace(metainfo={})):
        assert class_names(dataset) is None
        assert known_num_classes(dataset) is None
