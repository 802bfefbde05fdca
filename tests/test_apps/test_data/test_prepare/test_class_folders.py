import os

import pytest

from ecl.apps.data.prepare import class_folders
from ecl.apps.data.prepare.class_folders import find_images
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
