import os
import unicodedata
from pathlib import Path

import pytest

from ecl.apps.data.sources import Source, group_paths, read_csv, read_folder
from ecl.errors import UserError


def test_classes_and_images_are_sorted_and_nested_ones_found(birds):
    found = read_folder(birds).classes
    assert list(found) == ['Uhu é', 'grey heron', '雀']
    assert [len(paths) for paths in found.values()] == [8, 12, 5]
    assert '雀/a b/c/no 3.bmp' in found['雀']
    for paths in found.values():
        assert paths == sorted(paths)
        assert all((birds / path).is_file() for path in paths)


def test_linked_folders_are_followed(birds, tmp_path, write_image):
    write_image(tmp_path / 'elsewhere' / 'x.png', 99)
    (birds / '雀' / 'more').symlink_to(tmp_path / 'elsewhere')
    assert '雀/more/x.png' in read_folder(birds).classes['雀']


def test_links_to_nowhere_and_back_are_named(birds):
    (birds / '雀' / 'gone').symlink_to(birds / 'nowhere.png')
    (birds / '雀' / 'again').symlink_to(birds / '雀')
    left_out = read_folder(birds).left_out
    assert left_out['雀/gone'] == 'the link leads nowhere'
    assert left_out['雀/again'].startswith('a link to a folder')


def test_every_file_is_an_image_or_left_out_with_a_reason(birds):
    (birds / '雀' / 'no suffix').write_bytes((birds / '雀' / 'no 1.jpg').read_bytes())
    (birds / '雀' / 'read.me').write_text('text')
    source = read_folder(birds)
    assert '雀/no suffix' in source.classes['雀']
    assert source.left_out.keys() == {'notes.txt', '雀/read.me'}
    assert source.division == {}


def test_missing_folder_and_file(birds):
    with pytest.raises(UserError, match=r'gone does not exist[.] .*<folder>/<class>/<image>'):
        read_folder(birds / 'gone')
    with pytest.raises(UserError, match=r'notes.txt is a file'):
        read_folder(birds / 'notes.txt')


def test_one_class_is_too_few(birds, write_image):
    with pytest.raises(UserError, match='too few classes: got 1'):
        read_folder(birds / 'grey heron' / 'a b')


def test_no_class(tmp_path):
    with pytest.raises(UserError, match='too few classes: got 0'):
        read_folder(tmp_path)


def test_empty_class_is_named(birds):
    (birds / 'dodo' / 'deeper').mkdir(parents=True)
    (birds / 'dodo' / 'deeper' / 'notes.txt').write_text('')
    with pytest.raises(UserError, match=r'my birds/dodo has no image[.] .*\.webp'):
        read_folder(birds)


def test_image_among_the_class_folders_is_named(birds, write_image):
    write_image(birds / 'loose.PNG', 1)
    with pytest.raises(UserError, match=r'loose.PNG is not in a class folder'):
        read_folder(birds)


def test_folder_without_permission_is_named(birds, monkeypatch):
    listdir = os.listdir

    def refuse(path):
        if path.name == birds.name:
            raise PermissionError(13, 'Permission denied')
        return listdir(path)

    monkeypatch.setattr(os, 'listdir', refuse)
    with pytest.raises(UserError, match='my birds cannot be read: Permission denied'):
        read_folder(birds)


@pytest.fixture
def divided(tmp_path, write_image):
    seed = 0
    for split, numbers in {'Training': (4, 3), 'valid': (1, 0), 'test': (2, 1)}.items():
        for name, number in zip(('10', '9'), numbers, strict=True):
            (tmp_path / 'split' / split / name).mkdir(parents=True)
            for index in range(number):
                seed += 1
                write_image(tmp_path / 'split' / split / name / f'{index}.png', seed)
    return tmp_path / 'split'


def test_a_division_into_splits_is_found(divided):
    (divided / 'test' / 'readme.txt').write_text('text')
    source = read_folder(divided)
    assert list(source.classes) == ['9', '10']
    assert [len(paths) for paths in source.classes.values()] == [4, 7]
    assert source.division['Training/10/3.png'] == 'train'
    assert source.division['valid/10/0.png'] == 'val'
    assert source.division['test/9/0.png'] == 'test'
    assert source.left_out == {'test/readme.txt': 'it is not in a class folder'}


def test_divisions_that_cannot_be_kept_say_why(divided, write_image):
    (divided / 'notes').mkdir()
    with pytest.raises(UserError, match=r"also other folders: 'notes'"):
        read_folder(divided)
    (divided / 'notes').rmdir()
    write_image(divided / 'test' / 'gnu' / '1.png', 1)
    with pytest.raises(UserError, match=r"test folder has classes .* lack: 'gnu'"):
        read_folder(divided)
    for split in ('valid', 'test'):
        (divided / split).rename(divided.parent / split)
    with pytest.raises(UserError, match=r'got images in train, expected images in train and in'):
        read_folder(divided)


def test_class_folders_may_be_called_like_a_split(birds, write_image):
    write_image(birds / 'train' / '1.png', 77)
    assert list(read_folder(birds).classes) == ['Uhu é', 'grey heron', 'train', '雀']


def test_names_of_a_mac_are_composed(divided, write_image):
    for split, form in (('Training', 'NFC'), ('test', 'NFD')):
        name = unicodedata.normalize(form, 'café')
        write_image(divided / split / name / 'x.png', len(form) + len(name))
    classes = read_folder(divided).classes
    assert [name for name in classes if name.startswith('caf')] == [
        unicodedata.normalize('NFC', 'café')
    ]


