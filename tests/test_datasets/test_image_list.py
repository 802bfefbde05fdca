import os
import pickle
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecl.datasets import ImageList, LongTailDataset, count_classes, describe
from ecl.datasets.image_list import check_inside, parse_image_list
from ecl.errors import UserError

PATHS = st.text(string.ascii_letters + string.digits + '/._- éß日', min_size=1).filter(
    lambda path: path == path.strip() and path
)


@given(
    st.lists(st.tuples(PATHS, st.integers(0, 10**6)), min_size=1),
    st.sampled_from([' ', '\t', '   ']),
    st.sampled_from(['\n', '\r\n', '\n\n', ' \n']),
    st.sampled_from(['', '\n', '\r\n\r\n', '\n \n']),
)
def test_any_list_comes_back(rows, gap, line_end, tail):
    text = line_end.join(f'{path}{gap}{label}' for path, label in rows) + tail
    paths, labels = parse_image_list(text, 'list.txt')
    assert list(zip(paths, labels, strict=True)) == rows


@pytest.mark.parametrize('separator', ['\x0b', '\x0c', '\x1c', '\x85', '\u2028'])
def test_only_line_ends_end_a_line(separator):
    assert parse_image_list(f'a{separator}b.png 1\n', 'list.txt')[0] == [f'a{separator}b.png']


@pytest.mark.parametrize(
    ('line', 'fault'),
    [
        ('c.png', "'c.png' has no label"),
        ('c.png cat', "invalid label: got 'cat'"),
        ('c.png 1.0', "invalid label: got '1.0'"),
        ('c.png 1_0', "invalid label: got '1_0'"),
        ('c.png +1', r"invalid label: got '\+1'"),
        ('c.png ²', "invalid label: got '²'"),
        ('c.png -1', 'negative label: got -1'),
        ('c.png 3', 'label out of range: got 3, expected 0 to 2'),
        ('7', "'7' has no label"),
    ],
)
def test_bad_line_is_named_with_its_number(line, fault):
    with pytest.raises(UserError, match=f'train.txt, line 4: {fault}'):
        parse_image_list(f'a.png 0\n\nb.png 2\r\n{line}\nd.png 1\n', 'train.txt', 3)


@pytest.mark.parametrize('text', ['', '\n\r\n  \n'])
def test_empty_list(text):
    with pytest.raises(UserError, match=r'train.txt lists no image.*path label'):
        parse_image_list(text, 'train.txt')


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'lists').mkdir()
    (tmp_path / 'lists' / 'birds_train.txt').write_text('x/a b.png 2\r\nx/c.png 0\r\n\r\n')
    return tmp_path


def test_images_need_not_exist_until_they_are_opened(root):
    dataset = ImageList('lists/birds_train.txt', data_root=str(root))
    paths = [dataset.get_data_info(i)['img_path'] for i in range(2)]
    assert paths == [f'{root}/x/a b.png', f'{root}/x/c.png']
    assert count_classes(dataset) == [1, 0, 1]


def test_list_may_lie_elsewhere_and_images_below_a_prefix(root):
    dataset = ImageList(
        str(root / 'lists/birds_train.txt'), data_root='/images', data_prefix='2024'
    )
    assert dataset.get_data_info(1)['img_path'] == '/images/2024/x/c.png'


def test_protocol_names_list_and_root(root):
    record = describe(ImageList('lists/birds_train.txt', data_root=str(root)))
    assert record['source'] == f'ImageList {root.name}'
    assert record['split'] == 'birds_train'


def test_classes_bound_the_labels(root):
    (root / 'names.txt').write_text('hen\nowl\n')
    for classes in (['hen', 'owl'], str(root / 'names.txt')):
        with pytest.raises(UserError, match=r'birds_train.txt, line 1: label out of range: got 2'):
            ImageList('lists/birds_train.txt', data_root=str(root), classes=classes)


def test_byte_order_mark_is_no_part_of_the_path(root):
    (root / 'bom.txt').write_bytes('a.png 0\n'.encode('utf-8-sig'))
    dataset = ImageList('bom.txt', data_root=str(root))
    assert dataset.get_data_info(0)['img_path'] == f'{root}/a.png'


def test_backslashes_and_utf_16_of_windows(root):
    (root / 'win.txt').write_bytes('x\\\u96c0\\a b.png 1\r\n'.encode('utf-16'))
    dataset = ImageList('win.txt', data_root=str(root))
    assert dataset.get_data_info(0)['img_path'] == f'{root}/x/\u96c0/a b.png'


def test_missing_list(root):
    with pytest.raises(UserError, match=r'lists/none.txt is missing.*path label'):
        ImageList('lists/none.txt', data_root=str(root))


def test_list_that_is_no_text(root):
    (root / 'image.txt').write_bytes(b'\xff\xd8\xff\xe0')
    with pytest.raises(UserError, match=r'image.txt is not UTF-8 text'):
        ImageList('image.txt', data_root=str(root))


def test_a_list_as_long_as_inaturalists_takes_little_memory(tmp_path):
    lines = (f'train_val2018/Insecta/{i % 8142}/{i:032x}.jpg {i % 8142}' for i in range(437_513))
    (tmp_path / 'train.txt').write_text('\n'.join(lines))
    dataset = LongTailDataset(ImageList('train.txt', data_root=str(tmp_path)))
    assert sum(count_classes(dataset)) == 437_513
    assert len(pickle.dumps(dataset)) < 300e6


def test_class_names_of_known_datasets(root):
    (root / 'one.txt').write_text('a.jpg 364\n')
    names = ImageList('one.txt', data_root=str(root), classes='places365').CLASSES
    assert (len(names), names[0], names[364]) == (365, 'airfield', 'zen_garden')
    assert len(set(names)) == 365
    names = ImageList('one.txt', data_root=str(root), classes='imagenet').CLASSES
    assert (len(names), names[0].split(',')[0]) == (1000, 'tench')
    with pytest.raises(UserError, match=r'classes: places is missing.* imagenet, places365'):
        ImageList('one.txt', data_root=str(root), classes='places')


@pytest.mark.parametrize(
    'path',
    [
        '/etc/passwd',
        '../secret.png',
        'a/../../secret.png',
        '..',
        's3://bucket/a.png',
        'http://127.0.0.1/a.png',
        'a\0.png',
    ],
)
def test_a_path_that_leaves_the_root_is_refused_unless_allowed(tmp_path, path):
    (tmp_path / 'list.txt').write_text(f'a.png 0\n{path} 0\n')
    with pytest.raises(
        UserError, match=r'list\.txt names .* not below the data root.*allow_outside'
    ):
        ImageList('list.txt', data_root=str(tmp_path))
    listed = ImageList('list.txt', data_root=str(tmp_path), allow_outside=True)
    assert len(listed) == 2


@given(st.lists(st.sampled_from(['a', '..', '.', 'b', '']), min_size=1).map('/'.join))
def test_only_paths_below_the_root_pass(path):
    inside = os.path.abspath(f'/any/folder/{path}').startswith('/any/folder') and path[:1] != '/'
    # Out and in again is refused too: the way leads over another folder.
    if os.path.normpath(path).startswith('..'):
        inside = False
    try:
        check_inside([path], 'list.txt')
    except UserError:
        assert not inside
    else:
        assert inside


def test_names_with_dots_and_colons_are_no_way_out():
    check_inside(['..a/b..png', 'a..b.png', 'a:b.png', '...', 'a/b/../c.png'], 'list.txt')
