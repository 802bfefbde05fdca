import cv2
import numpy as np
import pytest
from PIL import Image

from ecl.datasets import ImageFolder, LoadImage, count_classes, describe
from ecl.errors import UserError
from ecl.registry import DATASETS

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


@pytest.mark.parametrize('extension', [*LOSSLESS, '.jpg', '.JPEG', '.gif', '.avif'])
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


def test_classes_choose_among_the_folders_and_set_the_labels(root, capfd):
    (root / 'train' / 'yak').mkdir()  # has no image, and nobody asks for it
    dataset = ImageFolder(str(root), split='train', classes=['zebra', 'ape'])
    assert dataset.CLASSES == ('zebra', 'ape')
    folders = [dataset.get_data_info(i)['img_path'].split('/train/')[1] for i in range(3)]
    assert folders == ['ape/3.PNG', 'ape/deep/er/2.webp', 'zebra/1.png']
    assert [dataset.get_data_info(i)['gt_label'] for i in range(3)] == [1, 1, 0]
    assert count_classes(dataset) == [1, 2]
    assert "'cow', 'yak'" in ''.join(capfd.readouterr())


def test_a_test_folder_that_lacks_a_class_keeps_the_labels(root, capfd):
    _write(root / 'test' / 'ape' / '5.png')
    _write(root / 'test' / 'zebra' / '6.png')
    dataset = ImageFolder(str(root), split='test')
    assert dataset.CLASSES == ('ape', 'cow', 'zebra')
    assert [dataset.get_data_info(i)['gt_label'] for i in range(2)] == [0, 2]
    assert count_classes(dataset, 3) == [1, 0, 1]
    assert "no image of 1 of 3 classes: 'cow'" in ''.join(capfd.readouterr())
    with_names = ImageFolder(str(root), split='test', classes=['ape', 'cow', 'zebra'])
    assert count_classes(with_names) == [1, 0, 1]


def test_a_class_that_the_training_data_lack_is_refused_by_name(root):
    _write(root / 'test' / 'gnu' / '5.png')
    with pytest.raises(UserError, match=r"test has classes that .*train lacks: 'gnu'"):
        ImageFolder(str(root), split='test')


def test_another_folder_may_hold_the_training_data(root):
    (root / 'train').rename(root / 'learn')
    _write(root / 'test' / 'zebra' / '5.png')
    dataset = ImageFolder(str(root), split='test', train_split='learn')
    assert dataset.get_data_info(0)['gt_label'] == 2
    assert ImageFolder(str(root), split='test').CLASSES == ('zebra',)


def test_numbers_as_class_names_are_sorted_by_value(tmp_path):
    for name in ('10', '2', '1'):
        _write(tmp_path / name / 'a.png')
    assert ImageFolder(str(tmp_path)).CLASSES == ('1', '2', '10')


def test_names_from_a_mac_are_those_of_other_systems(tmp_path):
    composed, decomposed = 'caf\u00e9', 'cafe\u0301'
    _write(tmp_path / 'train' / composed / 'a.png')
    _write(tmp_path / 'train' / 'tea' / 'a.png')
    _write(tmp_path / 'test' / decomposed / 'b.png')
    for junk in ('.DS_Store', '._b.png', '__MACOSX/._b.png'):
        _write(tmp_path / 'test' / 'junk.png')
        (tmp_path / 'test' / junk).parent.mkdir(exist_ok=True)
        (tmp_path / 'test' / junk).write_bytes(b'junk')
    dataset = ImageFolder(str(tmp_path), split='test')
    assert (composed, 'tea') == dataset.CLASSES
    assert count_classes(dataset) == [1, 0]


def test_files_that_are_no_images_are_named(root, capfd):
    (root / 'train' / 'ape' / '3.PNG').rename(root / 'train' / 'ape' / 'image3')
    _write(root / 'train' / 'loose.png')
    dataset = ImageFolder(str(root), split='train')
    assert count_classes(dataset) == [2, 1, 1]
    log = ''.join(capfd.readouterr())
    assert 'left out 2 files' in log
    assert 'cow/notes.txt: ' in log and 'loose.png: ' in log


def test_classes_without_images_are_named(root, capfd):
    (root / 'train' / 'yak').mkdir()
    dataset = ImageFolder(str(root), split='train')
    assert count_classes(dataset) == [2, 1, 0, 1]
    assert "no image of 1 of 4 classes: 'yak'" in ''.join(capfd.readouterr())


def test_missing_root_names_it_and_the_layout(tmp_path):
    with pytest.raises(UserError, match=r'birds/test.* is missing[.] .*<data_root>/test/<class>/'):
        ImageFolder(str(tmp_path / 'birds'), split='test')


def test_root_without_class_folders(tmp_path):
    _write(tmp_path / 'loose.png')
    with pytest.raises(UserError, match=r'has no class folder[.] .*<data_root>/<class>/<image>'):
        ImageFolder(str(tmp_path))


def test_root_without_images_names_the_suffixes(tmp_path):
    (tmp_path / 'one').mkdir()
    (tmp_path / 'one' / 'a.txt').write_text('text')
    with pytest.raises(UserError, match=r'has no image: got 1 other files, expected .*\.webp'):
        ImageFolder(str(tmp_path))


def test_a_link_loop_is_read_once_and_named(root, capfd):
    (root / 'train' / 'cow' / 'again').symlink_to('../cow')
    assert count_classes(ImageFolder(str(root), split='train')) == [2, 1, 1]
    assert 'cow/again: a link' in ''.join(capfd.readouterr())


@pytest.mark.parametrize('mode', ['L', 'RGBA', 'CMYK', 'I;16'])
def test_photographs_of_every_mode_come_out_in_three_channels(tmp_path, mode):
    grey = Image.fromarray(_image(0)[..., 0])
    image = Image.fromarray(_image(0)[..., 0].astype(np.uint16) * 256)
    image = image if mode == 'I;16' else grey.convert(mode)
    (tmp_path / 'one').mkdir()
    image.save(tmp_path / 'one' / 'a.tif')
    pipeline = [LoadImage(), dict(type='PackInputs')]
    inputs = ImageFolder(str(tmp_path), pipeline=pipeline)[0]['inputs']
    assert (inputs.shape, str(inputs.dtype)) == ((3, 6, 5), 'torch.uint8')
    assert (inputs[0].numpy() == _image(0)[..., 0]).mean() > 0.95


def test_a_custom_dataset_names_the_suffixes_that_it_leaves_out(tmp_path, capfd):
    config = dict(type='CustomDataset', data_root=str(tmp_path), pipeline=[])
    for number, name in enumerate(['a/1.webp', 'a/2.webp', 'b/3.webp']):
        _write(tmp_path / name, number)
    for name in ('read.me', 'none'):
        (tmp_path / 'b' / name).write_text('text')
    with pytest.raises(UserError) as caught:
        DATASETS.build(config)
    assert '3 x .webp, 1 x no suffix, 1 x .me' in str(caught.value)
    assert '`extensions`' in str(caught.value) and '\n' not in str(caught.value)
    _write(tmp_path / 'a' / '4.png')
    assert len(DATASETS.build(config)) == 1
    assert 'left out in' in ''.join(capfd.readouterr())
    assert len(DATASETS.build(dict(config, extensions=('.webp', '.png')))) == 4