def test_a_table_gives_classes_and_division(tmp_path):
    table = tmp_path / 'birds.csv'
    lines = ['file;class;split', 'a.jpg;10;train', 'b.jpg;9;train', 'c.jpg;10;test', 'd.jpg;9;none']
    table.write_bytes('\r\n'.join(lines).encode('utf-8-sig'))
    source = read_csv(table)
    assert source.root == tmp_path
    assert source.classes == {'9': ['b.jpg'], '10': ['a.jpg', 'c.jpg']}
    assert source.division == {'a.jpg': 'train', 'b.jpg': 'train', 'c.jpg': 'test'}
    assert 'none' in source.left_out['d.jpg']


def test_a_table_without_splits_is_not_divided(tmp_path):
    (tmp_path / 'birds.csv').write_text('a,owl\na,owl\nb,wren\n')
    (tmp_path / 'elsewhere').mkdir()
    source = read_csv(tmp_path / 'birds.csv', root=tmp_path / 'elsewhere', suffix='.jpg')
    assert source.classes == {'owl': ['a.jpg'], 'wren': ['b.jpg']}
    assert (source.division, source.root) == ({}, tmp_path / 'elsewhere')
    with pytest.raises(UserError, match=r'--images .*none: the folder does not exist'):
        read_csv(tmp_path / 'birds.csv', root=tmp_path / 'none')


def test_a_header_that_is_not_recognized_is_told_with_the_options(tmp_path, write_image):
    write_image(tmp_path / '1.jpg', 1)
    write_image(tmp_path / '2.jpg', 2)
    table = tmp_path / 'birds.csv'
    table.write_text('foto,die art\n1.jpg,owl\n2.jpg,wren\n')
    options = "--image-column foto --label-column 'die art'"
    with pytest.raises(UserError, match=f'line 1: .*foto does not exist.*{options}'):
        read_csv(table)
    assert read_csv(table, image='foto', label='die art').classes.keys() == {'owl', 'wren'}
    table.write_text('gone.jpg,owl\n1.jpg,owl\n2.jpg,wren\n')
    assert read_csv(table).classes['owl'] == ['gone.jpg', '1.jpg']


@pytest.mark.parametrize('suffix', ['.jpg', '.PNG'])
def test_names_without_their_suffix_are_told_with_the_option(tmp_path, write_image, suffix):
    for name in 'ab':
        write_image(tmp_path / f'{name}.1{suffix}', ord(name))
    table = tmp_path / 'birds.csv'
    for header in ('', 'id,species\n', 'foto,art\n'):
        table.write_text(f'{header}a.1,owl\nb.1,wren\n')
        with pytest.raises(UserError, match=rf'b\.1 does not exist, .*--suffix \{suffix}$'):
            read_csv(table)
    table.write_text('a.1,owl\nb.1,wren\n')
    assert read_csv(table, suffix=suffix).classes['owl'] == [f'a.1{suffix}']


@pytest.mark.parametrize(
    ('text', 'fault'),
    [
        ('a,owl\nb,owl\n', 'too few classes: got 1'),
        ('a,owl\n../b,wren\n', 'not below the data root'),
        ('file,class,split\na,owl,train\nb,wren,test\n', "no training image of 'wren'"),
        ('file,class,split\na,owl,train\na,owl,test\n', 'line 3: a is in train and in test'),
    ],
)
def test_tables_that_cannot_be_used_say_why(tmp_path, text, fault):
    (tmp_path / 'birds.csv').write_text(text)
    with pytest.raises(UserError, match=fault):
        read_csv(tmp_path / 'birds.csv')


def test_absolute_paths_below_the_folder_of_images_become_relative(tmp_path):
    (tmp_path / 'in').mkdir()
    (tmp_path / 'other').mkdir()
    (tmp_path / 'birds.csv').write_text(f'{tmp_path}/in/a.jpg,owl\nb.jpg,wren\n')
    for root, owl in ((tmp_path, 'in/a.jpg'), (None, 'in/a.jpg'), (tmp_path / 'in', 'a.jpg')):
        assert read_csv(tmp_path / 'birds.csv', root).classes == {'owl': [owl], 'wren': ['b.jpg']}
    with pytest.raises(UserError, match=r'not below the data root\. Correct .* by --images'):
        read_csv(tmp_path / 'birds.csv', tmp_path / 'other')
    (tmp_path / 'birds.csv').write_text(f'{tmp_path}/../a.jpg,owl\nb.jpg,wren\n')
    with pytest.raises(UserError, match='not below the data root'):
        read_csv(tmp_path / 'birds.csv')


def test_a_missing_table(tmp_path):
    with pytest.raises(UserError, match=r'none\.csv is missing'):
        read_csv(tmp_path / 'none.csv')


def test_a_group_of_the_pattern_that_matches_nothing_is_empty():
    source = Source(Path('x'), {'owl': ['owl/aIMG', 'owl/zIMG']})
    group_paths(source, '(z)?(IMG)')
    assert source.groups == {'owl/aIMG': ' IMG', 'owl/zIMG': 'z IMG'}
    group_paths(source, '(z)?IMG')
    assert source.groups == {'owl/aIMG': 'IMG', 'owl/zIMG': 'z'}
