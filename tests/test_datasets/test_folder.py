import cv2
import numpy as np
import pytest

from ecl.datasets import ImageFolder, count_classes, describe
from ecl.errors import UserError

LOSSLESS = ['.png', '.webp', '.bmp', '.ppm', '.tif', '.tiff']


def _image(seed):
    return np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)


def _write(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if path.suffix.lower() == '.webp' else []
    assert cv2.imwrite(str(path), _image(seed), options)


@pytest.fixture
def root(tmp_path):
    for number, name in enumerate(['zebra/1.png', 'ape/deep/er/2.webp', 'ape/3.PNG', 'cow/4.bmp']):
        _write(tmp_path / 'train' / name, number)
    (tmp_path / 'train' / 'cow' / 'notes.txt').write_text('not an image')
    return tmp_path


def test_classes_are_the_sorted_folders(root):
    dataset = ImageFolder(str(root), split='train')
    assert dataset.CLASSES == ('ape', 'cow', 'zebra')
    names = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    inside = [name.removeprefix(f'{root}/train/') for name in names]
    assert inside == ['ape/3.PNG', 'ape/deep/er/2.webp', 'cow/4.bmp', 'zebra/1.png']
    assert count_classes(dataset) == [2, 1, 1]


def test_split_may_be_the_root_itself(root):
    dataset = ImageFolder(str(root / 'train'))
    assert len(dataset) == 4
    assert describe(ImageFolder(str(root), split='train')) == {
        **describe(dataset),
        'source': f'ImageFolder {root.name}',
        'split': 'train',
    }


@pytest.mark.parametrize('extension', [*LOSSLESS, '.jpg', '.JPEG', '.gif'])
def test_reads_every_accepted_kind_of_file_in_bgr(tmp_path, extension):
    _write(tmp_path / 'one' / f'image{extension}')
    dataset = ImageFolder(str(tmp_path), pipeline=[dict(type='LoadImageFromFile')])
    image = dataset[0]['img']
    assert image.shape == (6, 5, 3)
    if extension in LOSSLESS:
        np.testing.assert_array_equal(image, _image(0))


def test_grey_images_get_three_channels(tmp_path):
    (tmp_path / 'one').mkdir()
    cv2.imwrite(str(tmp_path / 'one' / 'image.pgm'), _image(0)[..., 0])
    image = ImageFolder(str(tmp_path), pipeline=[dict(type='LoadImageFromFile')])[0]['img']
    np.testing.assert_array_equal(image, np.repeat(_image(0)[..., :1], 3, axis=2))


def test_classes_may_be_put_in_another_order(root):
    dataset = ImageFolder(str(root), split='train', classes=['zebra', 'cow', 'ape'])
    assert count_classes(dataset) == [1, 1, 2]


def test_classes_choose_among_the_folders_and_set_the_labels(root):
    (root / 'train' / 'yak').mkdir()  # has no image, and nobody asks for it
    dataset = ImageFolder(str(root), split='train', classes=['zebra', 'ape'])
    assert dataset.CLASSES == ('zebra', 'ape')
    folders = [dataset.get_data_info(i)['img_path'].split('/train/')[1] for i in range(3)]
    assert folders == ['ape/3.PNG', 'ape/deep/er/2.webp', 'zebra/1.png']
    assert [dataset.get_data_info(i)['gt_label'] for i in range(3)] == [1, 1, 0]
    assert count_classes(dataset) == [1, 2]


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        (['ape', 'yak'], r"no folder for class 'yak'; .*<data_root>/train/<class>/"),
        (['yak', 'cow', 'gnu', 'emu'], "no folder for class 'yak' and 2 more of `classes`; "),
    ],
)
def test_named_classes_must_be_there(root, classes, message):
    with pytest.raises(UserError, match=message):
        ImageFolder(str(root), split='train', classes=classes)


def test_missing_root_names_it_and_the_layout(tmp_path):
    with pytest.raises(UserError, match=r'birds/test.* is missing; .*<data_root>/test/<class>/'):
        ImageFolder(str(tmp_path / 'birds'), split='test')


def test_root_without_class_folders(tmp_path):
    _write(tmp_path / 'loose.png')
    with pytest.raises(UserError, match=r'holds no class folder; .*<data_root>/<class>/<image>'):
        ImageFolder(str(tmp_path))


def test_empty_class_is_named(root):
    (root / 'train' / 'yak').mkdir()
    with pytest.raises(UserError, match=r'train/yak holds no image.*webp'):
        ImageFolder(str(root), split='train')


def test_link_loop_is_named(root):
    (root / 'train' / 'cow' / 'again').symlink_to('../cow')
    with pytest.raises(UserError, match=r'cow/again.* cannot be read: Too many levels of symbolic'):
        ImageFolder(str(root), split='train')
